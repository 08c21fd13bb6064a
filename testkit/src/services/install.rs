//! Finds PostgreSQL and RabbitMQ, and installs them where that is possible.

use std::{
    env, fs, io,
    os::{fd::AsFd, unix::fs::MetadataExt, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

use super::{
    error::{Doing, ServiceError},
    process::{Process, Signal},
};

/// Older ones lack what the schema uses.
const OLDEST_POSTGRES: u32 = 13;
const INSTALL_LIMIT: Duration = Duration::from_secs(600);
/// What a package manager gets to come to a clean end.
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The directory with `postgres` and `initdb`.
    pub postgres: PathBuf,
    /// The directory with RabbitMQ's own scripts (not a distribution's wrappers around them).
    pub rabbitmq: PathBuf,
    /// The library that shows a program another time (`LD_PRELOAD`, with `FAKETIME`).
    pub faketime: PathBuf,
}

#[derive(Clone, Copy)]
pub(super) enum Package {
    Postgres,
    RabbitMq,
    FakeTime,
    Node,
    Pip,
    Prometheus,
    Npm,
    Chromium,
}

impl Package {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL (13 or newer)",
            Self::RabbitMq => "RabbitMQ",
            Self::FakeTime => "libfaketime",
            Self::Node => "Node.js (18 or newer)",
            Self::Pip => "pip for Python 3",
            Self::Prometheus => "promtool (of Prometheus)",
            Self::Npm => "npm",
            Self::Chromium => "Chromium",
        }
    }

    pub(super) fn debian_name(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::RabbitMq => "rabbitmq-server",
            Self::FakeTime => "libfaketime",
            Self::Node => "nodejs",
            Self::Pip => "python3-pip",
            Self::Prometheus => "prometheus",
            Self::Npm => "npm",
            Self::Chromium => "chromium",
        }
    }
}

/// Finds the services and what else the tests need. What is missing is installed when this runs as root on Debian or a child of it, for at most
/// ten minutes, with the package manager's words on standard error.
///
/// # Errors
/// When something is missing and cannot be installed.
pub async fn ensure() -> Result<Installed, ServiceError> {
    found_or_installed(find).await
}

/// Finds Node.js, which the examples in JavaScript need, or installs it as [`ensure`] does: the program.
///
/// # Errors
/// When it is missing and cannot be installed.
pub async fn node() -> Result<PathBuf, ServiceError> {
    found_or_installed(|| program("node").ok_or_else(|| vec![Package::Node])).await
}

/// Finds a Python with pip, which the examples in Python need, or installs it as [`ensure`] does: the interpreter.
///
/// # Errors
/// When it is missing and cannot be installed.
pub async fn python() -> Result<PathBuf, ServiceError> {
    found_or_installed(|| program("python3").filter(|it| has_pip(it)).ok_or_else(|| vec![Package::Pip])).await
}

/// Finds promtool, which checks the alert rules, or installs it (and Prometheus with it, which is not started) as
/// [`ensure`] does: the program.
///
/// # Errors
/// When it is missing and cannot be installed.
pub async fn promtool() -> Result<PathBuf, ServiceError> {
    found_or_installed(|| program("promtool").ok_or_else(|| vec![Package::Prometheus])).await
}

/// What the tests of the pages need.
#[derive(Clone, Debug)]
pub struct Browser {
    /// Runs the tests.
    pub node: PathBuf,
    /// Installs their packages.
    pub npm: PathBuf,
    /// Shows the pages.
    pub chromium: PathBuf,
}

/// Finds Node.js, npm and Chromium, or installs them as [`ensure`] does.
///
/// # Errors
/// When one of them is missing and cannot be installed.
pub async fn browser() -> Result<Browser, ServiceError> {
    found_or_installed(|| {
        let chromium = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(program);
        match (program("node"), program("npm"), chromium) {
            (Some(node), Some(npm), Some(chromium)) => Ok(Browser { node, npm, chromium }),
            (node, npm, chromium) => {
                let mut missing = Vec::new();
                missing.extend(node.is_none().then_some(Package::Node));
                missing.extend(npm.is_none().then_some(Package::Npm));
                missing.extend(chromium.is_none().then_some(Package::Chromium));
                Err(missing)
            }
        }
    })
    .await
}

async fn found_or_installed<T>(find: impl Fn() -> Result<T, Vec<Package>>) -> Result<T, ServiceError> {
    // Tests of one process that ask at once share one installation.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
    let _turn = ONE_AT_A_TIME.lock().await;
    let missing = match find() {
        Ok(found) => return Ok(found),
        Err(missing) => missing,
    };
    if !can_install() {
        return Err(ServiceError::missing(&missing));
    }
    apt_get_install(&missing).await?;
    find().map_err(|missing| ServiceError::missing(&missing))
}

fn program(name: &str) -> Option<PathBuf> {
    path_dirs().map(|dir| dir.join(name)).find(|path| path.is_file())
}

fn has_pip(python: &Path) -> bool {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "--version"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn find() -> Result<Installed, Vec<Package>> {
    match (find_postgres(), find_rabbitmq(), find_faketime()) {
        (Some(postgres), Some(rabbitmq), Some(faketime)) => Ok(Installed { postgres, rabbitmq, faketime }),
        (postgres, rabbitmq, faketime) => {
            let mut missing = Vec::new();
            missing.extend(postgres.is_none().then_some(Package::Postgres));
            missing.extend(rabbitmq.is_none().then_some(Package::RabbitMq));
            missing.extend(faketime.is_none().then_some(Package::FakeTime));
            Err(missing)
        }
    }
}

fn find_postgres() -> Option<PathBuf> {
    newest_postgres(Path::new("/usr/lib/postgresql"))
        .or_else(|| path_dirs().find(|dir| dir.join("postgres").is_file() && dir.join("initdb").is_file()))
}

/// Debian keeps one directory for each major version.
fn newest_postgres(root: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(root).ok()?.flatten();
    let numbered =
        versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry)));
    let usable = numbered
        .map(|(version, entry)| (version, entry.path().join("bin")))
        .filter(|(version, bin)| *version >= OLDEST_POSTGRES && bin.join("postgres").is_file());
    usable.max_by_key(|(version, _)| *version).map(|(_, bin)| bin)
}

fn find_rabbitmq() -> Option<PathBuf> {
    let known = std::iter::once(PathBuf::from("/usr/lib/rabbitmq/bin"));
    // Debian's scripts in the PATH change directory and user and send the output elsewhere: the real ones stand
    // beside `rabbitmq-env`.
    known
        .chain(path_dirs())
        .find(|dir| dir.join("rabbitmq-server").is_file() && dir.join("rabbitmq-env").is_file())
}

/// Debian keeps libraries in a directory of the machine's architecture.
fn find_faketime() -> Option<PathBuf> {
    let libraries = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let candidates = libraries.map(|directory| directory.join("faketime/libfaketime.so.1"));
    candidates.chain([PathBuf::from("/usr/lib/faketime/libfaketime.so.1")]).find(|library| library.is_file())
}

fn path_dirs() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

fn can_install() -> bool {
    am_root()
        && Path::new("/etc/debian_version").exists()
        && path_dirs().any(|dir| dir.join("apt-get").is_file())
}

pub(super) fn am_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

async fn apt_get_install(packages: &[Package]) -> Result<(), ServiceError> {
    let names: Vec<_> = packages.iter().map(|package| package.debian_name()).collect();
    let failed = |reason: String| ServiceError::Install { packages: names.join(" "), reason };
    let _policy = NoAutostart::new().doing(|| format!("writing {POLICY}"))?;
    let steps = async {
        if !apt_get(&["update"]).await? {
            sleep(Duration::from_secs(3)).await;
            // Even when this fails too, the lists that are there may do.
            apt_get(&["update"]).await?;
        }
        let install = ["install", "-y", "--no-install-recommends"];
        apt_get(&[&install[..], &names[..]].concat()).await
    };
    match timeout(INSTALL_LIMIT, steps).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(failed("apt-get said no (its words are above)".to_owned())),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("not done after {INSTALL_LIMIT:?}"))),
    }
}

async fn apt_get(arguments: &[&str]) -> io::Result<bool> {
    let mut command = Command::new("apt-get");
    command.args(["-o", "DPkg::Lock::Timeout=300"]).args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    // Standard output belongs to whatever asked for the services.
    command.stdout(io::stderr().as_fd().try_clone_to_owned()?);
    let mut apt = PackageManager(Process::spawn(command)?);
    Ok(apt.0.wait().await?.success())
}

/// A package manager that is killed leaves packages half installed, so it is asked first.
struct PackageManager(Process);

impl Drop for PackageManager {
    fn drop(&mut self) {
        self.0.signal(Signal::Terminate);
        self.0.wait_or_kill_blocking(STOP_LIMIT);
    }
}

/// Keeps fresh packages from starting their services, unless the system already has a rule about that.
struct NoAutostart {
    ours: bool,
}

impl NoAutostart {
    fn new() -> io::Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
        let rule = Self { ours: true };
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(rule)
    }
}

impl Drop for NoAutostart {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_newest_usable_postgres() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9.6", "12", "13", "15", "16", "junk"] {
            let bin = root.path().join(version).join("bin");
            fs::create_dir_all(&bin).unwrap();
            if version != "16" {
                fs::write(bin.join("postgres"), "").unwrap();
            }
        }
        assert_eq!(newest_postgres(root.path()), Some(root.path().join("15/bin")));
        assert_eq!(newest_postgres(&root.path().join("absent")), None);
    }

    #[test]
    fn says_what_to_install() {
        let error = ServiceError::missing(&[Package::Postgres, Package::RabbitMq]).to_string();
        assert!(error.contains("PostgreSQL (13 or newer) and RabbitMQ"), "{error}");
        assert!(error.contains("apt-get install"), "{error}");
    }
}
