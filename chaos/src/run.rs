//! One run: everything is started, disturbed and checked.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use tokio::time::sleep;

use crate::config::{Plan, Settings};
use crate::deployment::{Deployment, DeploymentOptions};
use crate::error::ChaosError;
use crate::judge::{Judgement, judge};
use crate::load::Load;
use crate::load::visits::LATE_NUMBERS;
use crate::programs::Programs;
use crate::promise::{Broken, Promise};
use crate::report::Report;
use crate::schedule::{APIS, Schedule, WORKERS};
use crate::{evidence, faults, stall_watch};

/// Client applications.
const CLIENTS: usize = 3;
/// After the last message has ended, how long a duplicate has time to arrive.
const DUPLICATES: Duration = Duration::from_secs(4);
/// How long after its code has expired a message may be open: the reaper expires it within seconds.
const SETTLE_MARGIN: Duration = Duration::from_secs(30);
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

/// Makes one run and checks the promises. `progress` gets lines of progress.
///
/// # Errors
/// When the run could not be made. A broken promise is not an error but part of the report.
pub async fn run(
    plan: &Plan,
    programs: Programs,
    progress: impl Fn(&str) + Send + Sync + 'static,
) -> Result<Report, ChaosError> {
    let settings = Settings::default();
    let schedule = Schedule::draw(plan);
    progress(&format!("seed {}: starting services and programs", plan.seed));
    let options =
        DeploymentOptions { apis: APIS, workers: WORKERS, spare: 0, clients: CLIENTS, settings, programs };
    let deployment = Box::pin(Deployment::start(&options)).await?;
    let load = Load::new(&deployment)?;
    let begun = Stopwatch::start();

    let work = async {
        tokio::try_join!(load.run(plan), disturb(&deployment, &load, &schedule, plan))?;
        for program in deployment.children() {
            if let Err(error) = deployment.ready(program).await {
                deployment.report_broken(Promise::Programs, error.to_string());
            }
        }
        let limit = settings.code_ttl + SETTLE_MARGIN;
        progress(&format!("{:.0?}: faults and visits are over, waiting for open messages", begun.elapsed()));
        let open = tokio::select! {
            open = evidence::settle(&deployment, limit, Some(LATE_NUMBERS)) => open?,
            () = load.late_requests(plan.seed) => 0,
        } + evidence::settle(&deployment, limit, None).await?;
        if open > 0 {
            deployment
                .report_broken(Promise::Lost, format!("{open} messages are still open after {limit:?}"));
        }
        sleep(DUPLICATES).await;
        Ok::<(), ChaosError>(())
    };
    let done = tokio::select! {
        done = work => done,
        never = faults::watch(&deployment) => never,
        () = print_progress(&deployment, &load, begun, &progress) => Ok(()),
        () = stall_watch::watch(&deployment) => Ok(()),
    };
    if done.is_err() {
        progress(&format!("the logs: {}", deployment.keep_logs(plan.seed, "").display()));
    }
    done?;
    progress(&format!("{:.0?}: reading the evidence", begun.elapsed()));
    let evidence = Box::pin(evidence::gather(&deployment, load.caller())).await?;
    deployment.stop().await?;
    let Judgement { totals, mut broken } = judge(&evidence, &settings);
    broken.extend(deployment.broken_promises());
    broken.extend(load.caller().broken());
    let logs = (!broken.is_empty()).then(|| deployment.keep_logs(plan.seed, &evidence.to_text()));
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
        totals,
        again,
        given_up,
        broken,
        logs,
    })
}

async fn disturb(
    deployment: &Arc<Deployment>,
    load: &Load,
    schedule: &Schedule,
    plan: &Plan,
) -> Result<(), ChaosError> {
    faults::inject(deployment, schedule).await?;
    load.probe(plan.seed).await;
    Ok(())
}

/// Prints lines of progress until the future is dropped.
async fn print_progress(
    deployment: &Deployment,
    load: &Load,
    begun: Stopwatch,
    progress: &(impl Fn(&str) + Sync),
) {
    loop {
        sleep(PROGRESS).await;
        let (created, again) = {
            let log = load.log().lock();
            (log.created, log.again)
        };
        let windows = deployment.fault_log.windows();
        let on: Vec<_> = windows.iter().filter(|w| w.to.is_none()).map(|w| w.what.as_str()).collect();
        let (elapsed, taken) = (begun.elapsed(), deployment.sandbox.stats().accepted);
        progress(&format!(
            "{elapsed:.0?}: {created} accepted, {taken} accepted by the gateway, {again} calls repeated, \
             {} faults; active: {}",
            windows.len(),
            on.join(", ")
        ));
    }
}
