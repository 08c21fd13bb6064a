use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use tokio::time::sleep;

use crate::config::Settings;
use crate::judge::{Broken, Promise, Verdict, judge};
use crate::load::{LATE_NUMBERS, Load};
use crate::schedule::{APIS, Schedule, WORKERS};
use crate::world::{Shape, World};
use crate::{Binaries, ChaosError, Plan, Report, evidence, faults, heartbeat};

/// Client applications.
const CLIENTS: usize = 3;
/// When everything is final, a message too many still gets this long to show itself.
const QUIET: Duration = Duration::from_secs(4);
/// Beyond a code's life nothing may be open any more: what is left is expired within seconds.
const SETTLE_MARGIN: Duration = Duration::from_secs(30);
const PROGRESS: Duration = Duration::from_secs(10);

/// Makes one run and judges it. `progress` gets a line now and then.
///
/// # Errors
/// When the run could not be made; a broken promise is no error but part of the report.
pub async fn run(
    plan: &Plan,
    binaries: Binaries,
    progress: impl Fn(&str) + Send + Sync + 'static,
) -> Result<Report, ChaosError> {
    let settings = Settings::default();
    let schedule = Schedule::draw(plan);
    progress(&format!("seed {}: starting services and programs", plan.seed));
    let shape = Shape { apis: APIS, workers: WORKERS, spare: 0, clients: CLIENTS, settings, binaries };
    let world = Box::pin(World::start(&shape)).await?;
    let load = Load::new(&world)?;
    let begun = Stopwatch::start();

    let work = async {
        tokio::try_join!(load.run(plan), disturb(&world, &load, &schedule, plan))?;
        for program in world.programs() {
            if let Err(error) = world.ready(program).await {
                world.complain(Promise::Programs, error.to_string());
            }
        }
        let limit = settings.code_ttl + SETTLE_MARGIN;
        progress(&format!("{:.0?}: faults and calls are over, waiting for what is open", begun.elapsed()));
        let open = tokio::select! {
            open = evidence::settle(&world, limit, Some(LATE_NUMBERS)) => open?,
            () = load.trickle(plan.seed) => 0,
        } + evidence::settle(&world, limit, None).await?;
        if open > 0 {
            world.complain(Promise::Lost, format!("{open} messages are still open after {limit:?}"));
        }
        sleep(QUIET).await;
        Ok::<(), ChaosError>(())
    };
    let done = tokio::select! {
        done = work => done,
        never = faults::watch(&world) => never,
        () = tell(&world, &load, begun, &progress) => Ok(()),
        () = heartbeat::watch(&world) => Ok(()),
    };
    if done.is_err() {
        progress(&format!("the logs: {}", world.keep_logs(plan.seed, "").display()));
    }
    done?;
    progress(&format!("{:.0?}: reading what is left", begun.elapsed()));
    let evidence = Box::pin(evidence::gather(&world, load.caller())).await?;
    world.stop().await?;
    let Verdict { tally, mut broken } = judge(&evidence, &settings);
    broken.extend(world.complaints());
    broken.extend(load.caller().broken());
    let logs = (!broken.is_empty()).then(|| world.keep_logs(plan.seed, &evidence.to_text()));
    let (created, again, given_up) = {
        let log = load.log().lock();
        (log.created, log.again, log.given_up)
    };
    if created < plan.verifications {
        let what = format!("only {created} of {} verifications were accepted", plan.verifications);
        broken.push(Broken { promise: Promise::Answers, what });
    }
    Ok(Report {
        seed: plan.seed,
        kills: schedule.kills(),
        faults: evidence.windows.len(),
        tally,
        again,
        given_up,
        broken,
        logs,
    })
}

async fn disturb(
    world: &Arc<World>,
    load: &Load,
    schedule: &Schedule,
    plan: &Plan,
) -> Result<(), ChaosError> {
    faults::play(world, schedule).await?;
    load.probe(plan.seed).await;
    Ok(())
}

/// Tells how it goes, until it is dropped.
async fn tell(world: &World, load: &Load, begun: Stopwatch, progress: &(impl Fn(&str) + Sync)) {
    loop {
        sleep(PROGRESS).await;
        let (created, again) = {
            let log = load.log().lock();
            (log.created, log.again)
        };
        let windows = world.journal.windows();
        let on: Vec<_> = windows.iter().filter(|w| w.to.is_none()).map(|w| w.what.as_str()).collect();
        let (elapsed, taken) = (begun.elapsed(), world.sandbox.stats().accepted);
        progress(&format!(
            "{elapsed:.0?}: {created} accepted, {taken} taken by the gateway, {again} calls made again, \
             {} faults; on: {}",
            windows.len(),
            on.join(", ")
        ));
    }
}
