//! Watches for stalls of the machine or its disk. During a stall no program can keep its times, so that it is logged as a fault of
//! its own.

use std::io::Write as _;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use tokio::time::sleep;

use crate::deployment::Deployment;
use crate::fault_log::FaultKind;

/// Between two checks.
const TICK: Duration = Duration::from_millis(250);
/// A delay beyond this is a stall. A machine that is not busy is late by a few milliseconds.
const LATE: Duration = Duration::from_millis(500);

/// Watches until the future is dropped.
pub async fn watch(deployment: &Deployment) {
    let file = deployment.stall_watch_file();
    loop {
        let watch = Stopwatch::start();
        sleep(TICK).await;
        // A commit waits for such a write.
        let file = file.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut file = std::fs::File::create(file)?;
            file.write_all(&[0; 4_096])?;
            file.sync_data()
        });
        // A full disk fails elsewhere.
        let _written = written.await;
        let took = watch.elapsed();
        if took > TICK + LATE {
            deployment.fault_log.past(FaultKind::Holding, "the machine stalled", took);
        }
    }
}
