//! Injects the faults of a schedule.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use hulak_sandbox::Faults;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::child::{SIGTERM, freeze, terminate};
use crate::deployment::{Deployment, calm};
use crate::error::ChaosError;
use crate::fault_log::FaultKind;
use crate::promise::Promise;
use crate::schedule::{Action, LinkFault, Schedule, Target, Upstream};

/// How often the start of a service is tried.
const STARTS: u32 = 3;
/// Between two checks of the programs.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Injects all faults and returns when the last one is over: all processes run, all connections are open.
///
/// # Errors
/// When a service does not start again, for which Hulak is not the cause.
pub async fn inject(deployment: &Arc<Deployment>, schedule: &Schedule) -> Result<(), ChaosError> {
    let begun = Stopwatch::start();
    let mut running = JoinSet::new();
    for event in &schedule.events {
        sleep(event.at.saturating_sub(begun.elapsed())).await;
        let (deployment, action) = (Arc::clone(deployment), event.action.clone());
        running.spawn(async move { inject_one(&deployment, action).await });
        while let Some(done) = running.try_join_next() {
            done??;
        }
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

async fn inject_one(deployment: &Deployment, action: Action) -> Result<(), ChaosError> {
    match action {
        Action::Kill { target, down } => kill(deployment, target, down).await,
        Action::Restart { worker } => restart(deployment, worker).await,
        Action::Freeze { worker, span } => freeze_for(deployment, worker, span).await,
        Action::Link { from, to, fault, span } => disturb_link(deployment, from, to, fault, span).await,
        Action::Gateway { faults, span } => {
            disturb_gateway(deployment, faults, span).await;
            Ok(())
        }
    }
}

/// SIGKILL, and a start after `down`. Returns once a service answers again, or a program is started.
///
/// # Errors
/// When it does not start again.
pub async fn kill(deployment: &Deployment, target: Target, down: Duration) -> Result<(), ChaosError> {
    match target {
        Target::Database => {
            let mut postgres = deployment.postgres.lock().await;
            let _open = deployment.fault_log.open(FaultKind::Kill, format!("kill {target}"));
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
            let mut rabbit = deployment.rabbit.lock().await;
            let _open = deployment.fault_log.open(FaultKind::Kill, format!("kill {target}"));
            rabbit.kill9();
            sleep(down).await;
            // On a busy machine a start may take longer than the testkit's limit.
            let mut tries = 1;
            while let Err(error) = rabbit.restart().await {
                if tries == STARTS {
                    return Err(error.into());
                }
                tries += 1;
            }
        }
        Target::Api(_) | Target::Worker(_) => {
            let Some(program) = deployment.child(target) else { return Ok(()) };
            let mut process = program.process.lock().await;
            let _open = deployment.fault_log.open(FaultKind::Kill, format!("kill {target}"));
            if let Some(mut killed) = process.take() {
                killed.kill()?;
            }
            sleep(down).await;
            *process = Some(program.spawn()?);
        }
    }
    Ok(())
}

async fn restart(deployment: &Deployment, worker: usize) -> Result<(), ChaosError> {
    let Some(program) = deployment.workers.get(worker) else { return Ok(()) };
    let mut process = program.process.lock().await;
    let _open = deployment.fault_log.open(FaultKind::Stop, format!("restart worker {worker}"));
    if let Some(running) = process.take()
        && let Some(end) = terminate(running).await?
        // It may have been started a moment ago, and not have installed its signal handler yet.
        && end.signal != Some(SIGTERM)
    {
        deployment.report_broken(Promise::Programs, format!("worker {worker} {}", end.what));
    }
    *process = Some(program.spawn()?);
    Ok(())
}

async fn freeze_for(deployment: &Deployment, worker: usize, span: Duration) -> Result<(), ChaosError> {
    let Some(program) = deployment.workers.get(worker) else { return Ok(()) };
    let process = program.process.lock().await;
    if let Some(process) = &*process {
        let _open = deployment.fault_log.open(FaultKind::Holding, format!("freeze worker {worker}"));
        freeze(process, true);
        sleep(span).await;
        freeze(process, false);
    }
    Ok(())
}

async fn disturb_link(
    deployment: &Deployment,
    from: Target,
    to: Upstream,
    fault: LinkFault,
    span: Duration,
) -> Result<(), ChaosError> {
    let Some(link) = deployment.child(from).and_then(|program| program.link(to)) else { return Ok(()) };
    let _turn = link.turn.lock().await;
    let holding = to == Upstream::Gateway && fault == LinkFault::Stall;
    let kind = if holding { FaultKind::Holding } else { FaultKind::Other };
    let _open = deployment.fault_log.open(kind, format!("{fault:?} {from} to {to:?}"));
    match fault {
        LinkFault::Cut => link.proxy.cut().await?,
        LinkFault::Stall => link.proxy.stall(),
        LinkFault::Delay(delay) => link.proxy.delay(delay),
    }
    sleep(span).await;
    Ok(link.proxy.heal().await?)
}

async fn disturb_gateway(deployment: &Deployment, faults: Faults, span: Duration) {
    let _turn = deployment.gateway_turn.lock().await;
    let _open = deployment.fault_log.open(FaultKind::Other, describe(&faults));
    deployment.sandbox.set_faults(faults);
    sleep(span).await;
    deployment.sandbox.set_faults(calm());
}

fn describe(faults: &Faults) -> String {
    let Faults { latency_ms, error_rate, drop_rate, timeout_rate, response_code, .. } = faults;
    match response_code {
        Some(code) => format!("gateway {code}"),
        None if error_rate + drop_rate + timeout_rate == 0.0 => format!("gateway slow, {latency_ms} ms"),
        None => format!("gateway errors {error_rate:.2}, drops {drop_rate:.2}, silence {timeout_rate:.2}"),
    }
}

/// Watches the programs until the future is dropped: one that ends by itself breaks a promise, and is started again.
///
/// # Errors
/// When one cannot be started again.
pub async fn watch(deployment: &Deployment) -> Result<(), ChaosError> {
    loop {
        sleep(CHECK_INTERVAL).await;
        for program in deployment.children() {
            // Locked by a fault, which ends and starts it.
            let Ok(mut process) = program.process.try_lock() else { continue };
            let Some(running) = process.as_mut() else { continue };
            if let Some(status) = running.ended()? {
                deployment.report_broken(
                    Promise::Programs,
                    format!("{} ended by itself: {status}", program.target),
                );
                *process = Some(program.spawn()?);
            }
        }
    }
}
