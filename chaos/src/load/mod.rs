//! The load: web sites that request codes, and people who enter them. They continue during faults, as clients do: a call without
//! an answer is repeated.

pub mod caller;
pub mod inbox;
pub mod log;
mod visitor;
pub mod visits;

use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::Plan;
use crate::deployment::Deployment;
use crate::error::ChaosError;
use caller::Caller;
use inbox::Inbox;
use log::SharedLog;
use visits::{Visit, visits};

/// Visits at a time.
const VISITS: usize = 600;
/// Between two requests that only test whether an API works again.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// Between two requests while the last messages are sent.
const LATE_INTERVAL: Duration = Duration::from_secs(2);

/// All clients of a run.
#[derive(Debug)]
pub struct Load {
    deployment: Arc<Deployment>,
    caller: Arc<Caller>,
    inbox: Arc<Inbox>,
}

impl Load {
    /// Clients of this deployment.
    ///
    /// # Errors
    /// When no HTTP client can be had.
    pub fn new(deployment: &Arc<Deployment>) -> Result<Self, ChaosError> {
        Ok(Self {
            deployment: Arc::clone(deployment),
            caller: Arc::new(Caller::new(deployment)?),
            inbox: Arc::new(Inbox::default()),
        })
    }

    /// What the clients were answered.
    #[must_use]
    pub fn log(&self) -> &SharedLog {
        &self.caller.log
    }

    /// Calls the APIs.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Makes all visits at their times, and more until as many verifications as planned were accepted.
    ///
    /// # Errors
    /// When a task panicked, which only a mistake in the harness causes.
    pub async fn run(&self, plan: &Plan) -> Result<(), ChaosError> {
        let reading = Arc::clone(&self.inbox).follow(self.deployment.sandbox.clone());
        tokio::select! {
            done = self.visit_all(plan) => done,
            () = reading => Ok(()),
        }
    }

    async fn visit_all(&self, plan: &Plan) -> Result<(), ChaosError> {
        let (begun, slots, mut running) =
            (Stopwatch::start(), Arc::new(Semaphore::new(VISITS)), JoinSet::new());
        let planned = visits(plan, self.deployment.keys.len());
        let extra = (0..plan.verifications).map(|n| Visit::extra(n + planned.len(), plan));
        for visit in planned.iter().cloned().chain(extra) {
            let late = visit.extra && self.log().lock().created >= plan.verifications;
            if late {
                break;
            }
            sleep(visit.at.saturating_sub(begun.elapsed())).await;
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
            let (deployment, caller, inbox) =
                (Arc::clone(&self.deployment), Arc::clone(&self.caller), Arc::clone(&self.inbox));
            running.spawn(async move {
                visitor::visit(&deployment, &caller, &inbox, visit).await;
                drop(slot);
            });
            while let Some(done) = running.try_join_next() {
                done?;
            }
        }
        while let Some(done) = running.join_next().await {
            done?;
        }
        Ok(())
    }

    /// After the last fault: requests a code from each API until it answers.
    pub async fn probe(&self, seed: u64) {
        for api in 0..self.deployment.apis.len() {
            let number = visits::late_number(seed, api);
            while self.caller.create_once(api, 0, &number, "late", false).await.is_none() {
                sleep(PROBE_INTERVAL).await;
            }
        }
    }

    /// Continues to request codes, for other numbers, while the last messages are sent: if these are sent, the others must be,
    /// too.
    pub async fn late_requests(&self, seed: u64) {
        for n in self.deployment.apis.len().. {
            self.caller.create_once(n, 0, &visits::late_number(seed, n), "late", false).await;
            sleep(LATE_INTERVAL).await;
        }
    }
}
