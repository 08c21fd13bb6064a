//! 8 workers, 200 requests for one number through different clients: its cooldown and its quota hold.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
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
use crate::programs::Programs;

const CLIENTS: usize = 200;
const PHONE: &str = "9800000001";
/// The gateway fails at first, so that several messages wait for the same moment.
const OUTAGE: Duration = Duration::from_secs(12);
const TRYING: Duration = Duration::from_secs(30);

pub(super) async fn run(programs: Programs) -> Result<bool, ChaosError> {
    let settings = Settings { hourly: 10, daily: 20, ..Settings::default() };
    let options = DeploymentOptions { apis: 2, workers: 8, spare: 0, clients: CLIENTS, settings, programs };
    let deployment = Box::pin(Deployment::start(&options)).await?;
    let load = Load::new(&deployment)?;
    {
        let _away = deployment.fault_log.open(FaultKind::Other, "gateway fails");
        deployment.sandbox.set_faults(Faults { response_code: Some(503), ..calm() });
        let calling = call(&load);
        let back = async {
            sleep(OUTAGE).await;
            deployment.sandbox.set_faults(calm());
        };
        tokio::join!(calling, back).0?;
    }
    let open = evidence::settle(&deployment, settings.code_ttl + Duration::from_secs(30), None).await?;
    let evidence = Box::pin(evidence::gather(&deployment, load.caller())).await?;
    deployment.stop().await?;
    let judgement = judge(&evidence, &settings);
    let times: Vec<_> = evidence.taken.iter().map(|taken| taken.at).collect();
    let nearest = times.windows(2).map(|pair| pair[1] - pair[0]).min();
    let statuses = load.log().lock().statuses.clone();
    println!("answers by status: {statuses:?}");
    println!(
        "one number, 8 workers, {CLIENTS} clients, cooldown {:?}, quota {}: {} messages accepted by the gateway, the nearest two \
         {nearest:?} ms apart; {open} open; broken promises: {:?}",
        settings.cooldown,
        settings.hourly,
        times.len(),
        judgement.broken
    );
    let kept = nearest.is_none_or(|nearest| nearest >= 2_000) && times.len() <= settings.hourly as usize;
    Ok(kept && open == 0 && judgement.broken.is_empty() && !times.is_empty())
}

/// Every client requests codes again and again.
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
