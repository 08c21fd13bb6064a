//! RabbitMQ is killed and started again during 500 requests a second: clients do not notice, and every message is sent.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::Settings;
use crate::deployment::{Deployment, DeploymentOptions};
use crate::error::ChaosError;
use crate::judge::judge;
use crate::load::Load;
use crate::load::visits::fresh;
use crate::programs::Programs;
use crate::schedule::Target;
use crate::{evidence, faults};

const A_SECOND: u32 = 500;
const SPAN: Duration = Duration::from_secs(30);
const KILL_AT: Duration = Duration::from_secs(6);
const DOWN: Duration = Duration::from_secs(2);

pub(super) async fn run(programs: Programs) -> Result<bool, ChaosError> {
    let settings = Settings { rate: 2_000, code_ttl: Duration::from_secs(300), ..Settings::default() };
    let options = DeploymentOptions { apis: 2, workers: 3, spare: 0, clients: 1, settings, programs };
    let deployment = Box::pin(Deployment::start(&options)).await?;
    let load = Load::new(&deployment)?;
    let kill = async {
        sleep(KILL_AT).await;
        faults::kill(&deployment, Target::Broker, DOWN).await
    };
    let ((asked, unsure), took) = tokio::try_join!(ask(&load), async {
        kill.await?;
        Ok(deployment.fault_log.windows().iter().filter_map(|w| Some(w.to? - w.from)).max())
    })?;
    let watch = Stopwatch::start();
    let open = evidence::settle(&deployment, Duration::from_secs(180), None).await?;
    let settled = watch.elapsed();
    let evidence = Box::pin(evidence::gather(&deployment, load.caller())).await?;
    deployment.stop().await?;
    let judgement = judge(&evidence, &settings);
    let statuses = load.log().lock().statuses.clone();
    let bad: u64 = statuses.range(500..).map(|(_, count)| count).sum();
    let totals = &judgement.totals;
    println!(
        "RabbitMQ killed, away for {took:?} ms, during {A_SECOND} requests a second for {SPAN:?}: {asked} requests, \
         answers by status {statuses:?}, {unsure} without a usable answer; {} messages, {} sent, {} ambiguous, {open} \
         open {settled:.1?} after the last request; broken promises: {:?}",
        totals.messages, totals.sent, totals.ambiguous, judgement.broken
    );
    Ok(bad == 0 && unsure == 0 && open == 0 && totals.sent == totals.messages && judgement.broken.is_empty())
}

/// Requests codes at a steady rate, however slow the answers are. Answers how many, and how many of unknown outcome.
async fn ask(load: &Load) -> Result<(usize, usize), ChaosError> {
    let (watch, mut asking, mut n) = (Stopwatch::start(), JoinSet::new(), 0_usize);
    while watch.elapsed() < SPAN {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
        let due = (watch.elapsed().as_secs_f64() * f64::from(A_SECOND)) as usize;
        while n < due {
            let caller = Arc::clone(load.caller());
            asking.spawn(async move { caller.create_once(n, 0, &fresh(1, n), "", false).await.is_none() });
            n += 1;
        }
        sleep(Duration::from_millis(5)).await;
    }
    let mut unsure = 0;
    while let Some(done) = asking.join_next().await {
        unsure += usize::from(done?);
    }
    Ok((n, unsure))
}
