//! Programs in Python that tests need, with the versions of a requirements file, installed under `target/`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// A directory with what a requirements file names.
pub(crate) struct Python {
    program: PathBuf,
    packages: Option<PathBuf>,
}

impl Python {
    /// Installs it unless it is there already, which needs the network. Blocks.
    pub(crate) fn with(name: &str, requirements: &Path) -> Self {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = std::fs::read_to_string(requirements).expect("the requirements");
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let (stamp, packages) = (directory.join("installed"), directory.join("packages"));
        let program = directory.join("bin/python");
        if std::fs::read_to_string(&stamp).ok().as_ref() != Some(&wanted) {
            let _none = std::fs::remove_dir_all(&directory);
            install(&directory, &program, &packages, requirements);
            std::fs::write(&stamp, &wanted).expect("the stamp");
        }
        if packages.exists() {
            Self { program: "python3".into(), packages: Some(packages) }
        } else {
            Self { program, packages: None }
        }
    }

    /// A module, as a program.
    pub(crate) fn module(&self, name: &str) -> Command {
        let mut command = self.program();
        command.args(["-m", name]);
        command
    }

    /// Python itself.
    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.stdin(Stdio::null());
        if let Some(packages) = &self.packages {
            command.env("PYTHONPATH", packages);
        }
        command
    }
}

/// Into a virtual environment, or, where Debian's `python3-venv` is missing and cannot be had, into a plain directory.
fn install(directory: &Path, program: &Path, packages: &Path, requirements: &Path) {
    let venv = || run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(directory));
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    let mut isolated = venv();
    if !isolated && apt_get("update") && apt_get("install") {
        isolated = venv();
    }
    let installed = if isolated {
        run(Command::new(program).args(pip).arg(requirements))
    } else {
        run(Command::new("python3").args(pip).arg(requirements).arg("--target").arg(packages))
    };
    assert!(
        installed,
        "{requirements:?} cannot be installed; python3 with venv or pip is needed, and the network"
    );
}

/// Only root may, so it tells by itself whether it can.
fn apt_get(step: &str) -> bool {
    let mut command = Command::new("apt-get");
    command.args(["-o", "DPkg::Lock::Timeout=300", "-y", step]).env("DEBIAN_FRONTEND", "noninteractive");
    if step == "install" {
        command.args(["--no-install-recommends", "python3-venv"]);
    }
    run(&mut command)
}

fn run(command: &mut Command) -> bool {
    let output = command.stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            eprintln!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            false
        }
        Err(error) => {
            eprintln!("{:?}: {error}", command.get_program());
            false
        }
    }
}
