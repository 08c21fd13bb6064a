//! The state that the console's handlers share.

use std::sync::Arc;

use hulak_broker::Broker;
use hulak_common::audit::{Act, AuditEntry};
use hulak_common::clock::SharedClock;
use hulak_common::phone::Carriers;
use hulak_common::rng::Rng;
use hulak_common::staff::Operator;
use hulak_store::{Monitor, Store, StoreError};
use tokio::sync::Semaphore;

use super::metrics_cache::MetricsCache;
use super::wrong_keys::WrongKeys;
use crate::http::client_ip::TrustedProxies;
use crate::http::problem::Problem;

/// The largest body that the console reads, in bytes.
pub(super) const MAX_BODY: usize = 8 * 1024;

/// Requests that the console works on at once.
const PLACES: usize = 64;

/// What the program gives to its console.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) public_url: String,
    pub(crate) proxies: TrustedProxies,
    pub(crate) carriers: Carriers,
    pub(crate) store: Arc<Store>,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) monitor: Monitor,
    pub(crate) clock: SharedClock,
    pub(crate) rng: Rng,
}

/// The console: its parts, and what it remembers between requests.
#[derive(Debug)]
pub(super) struct Console {
    parts: Parts,
    pub(super) wrong_keys: WrongKeys,
    pub(super) metrics: MetricsCache,
    pub(super) places: Semaphore,
}

pub(super) type Shared = Arc<Console>;

impl std::ops::Deref for Console {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Console {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts,
            wrong_keys: WrongKeys::default(),
            metrics: MetricsCache::default(),
            places: Semaphore::new(PLACES),
        }
    }

    /// Turns an error of the store into a problem, and tells the monitor when the database is not available.
    pub(super) fn refuse(&self, error: &StoreError) -> Problem {
        if matches!(error, StoreError::Unavailable(_)) {
            self.monitor.report_trouble();
        }
        Problem::from(error)
    }

    /// Writes an action to the audit log. When this fails, the action must not be done.
    pub(super) async fn record(
        &self,
        operator: &Operator,
        act: Act,
        what: impl Into<String>,
    ) -> Result<(), Problem> {
        let at = self.clock.now();
        let entry = AuditEntry {
            id: self.rng.uuid_v7(at),
            at,
            who: operator.name.clone(),
            key_prefix: operator.prefix.clone(),
            act,
            what: what.into(),
        };
        self.store.audit(&entry).await.map_err(|error| self.refuse(&error))
    }
}
