//! Plays a schedule on a world.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use hulak_sandbox::Faults;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::judge::Promise;
use crate::program::{SIGTERM, freeze, terminate};
use crate::recovery::Kind;
use crate::schedule::{Action, Schedule, Service, Target, Weather};
use crate::world::calm;
use crate::{ChaosError, World};

/// How often a service is started that does not come up.
const STARTS: u32 = 3;
/// How often the programs are looked after.
const WATCH: Duration = Duration::from_millis(500);

/// Plays all of it and returns when the last fault is over: everything runs, nothing is cut.
///
/// # Errors
/// When a service does not come back, which says nothing about Hulak.
pub async fn play(world: &Arc<World>, schedule: &Schedule) -> Result<(), ChaosError> {
    let begun = Stopwatch::start();
    let mut running = JoinSet::new();
    for event in &schedule.events {
        sleep(event.at.saturating_sub(begun.elapsed())).await;
        let (world, action) = (Arc::clone(world), event.action.clone());
        running.spawn(async move { act(&world, action).await });
        while let Some(done) = running.try_join_next() {
            done??;
        }
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

async fn act(world: &World, action: Action) -> Result<(), ChaosError> {
    match action {
        Action::Kill { target, down } => kill(world, target, down).await,
        Action::Restart { worker } => restart(world, worker).await,
        Action::Freeze { worker, span } => freeze_for(world, worker, span).await,
        Action::Link { from, to, weather, span } => disturb(world, from, to, weather, span).await,
        Action::Gateway { faults, span } => {
            misbehave(world, faults, span).await;
            Ok(())
        }
    }
}

/// SIGKILL, and started again after `down`. Returns once a service answers again, or a program is started.
///
/// # Errors
/// When it does not come back.
pub async fn kill(world: &World, target: Target, down: Duration) -> Result<(), ChaosError> {
    match target {
        Target::Database => {
            let mut postgres = world.postgres.lock().await;
            let _open = world.journal.open(Kind::Kill, format!("kill {target}"));
            postgres.kill9();
            sleep(down).await;
            let mut tries = 1;
            while let Err(error) = postgres.restart().await {
                if tries == STARTS {
                    return Err(error.into());
                }
                tries += 1;
            }
        }
        Target::Broker => {
            let mut rabbit = world.rabbit.lock().await;
            let _open = world.journal.open(Kind::Kill, format!("kill {target}"));
            rabbit.kill9();
            sleep(down).await;
            // On a busy machine a start may take longer than the testkit waits for it.
            let mut tries = 1;
            while let Err(error) = rabbit.restart().await {
                if tries == STARTS {
                    return Err(error.into());
                }
                tries += 1;
            }
        }
        Target::Api(_) | Target::Worker(_) => {
            let Some(program) = world.program(target) else { return Ok(()) };
            let mut process = program.process.lock().await;
            let _open = world.journal.open(Kind::Kill, format!("kill {target}"));
            if let Some(mut killed) = process.take() {
                killed.kill()?;
            }
            sleep(down).await;
            *process = Some(program.spawn()?);
        }
    }
    Ok(())
}

async fn restart(world: &World, worker: usize) -> Result<(), ChaosError> {
    let Some(program) = world.workers.get(worker) else { return Ok(()) };
    let mut process = program.process.lock().await;
    let _open = world.journal.open(Kind::Stop, format!("restart worker {worker}"));
    if let Some(running) = process.take()
        && let Some(end) = terminate(running).await?
        // It may have been started a moment ago, and not have got as far as to look out for signals.
        && end.signal != Some(SIGTERM)
    {
        world.complain(Promise::Programs, format!("worker {worker} {}", end.what));
    }
    *process = Some(program.spawn()?);
    Ok(())
}

async fn freeze_for(world: &World, worker: usize, span: Duration) -> Result<(), ChaosError> {
    let Some(program) = world.workers.get(worker) else { return Ok(()) };
    let process = program.process.lock().await;
    if let Some(process) = &*process {
        let _open = world.journal.open(Kind::Holding, format!("freeze worker {worker}"));
        freeze(process, true);
        sleep(span).await;
        freeze(process, false);
    }
    Ok(())
}

async fn disturb(
    world: &World,
    from: Target,
    to: Service,
    weather: Weather,
    span: Duration,
) -> Result<(), ChaosError> {
    let Some(link) = world.program(from).and_then(|program| program.link(to)) else { return Ok(()) };
    let _turn = link.turn.lock().await;
    let holding = to == Service::Gateway && weather == Weather::Stall;
    let kind = if holding { Kind::Holding } else { Kind::Other };
    let _open = world.journal.open(kind, format!("{weather:?} {from} to {to:?}"));
    match weather {
        Weather::Cut => link.proxy.cut().await?,
        Weather::Stall => link.proxy.stall(),
        Weather::Delay(delay) => link.proxy.delay(delay),
    }
    sleep(span).await;
    Ok(link.proxy.heal().await?)
}

async fn misbehave(world: &World, faults: Faults, span: Duration) {
    let _turn = world.gateway_turn.lock().await;
    let _open = world.journal.open(Kind::Other, describe(&faults));
    world.sandbox.set_faults(faults);
    sleep(span).await;
    world.sandbox.set_faults(calm());
}

fn describe(faults: &Faults) -> String {
    let Faults { latency_ms, error_rate, drop_rate, timeout_rate, response_code, .. } = faults;
    match response_code {
        Some(code) => format!("gateway {code}"),
        None if error_rate + drop_rate + timeout_rate == 0.0 => format!("gateway slow, {latency_ms} ms"),
        None => format!("gateway errors {error_rate:.2}, drops {drop_rate:.2}, silence {timeout_rate:.2}"),
    }
}

/// Watches over the programs until it is dropped: one that ends by itself has broken a promise, and is started again.
///
/// # Errors
/// When one cannot be started again.
pub async fn watch(world: &World) -> Result<(), ChaosError> {
    loop {
        sleep(WATCH).await;
        for program in world.programs() {
            // In the hands of a fault: not ours to look at.
            let Ok(mut process) = program.process.try_lock() else { continue };
            let Some(running) = process.as_mut() else { continue };
            if let Some(status) = running.ended()? {
                world.complain(Promise::Programs, format!("{} ended by itself: {status}", program.target));
                *process = Some(program.spawn()?);
            }
        }
    }
}
