//! Watches the machine itself: while it stands still, or its disk does, nobody keeps any time, and that is no fault of the
//! programs. Such a time goes into the journal as a fault of its own.

use std::io::Write as _;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use tokio::time::sleep;

use crate::World;
use crate::recovery::Kind;

/// From one look to the next.
const TICK: Duration = Duration::from_millis(250);
/// Later than this, and the machine stood still. A free one is late by a few milliseconds.
const LATE: Duration = Duration::from_millis(500);

/// Watches until it is dropped.
pub async fn watch(world: &World) {
    let file = world.heartbeat_file();
    loop {
        let watch = Stopwatch::start();
        sleep(TICK).await;
        // What a commit waits for.
        let file = file.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut file = std::fs::File::create(file)?;
            file.write_all(&[0; 4_096])?;
            file.sync_data()
        });
        // A full disk shows elsewhere.
        let _written = written.await;
        let took = watch.elapsed();
        if took > TICK + LATE {
            world.journal.past(Kind::Holding, "the machine stood still", took);
        }
    }
}
