//! The callers: web sites that ask for codes, and the people who type them. They go on whatever happens, as callers do:
//! what is not answered is asked again.

mod caller;
mod inbox;
mod people;
mod visits;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

pub use caller::{Caller, Reply};
pub use inbox::Inbox;
pub use visits::{LATE_NUMBERS, Then, Visit, fresh, visits};

use crate::{ChaosError, Millis, Plan, World};

/// Visits at a time.
const VISITS: usize = 600;
/// Between two looks of a caller who only wants to know whether anything works again.
const PROBE: Duration = Duration::from_millis(100);
/// Between two requests while the last messages are waited for.
const TRICKLE: Duration = Duration::from_secs(2);

/// What the callers saw, for the judge.
#[derive(Debug, Default)]
pub struct Log {
    /// The verifications that were accepted (202) or found alive (200), with their numbers' ten digits.
    pub accepted: HashMap<Uuid, String>,
    /// How many were accepted as new.
    pub created: usize,
    /// Every code that was checked.
    pub checks: Vec<Checked>,
    /// Verifications whose cancelling was confirmed.
    pub canceled: Vec<Uuid>,
    /// When each API decided about a request for a code.
    pub decided: Vec<Vec<Millis>>,
    /// Calls that had no answer, or 503, and were made again.
    pub again: u64,
    /// Requests that were given up.
    pub given_up: u64,
    /// How often each status came.
    pub statuses: BTreeMap<u16, u64>,
}

/// A check of a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Of which verification.
    pub verification: Uuid,
    /// What was typed.
    pub code: String,
    /// The status; `None` when nobody can tell what became of it.
    pub status: Option<u16>,
}

/// A log that many callers write to.
#[derive(Debug, Default)]
pub struct SharedLog(Mutex<Log>);

impl SharedLog {
    /// Locked for a moment.
    pub fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everybody who calls.
#[derive(Debug)]
pub struct Load {
    world: Arc<World>,
    caller: Arc<Caller>,
    inbox: Arc<Inbox>,
}

impl Load {
    /// Callers of this world.
    ///
    /// # Errors
    /// When no HTTP client can be had.
    pub fn new(world: &Arc<World>) -> Result<Self, ChaosError> {
        Ok(Self {
            world: Arc::clone(world),
            caller: Arc::new(Caller::new(world)?),
            inbox: Arc::new(Inbox::default()),
        })
    }

    /// What the callers saw.
    #[must_use]
    pub fn log(&self) -> &SharedLog {
        &self.caller.log
    }

    /// One who calls.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Makes all visits at their times, and more until as many verifications as planned were accepted.
    ///
    /// # Errors
    /// When a caller died, which only a mistake in the harness does.
    pub async fn run(&self, plan: &Plan) -> Result<(), ChaosError> {
        let reading = Arc::clone(&self.inbox).follow(self.world.sandbox.clone());
        tokio::select! {
            done = self.visit_all(plan) => done,
            () = reading => Ok(()),
        }
    }

    async fn visit_all(&self, plan: &Plan) -> Result<(), ChaosError> {
        let (begun, slots, mut running) =
            (Stopwatch::start(), Arc::new(Semaphore::new(VISITS)), JoinSet::new());
        let planned = visits(plan, self.world.keys.len());
        let extra = (0..plan.verifications).map(|n| Visit::extra(n + planned.len(), plan));
        for visit in planned.iter().cloned().chain(extra) {
            let late = visit.extra && self.log().lock().created >= plan.verifications;
            if late {
                break;
            }
            sleep(visit.at.saturating_sub(begun.elapsed())).await;
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
            let (world, caller, inbox) =
                (Arc::clone(&self.world), Arc::clone(&self.caller), Arc::clone(&self.inbox));
            running.spawn(async move {
                people::visit(&world, &caller, &inbox, visit).await;
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

    /// After the last fault: asks each API for a code until it decides.
    pub async fn probe(&self, seed: u64) {
        for api in 0..self.world.apis.len() {
            let number = visits::late_number(seed, api);
            while self.caller.create_once(api, 0, &number, "late", false).await.is_none() {
                sleep(PROBE).await;
            }
        }
    }

    /// Goes on asking for codes for numbers of their own while the others are waited for: what these get, those must
    /// get too.
    pub async fn trickle(&self, seed: u64) {
        for n in self.world.apis.len().. {
            self.caller.create_once(n, 0, &visits::late_number(seed, n), "late", false).await;
            sleep(TRICKLE).await;
        }
    }
}
