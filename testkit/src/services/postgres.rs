use std::{
    fs,
    os::unix::{fs::PermissionsExt, fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{
    error::{Doing, ServiceError},
    install,
    ports::free_port,
    process::{Process, Signal, children_of, dying_with_us, log_to, run_to_end, tail},
};

const READY_LIMIT: Duration = Duration::from_secs(30);
const INITDB_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const DROP_LIMIT: Duration = Duration::from_secs(5);
const TRY_LIMIT: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(25);
/// The account that runs the server when we are root, as which it refuses to run.
const ACCOUNT: &str = "postgres";

/// What survives a [`kill9`](Postgres::kill9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Nothing is synced, and the last commits before a crash may be lost: for tests that crash nothing.
    #[default]
    Fast,
    /// What was committed stays, as in production.
    Real,
}

/// How to run a PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// What survives a crash.
    pub durability: Durability,
    /// PostgreSQL's setting of that name.
    pub max_connections: u32,
    /// More settings, each as `name=value`.
    pub settings: Vec<String>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { durability: Durability::Fast, max_connections: 300, settings: Vec::new() }
    }
}

/// A throwaway PostgreSQL on a loopback port, with the superuser `postgres` and no passwords. Dropping it stops the
/// server and removes its directory.
#[derive(Debug)]
pub struct Postgres {
    process: Option<Process>,
    bin: PathBuf,
    account: Option<Account>,
    port: u16,
    options: PostgresOptions,
    // Last, so that the directory goes after the server.
    dir: TempDir,
}

impl Postgres {
    /// Starts a fast one with the data in a new directory below `dir`, and waits until it answers. As root, every
    /// parent of `dir` must be open to the user `postgres`, as the system's temporary directory is.
    ///
    /// # Errors
    /// When it cannot be installed or is not ready in time; the end of its log is in the error.
    pub async fn start(dir: &Path) -> Result<Self, ServiceError> {
        Self::start_with(dir, PostgresOptions::default()).await
    }

    /// The same with other options.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(dir: &Path, options: PostgresOptions) -> Result<Self, ServiceError> {
        let bin = install::ensure().await?.postgres;
        let account = if install::am_root() { Some(Account::find()?) } else { None };
        let dir = make_dir(dir, account)?;
        let port = free_port().doing(|| "looking for a port".to_owned())?;
        let mut postgres = Self { process: None, bin, account, port, options, dir };
        postgres.initdb().await?;
        postgres.launch().await?;
        Ok(postgres)
    }

    /// The port, which stays the same through restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Where `database` is.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{ACCOUNT}@127.0.0.1:{}/{database}", self.port)
    }

    /// SIGKILL to the server and all of its processes, as a crash of the machine would end them.
    pub fn kill9(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // Each backend leads a session of its own, so a group does not reach them. Stopped, the server starts no more of them:
        // one that it started after they were counted would live on, with the shared memory, and keep the next server out.
        process.signal_to(Signal::Stop, &[i64::from(process.id())]);
        // The server goes first, or it would take a backend's death as a reason to recover.
        let backends = children_of(process.id()).into_iter().map(i64::from);
        let targets: Vec<_> = std::iter::once(i64::from(process.id())).chain(backends).collect();
        process.signal_to(Signal::Kill, &targets);
        let _ = process.kill();
    }

    /// Starts it again on the same data and port, and waits until it answers. A running one is stopped first.
    ///
    /// # Errors
    /// When it is not ready in time; the end of its log is in the error.
    pub async fn restart(&mut self) -> Result<(), ServiceError> {
        self.stop().await?;
        self.launch().await
    }

    /// An orderly, fast shutdown: clients are cut off, nothing is lost.
    ///
    /// # Errors
    /// When the system cannot tell whether it has ended.
    pub async fn stop(&mut self) -> Result<(), ServiceError> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.signal(Signal::Interrupt);
        process.wait_or_kill(STOP_LIMIT).await.doing(|| "stopping PostgreSQL".to_owned())?;
        Ok(())
    }

    async fn initdb(&self) -> Result<(), ServiceError> {
        let mut command = self.command("initdb");
        command.arg("-D").arg(self.data()).args(["-U", ACCOUNT]);
        command.args(["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]);
        if self.options.durability == Durability::Fast {
            command.arg("--no-sync");
        }
        run_to_end("initdb", command, &self.dir.path().join("initdb.log"), INITDB_LIMIT).await?;
        Ok(())
    }

    async fn launch(&mut self) -> Result<(), ServiceError> {
        // A server that ends at once is tried again: after a crash, the last of the old backends may take a moment
        // to let go of the shared memory.
        let attempts = async {
            loop {
                self.process = Some(self.spawn()?);
                if self.answers_before_it_ends().await? {
                    return Ok(());
                }
                sleep(TICK * 10).await;
            }
        };
        match timeout(READY_LIMIT, attempts).await {
            Ok(result) => result,
            Err(_) => Err(self.not_ready()),
        }
    }

    fn spawn(&self) -> Result<Process, ServiceError> {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        for setting in self.settings() {
            command.arg("-c").arg(setting);
        }
        log_to(&mut command, &self.log())?;
        Process::spawn(command).doing(|| "starting PostgreSQL".to_owned())
    }

    fn settings(&self) -> Vec<String> {
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            // Segments elsewhere would outlive a server that was killed.
            "dynamic_shared_memory_type=mmap".to_owned(),
            format!("max_connections={}", self.options.max_connections),
        ];
        if self.options.durability == Durability::Fast {
            settings.extend(
                ["fsync", "synchronous_commit", "full_page_writes"].map(|name| format!("{name}=off")),
            );
        }
        settings.extend(self.options.settings.iter().cloned());
        settings
    }

    async fn answers_before_it_ends(&mut self) -> Result<bool, ServiceError> {
        let url = self.url("postgres");
        loop {
            let Some(process) = &mut self.process else { return Ok(false) };
            if process.ended().doing(|| "watching PostgreSQL".to_owned())?.is_some() {
                return Ok(false);
            }
            if let Ok(Ok(connection)) = timeout(TRY_LIMIT, PgConnection::connect(&url)).await {
                let _ = connection.close().await;
                return Ok(true);
            }
            sleep(TICK).await;
        }
    }

    fn not_ready(&self) -> ServiceError {
        let log = tail(&self.log());
        let state = "it did not answer".to_owned();
        ServiceError::NotReady { service: "PostgreSQL", waited: READY_LIMIT, state, log }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = dying_with_us(Signal::Kill, self.bin.join(program));
        if let Some(account) = self.account {
            command.uid(account.user).gid(account.group);
        }
        // Nothing of the caller's may change what the server does.
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
        command.current_dir(self.dir.path());
        command
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("postgres.log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // At once, but not by SIGKILL: the kernel keeps a killed server's shared memory.
            process.signal(Signal::Quit);
            process.wait_or_kill_blocking(DROP_LIMIT);
        }
    }
}

/// A user and group by number.
#[derive(Clone, Copy, Debug)]
struct Account {
    user: u32,
    group: u32,
}

impl Account {
    fn find() -> Result<Self, ServiceError> {
        let users = fs::read_to_string("/etc/passwd").doing(|| "reading /etc/passwd".to_owned())?;
        Self::parse(&users).ok_or_else(|| ServiceError::Missing {
            missing: format!("the user {ACCOUNT}"),
            hint: "PostgreSQL's packages make one".to_owned(),
        })
    }

    fn parse(users: &str) -> Option<Self> {
        let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let fields = lines.find(|fields| fields.first() == Some(&ACCOUNT))?;
        Some(Self { user: fields.get(2)?.parse().ok()?, group: fields.get(3)?.parse().ok()? })
    }
}

fn make_dir(parent: &Path, account: Option<Account>) -> Result<TempDir, ServiceError> {
    let made = tempfile::Builder::new().prefix("hulak-pg-").tempdir_in(parent);
    let dir = made.doing(|| format!("making a directory in {}", parent.display()))?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).doing(|| "opening it".to_owned())?;
    if let Some(account) = account {
        let owned = chown(dir.path(), Some(account.user), Some(account.group));
        owned.doing(|| "giving it to PostgreSQL's user".to_owned())?;
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_account() {
        let users = "root:x:0:0:root:/root:/bin/bash\npostgres:x:104:107:,,,:/var/lib/postgresql:/bin/bash\n";
        let account = Account::parse(users).unwrap();
        assert_eq!((account.user, account.group), (104, 107));
        assert!(Account::parse("root:x:0:0:root:/root:/bin/bash\n").is_none());
    }
}
