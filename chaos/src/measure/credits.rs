//! The gateway answers 1012 (no credits) for a minute: no message fails; each is sent afterwards, or expires with its code.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::verification::Delivery;
use hulak_sandbox::Faults;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::Settings;
use crate::deployment::{Deployment, DeploymentOptions, calm};
use crate::error::ChaosError;
use crate::evidence;
use crate::fault_log::FaultKind;
use crate::judge::judge;
use crate::load::Load;
use crate::load::visits::fresh;
use crate::programs::Programs;

const OUTAGE: Duration = Duration::from_secs(60);
const BEFORE: Duration = Duration::from_secs(5);
const REQUESTS: usize = 700;
const BETWEEN: Duration = Duration::from_millis(100);

pub(super) async fn run(programs: Programs) -> Result<bool, ChaosError> {
    let long = Box::pin(outage(Duration::from_secs(300), programs.clone())).await?;
    let short = Box::pin(outage(Duration::from_secs(30), programs)).await?;
    Ok(long && short)
}

async fn outage(code_ttl: Duration, programs: Programs) -> Result<bool, ChaosError> {
    // With load shedding there would be too few messages to measure.
    let settings = Settings { code_ttl, backlog_age: Duration::from_secs(600), ..Settings::default() };
    let options = DeploymentOptions { apis: 2, workers: 3, spare: 0, clients: 1, settings, programs };
    let deployment = Box::pin(Deployment::start(&options)).await?;
    let load = Load::new(&deployment)?;
    let (back, asked) = tokio::join!(no_credits(&deployment), ask(&load));
    asked?;
    let open = evidence::settle(&deployment, Duration::from_secs(180), None).await?;
    let settled = deployment.now() - back;
    let evidence = Box::pin(evidence::gather(&deployment, load.caller())).await?;
    deployment.stop().await?;
    let judgement = judge(&evidence, &settings);
    let first = evidence.taken.iter().map(|taken| taken.at).find(|at| *at >= back);
    let useless = evidence
        .messages
        .iter()
        .filter(|message| message.state == Delivery::Expired)
        .filter(|message| message.created_at + i64::try_from(code_ttl.as_millis()).unwrap_or(0) > back)
        .count();
    let totals = &judgement.totals;
    println!(
        "1012 for {OUTAGE:?}, codes live {code_ttl:?}: {} messages, {} sent, {} failed, {} expired ({useless} of \
         them after the end), {open} open; the first was sent {:?} ms after the end, the last was final {settled} ms \
         after it; broken promises: {:?}",
        totals.messages,
        totals.sent,
        totals.failed,
        totals.expired,
        first.map(|first| first - back),
        judgement.broken
    );
    Ok(totals.failed == 0
        && open == 0
        && totals.sent + totals.expired == totals.messages
        && judgement.broken.is_empty())
}

/// Answers when the outage was over.
async fn no_credits(deployment: &Deployment) -> i64 {
    sleep(BEFORE).await;
    let _open = deployment.fault_log.open(FaultKind::Other, "gateway 1012");
    deployment.sandbox.set_faults(Faults { response_code: Some(1012), ..calm() });
    sleep(OUTAGE).await;
    deployment.sandbox.set_faults(calm());
    deployment.now()
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
