//! Readiness, on the API and on the workers alike.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use hulak_broker::{Broker, BrokerHealth};
use hulak_store::{Health, Monitor, Store};

/// What readiness depends on.
#[derive(Debug, Clone)]
pub struct Vitals {
    /// The database.
    pub monitor: Monitor,
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// The store, for the state of its connections.
    pub store: Arc<Store>,
}

impl Vitals {
    /// Fails only without the database: without a broker requests are still recorded, and go out when it is back.
    #[must_use]
    pub fn ready(&self) -> (StatusCode, Value) {
        let database = self.monitor.health();
        let (status, word) = if database == Health::Up {
            (StatusCode::OK, "ready")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        };
        let body = json!({
            "status": word,
            "database": match database { Health::Up => "up", Health::Starting => "starting", Health::Down => "down" },
            "broker": match *self.broker.health().borrow() {
                BrokerHealth::Up => "up",
                BrokerHealth::Blocked | BrokerHealth::Down => "degraded",
            },
        });
        (status, body)
    }
}

/// Asks `/readyz` of a running role: for the health checks of containers, whose image has no other HTTP client.
///
/// # Errors
/// When it does not answer, or is not ready, with the reason.
pub async fn ask_ready(admin: SocketAddr) -> Result<(), String> {
    let asked = async {
        // A role that listens on every address is reached on loopback.
        let ip = match admin.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
            ip => ip,
        };
        let mut stream = tokio::net::TcpStream::connect((ip, admin.port())).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.take(4_096).read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match tokio::time::timeout(Duration::from_secs(3), asked).await {
        Ok(Ok(answer)) if answer.starts_with("HTTP/1.1 200 ") => Ok(()),
        Ok(Ok(answer)) => Err(answer.lines().last().unwrap_or("no answer").to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer within 3 s".to_owned()),
    }
}
