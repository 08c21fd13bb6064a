//! Asks how the account at the gateway is doing: while the circuit is open, whether it may be closed; else, now and then,
//! how many credits are left.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::rng::Rng;
use hulak_runtime::metrics;
use hulak_runtime::shutdown::Shutdown;

use crate::breaker::{Breaker, Phase, Verdict};
use crate::gateway::{Gateway, Probe};

/// Between two questions about the credits; a fifth more or less, so that workers do not ask in step.
const CREDITS: Duration = Duration::from_secs(60);
/// The gateway's code for "no credits".
const NO_CREDITS: i32 = 1012;

/// Asks until the stop.
pub async fn run(breaker: Arc<Breaker>, gateway: Arc<dyn Gateway>, rng: Rng, shutdown: Shutdown) {
    let asking = async {
        let mut phase = breaker.phase();
        // Soon after the start, so that a graph begins with a value.
        let mut rest = Duration::from_secs(1);
        loop {
            let open = tokio::select! {
                // The breaker outlives this, so waiting cannot fail.
                _ = phase.wait_for(|phase| *phase == Phase::Open) => true,
                () = tokio::time::sleep(rest) => false,
            };
            if open {
                // With jitter: all workers met the same refusal at about the same time.
                tokio::time::sleep(breaker.wait().mul_f64(0.8 + 0.4 * rng.fraction())).await;
                decide(&breaker, ask(&*gateway).await);
            } else {
                // The circuit is not opened by this: a message that is refused says more than a question.
                ask(&*gateway).await;
                rest = CREDITS.mul_f64(0.8 + 0.4 * rng.fraction());
            }
        }
    };
    tokio::select! { () = asking => {}, () = shutdown.begun() => {} }
}

async fn ask(gateway: &dyn Gateway) -> Probe {
    let probe = gateway.probe().await;
    match probe {
        Probe::Good { credits: Some(credits) } => metrics::worker().credits(credits),
        Probe::Refused { gateway_code: NO_CREDITS } => metrics::worker().credits(0.0),
        Probe::Good { credits: None } | Probe::Refused { .. } | Probe::NoAnswer => {}
    }
    probe
}

/// What an answer means for an open circuit.
fn decide(breaker: &Breaker, probe: Probe) {
    match probe {
        Probe::Good { .. } => {
            tracing::info!("the gateway's account is in order again: one message goes first");
            breaker.probed(Verdict::Good);
        }
        Probe::Refused { gateway_code } => {
            breaker.refused_with(gateway_code);
            tracing::warn!(code = gateway_code, "the gateway still refuses the account");
            breaker.probed(Verdict::Refused);
        }
        Probe::NoAnswer => {
            tracing::warn!("the gateway does not say how the account is doing");
            // It is not to be asked as often as at first for as long as that lasts.
            breaker.probed(Verdict::Refused);
        }
    }
}
