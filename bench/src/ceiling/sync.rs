//! Small writes to the disk, each synced: the least that a commit waits for.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use hulak_common::clock::Stopwatch;

use crate::error::BenchError;
use crate::latency::LatencyHistogram;
use crate::options::Options;
use crate::protocol::Latency;
use crate::services::Services;

/// Writes a second: fewer than the database makes at half its load, so that the disk has time for each.
const RATE: f64 = 100.0;
/// A page of PostgreSQL's write-ahead log.
const PAGE: [u8; 8_192] = [b'x'; 8_192];
/// Pages that are written in turn again and again, as the log does with its recycled segments.
const PAGES: u64 = 1_024;

/// How long a write and its sync take, from the time when the write was due.
///
/// # Errors
/// When the disk refuses.
pub async fn sync(services: &Services, options: &Options) -> Result<Latency, BenchError> {
    let path = services.directory().join("synced");
    let seconds = options.seconds;
    let measuring = tokio::task::spawn_blocking(move || measure(&path, seconds));
    measuring.await.map_err(|error| BenchError::Setup(format!("a task of the ceiling panicked: {error}")))?
}

fn measure(path: &Path, seconds: f64) -> Result<Latency, BenchError> {
    let file = File::create(path)?;
    for page in 0..PAGES {
        file.write_all_at(&PAGE, page * PAGE.len() as u64)?;
    }
    file.sync_all()?;
    let (watch, mut latencies) = (Stopwatch::start(), LatencyHistogram::default());
    for nth in 0_u64.. {
        let due = Duration::from_secs_f64(nth as f64 / RATE);
        if due.as_secs_f64() >= seconds {
            break;
        }
        thread::sleep(due.saturating_sub(watch.elapsed()));
        file.write_all_at(&PAGE, nth % PAGES * PAGE.len() as u64)?;
        file.sync_data()?;
        latencies.record(watch.elapsed().saturating_sub(due));
    }
    std::fs::remove_file(path)?;
    Ok(latencies.summary())
}
