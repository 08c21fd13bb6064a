//! A running `hulak`, as its users start it.
#![allow(dead_code, clippy::allow_attributes, reason = "each test program uses a part of this")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hulak_common::client::{Change, SettingsChange};
use hulak_store::Store;
use hulak_testkit_stack::{Answer, rules};
use hulak_worker::gateways::sparrow::install_tls;
use serde_json::Value;

/// A running `hulak`, killed when it goes out of scope.
pub(crate) struct Hulak {
    pub(crate) child: Child,
    /// What it printed at its start.
    pub(crate) greeting: String,
    /// The API key, as a shell with its settings reads it where the greeting says.
    key: String,
    /// Calls it.
    pub(crate) http: reqwest::Client,
}

/// A command with none of our settings but these.
pub(crate) fn program(settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hulak"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HULAK_")) {
        command.env_remove(name);
    }
    command.envs(settings.iter().copied());
    command
}

fn said_key(greeting: &str, settings: &[(&str, &str)]) -> String {
    let (_, said) = greeting.split_once("Bearer ").unwrap();
    let said = said.lines().next().unwrap().trim_end_matches(['\\', ' ', '"']);
    assert!(said.starts_with('$'), "the key itself is not printed");
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", &format!("echo \"{said}\"")]).envs(settings.iter().copied()).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
}

impl Hulak {
    pub(crate) fn start(directory: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start_logging(directory, settings, Stdio::null())
    }

    /// The same, with its log to look at.
    pub(crate) fn start_logging(directory: &Path, settings: &[(&str, &str)], log: Stdio) -> Self {
        install_tls();
        let anywhere =
            ["HULAK_HTTP_ADDR", "HULAK_ADMIN_ADDR", "HULAK_SANDBOX_ADDR"].map(|name| (name, "127.0.0.1:0"));
        let mut child = program(&anywhere)
            .envs(settings.iter().copied())
            .env("HULAK_DATA_DIR", directory)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut greeting = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        while !greeting.contains("-d '") {
            assert!(lines.read_line(&mut greeting).unwrap() > 0, "it ended: {greeting}");
        }
        let key = said_key(&greeting, settings);
        Self { child, greeting, key, http: reqwest::Client::new() }
    }

    /// The address in the line of the greeting that begins so.
    pub(crate) fn address(&self, line: &str) -> String {
        let line = self.greeting.lines().find(|text| text.trim_start().starts_with(line)).unwrap();
        line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned()
    }

    pub(crate) fn key(&self) -> String {
        self.key.clone()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        let url = format!("{}{path}", self.address("API"));
        Answer::of(self.http.post(url).bearer_auth(self.key()).json(&body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.http.get(format!("{}{path}", self.address("API"))).bearer_auth(self.key())).await
    }

    pub(crate) async fn inbox(&self) -> Value {
        let url = self.address("SMS inbox").replace("/inbox", "/inbox.json");
        Answer::of(self.http.get(url)).await.body
    }
}

/// Lets the client `default` send browsers back to an address.
pub(crate) async fn may_come_back(data: &Path, address: &str) {
    let store = Store::sqlite(&data.join("hulak.db"), rules()).unwrap();
    let redirect_uris = Change::To(vec![address.parse().unwrap()]);
    let change = SettingsChange { redirect_uris, ..SettingsChange::default() };
    assert!(store.change_client("default", &change).await.unwrap().is_some());
    store.close().await;
}

impl Drop for Hulak {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}
