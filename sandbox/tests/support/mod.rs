//! A simulator on a port of its own, and a client.
#![allow(dead_code, clippy::allow_attributes, reason = "each test program uses a part of this")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::FrozenClock;
use hulak_common::rng::Rng;
use hulak_common::time::Timestamp;
use hulak_runtime::shutdown::Shutdown;
use hulak_sandbox::{Faults, Sandbox, SandboxConfig, run};
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) const NUMBER: &str = "9812345678";
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_120);

pub(crate) struct Simulator {
    pub(crate) sandbox: Sandbox,
    pub(crate) addr: SocketAddr,
    pub(crate) client: Client,
    pub(crate) shutdown: Shutdown,
    pub(crate) task: JoinHandle<std::io::Result<()>>,
}

/// A config that answers at once.
pub(crate) fn config() -> SandboxConfig {
    SandboxConfig { faults: Faults::none(), ..SandboxConfig::default() }
}

pub(crate) async fn start() -> Simulator {
    start_with(config()).await
}

pub(crate) async fn start_with(config: SandboxConfig) -> Simulator {
    // The client wants a provider even for plain HTTP. All but the first installation fail, harmlessly.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let sandbox = Sandbox::new(config, Arc::new(FrozenClock::at(NOW)), Rng::seeded(1));
    let shutdown = Shutdown::new();
    let task = tokio::spawn(run(listener, sandbox.clone(), shutdown.clone()));
    Simulator { sandbox, addr, client, shutdown, task }
}

/// The fields of a good send.
pub(crate) fn good() -> Vec<(&'static str, String)> {
    [("token", "t"), ("from", "Hulak"), ("to", NUMBER), ("text", "Your code is 123456.")]
        .map(|(name, value)| (name, value.to_owned()))
        .to_vec()
}

/// A good send but for one field.
pub(crate) fn with(field: &str, value: &str) -> Vec<(&'static str, String)> {
    let changed = |(name, old)| if name == field { (name, value.to_owned()) } else { (name, old) };
    good().into_iter().map(changed).collect()
}

/// A good send without one field.
pub(crate) fn without(field: &str) -> Vec<(&'static str, String)> {
    good().into_iter().filter(|(name, _)| *name != field).collect()
}

impl Simulator {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) async fn post(&self, fields: &[(&'static str, String)]) -> reqwest::Result<Response> {
        self.client.post(self.url("/v2/sms/")).form(fields).send().await
    }

    /// The status and JSON of a send.
    pub(crate) async fn send(&self, fields: &[(&'static str, String)]) -> (u16, Value) {
        told(self.post(fields).await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        told(self.client.get(self.url(path)).send().await.unwrap()).await
    }

    pub(crate) async fn put_faults(&self, body: &str) -> (u16, Value) {
        told(self.client.put(self.url("/faults")).body(body.to_owned()).send().await.unwrap()).await
    }
}

pub(crate) async fn told(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
