//! 8 workers, 200 requests for one number through different clients: its pace and its quota hold.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use hulak_sandbox::Faults;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::Settings;
use crate::judge::judge;
use crate::load::Load;
use crate::recovery::Kind;
use crate::world::{Shape, calm};
use crate::{Binaries, ChaosError, World, evidence};

const CLIENTS: usize = 200;
const PHONE: &str = "9800000001";
/// The gateway is away at first, so that several messages wait for the same moment.
const AWAY: Duration = Duration::from_secs(12);
const TRYING: Duration = Duration::from_secs(30);

pub(super) async fn run(binaries: Binaries) -> Result<bool, ChaosError> {
    let settings = Settings { hourly: 10, daily: 20, ..Settings::default() };
    let shape = Shape { apis: 2, workers: 8, spare: 0, clients: CLIENTS, settings, binaries };
    let world = Box::pin(World::start(&shape)).await?;
    let load = Load::new(&world)?;
    {
        let _away = world.journal.open(Kind::Other, "gateway away");
        world.sandbox.set_faults(Faults { response_code: Some(503), ..calm() });
        let calling = call(&load);
        let back = async {
            sleep(AWAY).await;
            world.sandbox.set_faults(calm());
        };
        tokio::join!(calling, back).0?;
    }
    let open = evidence::settle(&world, settings.code_ttl + Duration::from_secs(30), None).await?;
    let evidence = Box::pin(evidence::gather(&world, load.caller())).await?;
    world.stop().await?;
    let verdict = judge(&evidence, &settings);
    let times: Vec<_> = evidence.taken.iter().map(|taken| taken.at).collect();
    let nearest = times.windows(2).map(|pair| pair[1] - pair[0]).min();
    let statuses = load.log().lock().statuses.clone();
    println!("answers by status: {statuses:?}");
    println!(
        "one number, 8 workers, {CLIENTS} clients, cooldown {:?}, quota {}: {} messages taken, the nearest two \
         {nearest:?} ms apart; {open} open; broken promises: {:?}",
        settings.cooldown,
        settings.hourly,
        times.len(),
        verdict.broken
    );
    let kept = nearest.is_none_or(|nearest| nearest >= 2_000) && times.len() <= settings.hourly as usize;
    Ok(kept && open == 0 && verdict.broken.is_empty() && !times.is_empty())
}

/// Every client asks again and again, as an impatient person does.
async fn call(load: &Load) -> Result<(), ChaosError> {
    let mut calling = JoinSet::new();
    for key in 0..CLIENTS {
        let caller = Arc::clone(load.caller());
        calling.spawn(async move {
            let watch = Stopwatch::start();
            while watch.elapsed() < TRYING {
                caller.create_once(key, key, PHONE, "", false).await;
                sleep(Duration::from_millis(900)).await;
            }
        });
    }
    while let Some(done) = calling.join_next().await {
        done?;
    }
    Ok(())
}
