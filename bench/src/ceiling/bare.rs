//! A handler of axum that does next to nothing, driven as Hulak is.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::BenchError;
use crate::config::{Options, Programs};
use crate::driver::{Driver, Measured};
use crate::process::Counted;
use crate::protocol::{Call, Closed, Command, Kind};
use crate::world;

const CONNECTIONS: usize = 32;
const READY_LIMIT: Duration = Duration::from_secs(10);

/// Requests a second over 32 connections.
///
/// # Errors
/// When it cannot be measured.
pub async fn bare(binaries: &Programs, options: &Options) -> Result<Measured, BenchError> {
    let (process, server) = world::bare(binaries)?;
    let listening = async {
        while TcpStream::connect(server).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(READY_LIMIT, listening)
        .await
        .map_err(|_| BenchError::Setup("the bare handler does not listen".into()))?;
    let mut driver = Driver::start(&binaries.path("hulak-bench-load"))?;
    let mut counted = vec![Counted { name: "handler".to_owned(), id: process.id() }];
    counted.extend(driver.id().map(|id| Counted { name: "load".to_owned(), id }));
    let call = Call { server, key: "-".to_owned(), kind: Kind::Bare };
    let work = Closed {
        call,
        connections: CONNECTIONS,
        warmup: options.warmup,
        seconds: options.seconds,
        limit: None,
        window: None,
    };
    driver.measure(&Command::Closed(work), &counted).await
}
