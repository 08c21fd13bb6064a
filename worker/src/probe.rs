//! Probes the account at the gateway: while the circuit is open, to learn when it may be closed; otherwise about once a minute,
//! to learn how many credits are left.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::rng::Rng;
use hulak_runtime::metrics;
use hulak_runtime::shutdown::Shutdown;

use crate::breaker::{AccountState, Breaker, Phase};
use crate::gateway::{Gateway, Probe};

/// Between two probes while the circuit is closed, with 20% of jitter, so that workers do not probe at the same time.
const INTERVAL: Duration = Duration::from_secs(60);

/// Probes until shutdown.
pub async fn run(breaker: Arc<Breaker>, gateway: Arc<dyn Gateway>, rng: Rng, shutdown: Shutdown) {
    let probing = async {
        let mut phase = breaker.phase();
        // The first probe comes soon after the start, so that a graph begins with a value.
        let mut interval = Duration::from_secs(1);
        loop {
            let open = tokio::select! {
                // The breaker outlives this task, so waiting cannot fail.
                _ = phase.wait_for(|phase| *phase == Phase::Open) => true,
                () = tokio::time::sleep(interval) => false,
            };
            let jitter = 0.8 + 0.4 * rng.fraction();
            if open {
                // With jitter: all workers met the same refusal at about the same time.
                tokio::time::sleep(breaker.wait().mul_f64(jitter)).await;
                tell(&breaker, probe(&*gateway).await);
            } else {
                // A probe does not open the circuit: only a refused message does.
                probe(&*gateway).await;
                interval = INTERVAL.mul_f64(jitter);
            }
        }
    };
    tokio::select! { () = probing => {}, () = shutdown.begun() => {} }
}

async fn probe(gateway: &dyn Gateway) -> Probe {
    let probe = gateway.probe().await;
    match probe {
        Probe::Good { credits: Some(credits) } => metrics::worker().credits(credits),
        Probe::OutOfCredits { .. } => metrics::worker().credits(0.0),
        Probe::Good { credits: None } | Probe::Refused { .. } | Probe::NoAnswer => {}
    }
    probe
}

/// Tells an open circuit the result of a probe.
fn tell(breaker: &Breaker, probe: Probe) {
    match probe {
        Probe::Good { .. } => {
            tracing::info!("the gateway accepts the account again: one message is sent as a trial");
            breaker.probed(AccountState::Good);
        }
        Probe::OutOfCredits { gateway_code } | Probe::Refused { gateway_code } => {
            breaker.refused_with(gateway_code);
            tracing::warn!(code = %gateway_code, "the gateway still refuses the account");
            breaker.probed(AccountState::Refused);
        }
        Probe::NoAnswer => {
            tracing::warn!("the gateway did not answer a probe of the account");
            // Counted as a refusal, so that the probes become rarer while the gateway does not answer.
            breaker.probed(AccountState::Refused);
        }
    }
}
