//! An axum handler without Hulak, under the same load.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::error::BenchError;
use crate::load_process::{LoadProcess, Measured};
use crate::options::Options;
use crate::programs::{helper, start_bare_handler};
use crate::protocol::{Call, ClosedLoop, Command, Kind};
use crate::usage::Counted;

const CONNECTIONS: usize = 32;
const READY_LIMIT: Duration = Duration::from_secs(10);

/// Requests a second over 32 connections.
///
/// # Errors
/// When it cannot be measured.
pub async fn bare_handler(options: &Options) -> Result<Measured, BenchError> {
    let (process, server) = start_bare_handler()?;
    let listening = async {
        while TcpStream::connect(server).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(READY_LIMIT, listening)
        .await
        .map_err(|_| BenchError::Setup("the bare handler does not listen".into()))?;
    let mut load = LoadProcess::start(&helper("hulak-bench-load")?)?;
    let mut counted = vec![Counted { name: "handler".to_owned(), id: process.id() }];
    counted.extend(load.id().map(|id| Counted { name: "load".to_owned(), id }));
    let call = Call { server, key: "-".to_owned(), kind: Kind::Bare };
    let work = ClosedLoop {
        call,
        connections: CONNECTIONS,
        warmup: options.warmup,
        seconds: options.seconds,
        limit: None,
        backlog: None,
    };
    load.measure(&Command::Closed(work), &counted).await
}
