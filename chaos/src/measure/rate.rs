//! Workers that join and leave while there is work: together they send at the account's rate, never more and hardly less.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::Settings;
use crate::deployment::{Deployment, DeploymentOptions};
use crate::error::ChaosError;
use crate::evidence;
use crate::load::Load;
use crate::load::visits::fresh;
use crate::millis::Millis;
use crate::programs::Programs;

const RATE: u32 = 50;
const MESSAGES: usize = 3_000;
/// Requests at a time: all of them take a moment, and sending takes a minute.
const CALLERS: usize = 50;
/// Between two changes.
const STEP: Duration = Duration::from_secs(9);

pub(super) async fn run(programs: Programs) -> Result<bool, ChaosError> {
    let hour = Duration::from_secs(3_600);
    let settings = Settings { rate: RATE, code_ttl: hour, backlog_age: hour, ..Settings::default() };
    let options = DeploymentOptions { apis: 2, workers: 1, spare: 2, clients: 1, settings, programs };
    let deployment = Box::pin(Deployment::start(&options)).await?;
    let load = Load::new(&deployment)?;
    ask(&load).await?;
    let begun = deployment.now();
    // One, two, three, two, one and two workers: never none.
    sleep(STEP).await;
    deployment.workers[1].start().await?;
    sleep(STEP).await;
    deployment.workers[2].start().await?;
    sleep(STEP).await;
    deployment.workers[0].stop().await?;
    sleep(STEP).await;
    deployment.workers[1].stop().await?;
    sleep(STEP).await;
    deployment.workers[0].start().await?;
    let open = evidence::settle(&deployment, Duration::from_secs(120), None).await?;
    let times: Vec<Millis> =
        deployment.sandbox.inbox().iter().rev().map(|message| message.received_at.as_millis()).collect();
    deployment.stop().await?;
    let (most, mean) = (most_in_a_second(&times), mean(&times, begun));
    println!(
        "account's rate {RATE} a second, 1 to 3 workers joining and leaving: {} accepted by the gateway, {open} open, at most {most} \
         in any second, {mean:.1} a second while there was work",
        times.len()
    );
    let (limit, least) = (f64::from(RATE) * 1.1, f64::from(RATE) * 0.9);
    #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
    let kept = most as f64 <= limit && mean >= least;
    Ok(kept && open == 0 && times.len() == MESSAGES)
}

async fn ask(load: &Load) -> Result<(), ChaosError> {
    let mut asking = JoinSet::new();
    for lane in 0..CALLERS {
        let caller = Arc::clone(load.caller());
        asking.spawn(async move {
            for n in (lane..MESSAGES).step_by(CALLERS) {
                caller.create(n, 0, &fresh(1, n), "", false).await;
            }
        });
    }
    while let Some(done) = asking.join_next().await {
        done?;
    }
    Ok(())
}

fn most_in_a_second(times: &[Millis]) -> usize {
    let within = |(n, at): (usize, &Millis)| times.partition_point(|other| *other < at + 1_000) - n;
    times.iter().enumerate().map(within).max().unwrap_or(0)
}

/// From the last request until the last message.
#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn mean(times: &[Millis], begun: Millis) -> f64 {
    let before = times.partition_point(|at| *at < begun);
    let (count, span) = (times.len() - before, times.last().copied().unwrap_or(begun) - begun);
    count as f64 * 1_000.0 / (span as f64).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_any_second() {
        assert_eq!(most_in_a_second(&[0, 900, 999, 1_000, 1_898, 1_999]), 4);
        assert_eq!(most_in_a_second(&[]), 0);
    }
}
