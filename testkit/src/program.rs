//! Hulak's programs as children of a measurement or a test: how each role is started, and when it is ready.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hulak_common::code::{Keyring, Secret};
use hulak_common::rng::Rng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::services::without_cargo_env;

/// From one question of [`ready`] to the next.
const TICK: Duration = Duration::from_millis(50);
/// How long one answer of `/readyz` may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A program in one of its roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    role: Option<&'static str>,
}

impl Program {
    /// The program at `path` in this role: `api`, `worker` or `sandbox`. Earlier releases have a program for each role;
    /// such a program refuses the role's name, and is started without it.
    #[must_use]
    pub fn in_role(path: impl Into<PathBuf>, role: &'static str) -> Self {
        let path = path.into();
        let mut help = Command::new(&path);
        help.args([role, "--help"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let known = help.status().is_ok_and(|status| status.success());
        Self { path, role: known.then_some(role) }
    }

    /// The program at `path` without a role: everything in one process.
    #[must_use]
    pub fn without_role(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), role: None }
    }

    /// Whether the program takes the role's name.
    #[must_use]
    pub fn has_role(&self) -> bool {
        self.role.is_some()
    }

    /// The program's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The command that starts it, with these settings and none of this process's.
    #[must_use]
    pub fn command<N, V>(&self, settings: impl IntoIterator<Item = (N, V)>) -> Command
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let mut command = without_cargo_env(&self.path);
        let names = std::env::vars_os().map(|(name, _)| name);
        for name in names.filter(|name| name.to_string_lossy().starts_with("HULAK_")) {
            command.env_remove(name);
        }
        command.args(self.role).stdin(Stdio::null());
        command.envs(settings.into_iter().map(|(name, value)| (name.into(), value.into())));
        command
    }
}

/// Waits, without a limit, until the program with this admin address (`http://…`) is ready and connected to its broker.
pub async fn ready(admin: &str) {
    let address = admin.trim_start_matches("http://");
    loop {
        if let Ok(Ok(answer)) = timeout(ANSWER_LIMIT, read_readyz(address)).await
            && answer.starts_with("HTTP/1.1 200")
            && !answer.contains("degraded")
        {
            return;
        }
        sleep(TICK).await;
    }
}

/// The whole answer, over plain TCP: an HTTP client of reqwest would need a TLS provider, which a benchmark does not install.
async fn read_readyz(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A random `HULAK_SECRET`, and the keyring that derives the same codes from it as the programs do.
#[must_use]
pub fn random_secret(rng: &Rng) -> (String, Keyring) {
    let bytes = rng.bytes::<32>();
    let secret = Secret::from_bytes(bytes.to_vec()).expect("32 bytes are a secret");
    (STANDARD.encode(bytes), Keyring::new(secret, None))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use tokio::net::TcpListener;

    use super::*;

    fn script(directory: &Path, text: &str) -> PathBuf {
        let path = directory.join("program");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn arguments(program: &Program) -> Vec<String> {
        let command = program.command([("HULAK_LOG", "info")]);
        command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect()
    }

    #[tokio::test]
    async fn a_program_is_ready_once_it_says_so_and_is_not_degraded() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = format!("http://{}", listener.local_addr().unwrap());
        let mut answers =
            ["503 Service Unavailable\r\n\r\n", "200 OK\r\n\r\ndegraded", "200 OK\r\n\r\nready"].into_iter();
        let serving = async {
            for answer in answers.by_ref() {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 512];
                let read = stream.read(&mut request).await.unwrap();
                assert!(request[..read].starts_with(b"GET /readyz HTTP/1.1\r\n"));
                stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await.unwrap();
            }
        };
        tokio::join!(serving, ready(&admin));
        assert_eq!(answers.next(), None);
    }

    #[test]
    fn a_role_is_named_where_the_program_knows_it() {
        let directory = tempfile::tempdir().unwrap();
        let one = script(directory.path(), "[ \"$1\" = api ]");
        let api = Program::in_role(&one, "api");
        assert_eq!(arguments(&api).last().map(String::as_str), Some("api"));
        let former = script(directory.path(), "exit 2");
        let api = Program::in_role(&former, "api");
        assert_ne!(arguments(&api).last().map(String::as_str), Some("api"));
        assert_eq!(api, Program::without_role(former));
    }
}
