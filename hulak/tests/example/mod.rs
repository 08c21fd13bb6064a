//! An example that runs as a child process.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hulak_testkit::services::install;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::started::Hulak;

/// The repository.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// How long a line may be waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running example, killed when it goes out of scope.
pub(crate) struct Example {
    child: Child,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
}

impl Example {
    /// Starts it with the settings of this `hulak` and these.
    pub(crate) fn start(
        mut command: Command,
        arguments: &[&str],
        hulak: &Hulak,
        settings: &[(&str, &str)],
    ) -> Self {
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HULAK_"))
        {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .env("HULAK_PUBLIC_URL", hulak.address("API"))
            .env("HULAK_API_KEY", hulak.key());
        command.env("NODE_NO_WARNINGS", "1").envs(settings.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        // Both end with the child, whose output they read.
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut errors = child.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _read = errors.read_to_string(&mut text);
            text
        });
        Self { child, lines, errors: Some(errors) }
    }

    /// What follows `start` in the next line that begins so.
    pub(crate) fn line(&mut self, start: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => match line.strip_prefix(start) {
                    Some(rest) => return rest.to_owned(),
                    None => seen.push(line),
                },
                Err(_) => {
                    let _ended = self.child.kill();
                    let errors = self.errors.take().map(JoinHandle::join);
                    panic!("no line {start:?} in {seen:?}; its errors: {errors:?}");
                }
            }
        }
    }

    /// Types a line.
    pub(crate) fn write(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
        input.flush().unwrap();
    }

    /// Its status once it has ended, which it does by itself, and what it wrote to standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end"),
            }
        }
        let status = self.child.wait().unwrap();
        (status.code(), self.errors.take().unwrap().join().unwrap())
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// A Python with what the examples require, about to run one of them.
pub(crate) async fn python(file: &str) -> Command {
    static READY: OnceCell<(PathBuf, PathBuf)> = OnceCell::const_new();
    let (interpreter, packages) = READY.get_or_init(install).await;
    let mut command = Command::new(interpreter);
    command.arg(Path::new(ROOT).join("examples/python").join(file));
    command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// The same once more: a command is started once.
pub(crate) fn again(command: &Command) -> Command {
    let mut again = Command::new(command.get_program());
    again.args(command.get_args());
    again.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    again
}

/// Installs what the examples require into a directory of its own, once for each list of requirements.
async fn install() -> (PathBuf, PathBuf) {
    let interpreter = install::python().await.unwrap();
    let requirements = Path::new(ROOT).join("examples/python/requirements.txt");
    let mut hash = DefaultHasher::new();
    (fs::read(&requirements).unwrap(), &interpreter).hash(&mut hash);
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let packages = parent.join(format!("python-{:016x}", hash.finish()));
    if packages.is_dir() {
        return (interpreter, packages);
    }
    // Beside it, and moved at the end: what is there is whole.
    let fresh = tempfile::tempdir_in(parent).unwrap();
    let output = Command::new(&interpreter)
        .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--target"])
        .arg(fresh.path().join("packages"))
        .arg("--requirement")
        .arg(&requirements)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    if let Err(error) = fs::rename(fresh.path().join("packages"), &packages) {
        assert!(packages.is_dir(), "{error}");
    }
    (interpreter, packages)
}

/// What a token says.
pub(crate) fn claims(token: &str) -> Value {
    let body = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// A token that says another number under the same signature.
pub(crate) fn tampered(token: &str) -> String {
    let parts: Vec<_> = token.split('.').collect();
    let mut claims = claims(token);
    claims["sub"] = "+9779800000000".into();
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
}
