//! The gateway answers 1012 for a minute: nothing fails; everything goes out afterwards, or expires if its code did.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::verification::Delivery;
use hulak_sandbox::Faults;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::Settings;
use crate::judge::judge;
use crate::load::{Load, fresh};
use crate::recovery::Kind;
use crate::world::{Shape, calm};
use crate::{Binaries, ChaosError, World, evidence};

const OUTAGE: Duration = Duration::from_secs(60);
const BEFORE: Duration = Duration::from_secs(5);
const REQUESTS: usize = 700;
const BETWEEN: Duration = Duration::from_millis(100);

pub(super) async fn run(binaries: Binaries) -> Result<bool, ChaosError> {
    let long = Box::pin(outage(Duration::from_secs(300), binaries.clone())).await?;
    let short = Box::pin(outage(Duration::from_secs(30), binaries)).await?;
    Ok(long && short)
}

async fn outage(code_ttl: Duration, binaries: Binaries) -> Result<bool, ChaosError> {
    // Shedding would keep the messages away that are to be watched.
    let settings = Settings { code_ttl, backlog_age: Duration::from_secs(600), ..Settings::default() };
    let shape = Shape { apis: 2, workers: 3, spare: 0, clients: 1, settings, binaries };
    let world = Box::pin(World::start(&shape)).await?;
    let load = Load::new(&world)?;
    let (back, asked) = tokio::join!(no_credits(&world), ask(&load));
    asked?;
    let open = evidence::settle(&world, Duration::from_secs(180), None).await?;
    let settled = world.now() - back;
    let evidence = Box::pin(evidence::gather(&world, load.caller())).await?;
    world.stop().await?;
    let verdict = judge(&evidence, &settings);
    let first = evidence.taken.iter().map(|taken| taken.at).find(|at| *at >= back);
    let useless = evidence
        .messages
        .iter()
        .filter(|message| message.state == Delivery::Expired)
        .filter(|message| message.created_at + i64::try_from(code_ttl.as_millis()).unwrap_or(0) > back)
        .count();
    let tally = &verdict.tally;
    println!(
        "1012 for {OUTAGE:?}, codes live {code_ttl:?}: {} messages, {} sent, {} failed, {} expired ({useless} of \
         them after the end), {open} open; the first went out {:?} ms after the end, the last was final {settled} ms \
         after it; broken promises: {:?}",
        tally.messages,
        tally.sent,
        tally.failed,
        tally.expired,
        first.map(|first| first - back),
        verdict.broken
    );
    Ok(tally.failed == 0
        && open == 0
        && tally.sent + tally.expired == tally.messages
        && verdict.broken.is_empty())
}

/// Answers when it was over.
async fn no_credits(world: &World) -> i64 {
    sleep(BEFORE).await;
    let _open = world.journal.open(Kind::Other, "gateway 1012");
    world.sandbox.set_faults(Faults { response_code: Some(1012), ..calm() });
    sleep(OUTAGE).await;
    world.sandbox.set_faults(calm());
    world.now()
}

async fn ask(load: &Load) -> Result<(), ChaosError> {
    let mut asking = JoinSet::new();
    for n in 0..REQUESTS {
        let caller = Arc::clone(load.caller());
        asking.spawn(async move { caller.create(n, 0, &fresh(1, n), "", false).await });
        sleep(BETWEEN).await;
    }
    while let Some(done) = asking.join_next().await {
        done?;
    }
    Ok(())
}
