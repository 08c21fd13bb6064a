//! A worker takes send jobs from the broker, calls the gateway within the account's rate, and records the outcomes. Any number of
//! workers run side by side.
//!
//! # Layout
//! - [`run`] starts the tasks; [`config`] has the settings.
//! - Sending: [`consumer`] takes jobs; [`sender`] handles one message: permit, claim, call, record; [`decoy`] replays the gateway's
//!   recent behaviour for messages that are not sent.
//! - The gateway: [`gateway`] is the trait, [`gateways`] has one client a file, [`outage`] logs when every call fails.
//! - Limits: [`rate_limiter`] is this worker's share of the account's rate; [`breaker`] is the circuit, which stops sending while
//!   the gateway refuses the account; [`probe`] asks the gateway when it may close.
//! - In the background: [`relay`] publishes due messages, [`reaper`] ends expired ones, [`status_report`] tells the registry.

pub mod breaker;
pub mod config;
pub mod consumer;
pub mod decoy;
pub mod gateway;
pub mod gateways;
pub mod outage;
pub mod probe;
pub mod rate_limiter;
pub mod reaper;
pub mod relay;
pub mod sender;
pub mod status_report;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hulak_broker::Broker;
use hulak_common::clock::SharedClock;
use hulak_common::code::Keyring;
use hulak_common::phone::Carriers;
use hulak_common::rng::Rng;
use hulak_common::sms_template::Templates;
use hulak_runtime::host_guard::KnownHosts;
use hulak_runtime::metrics;
use hulak_runtime::serve::{ServeOptions, serve};
use hulak_runtime::shutdown::Shutdown;
use hulak_service::event_publisher::EventPublisher;
use hulak_service::gauges;
use hulak_service::health::Vitals;
use hulak_service::metrics_history::Sampler;
use hulak_service::outbox::Outbox;
use hulak_store::{Monitor, Store, StoreError};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uuid::Uuid;

use breaker::Breaker;
use consumer::JobLoop;
use gateway::Gateway;
use rate_limiter::RateLimiter;
use sender::{Sender, SenderParts};
use status_report::StatusReport;

/// What a worker is made of.
#[derive(Debug)]
pub struct Worker {
    /// The keys that codes are derived with.
    pub keyring: Keyring,
    /// The texts of messages.
    pub templates: Templates,
    /// How long a claim holds.
    pub lease: Duration,
    /// How long a call to the gateway may take.
    pub timeout: Duration,
    /// Messages a second for the whole account.
    pub rate: f64,
    /// Calls to the gateway at a time.
    pub concurrency: u16,
    /// Which carrier has which prefix, for metrics.
    pub carriers: Carriers,
    /// The gateway.
    pub gateway: Arc<dyn Gateway>,
    /// The time.
    pub clock: SharedClock,
    /// Makes ids and jitter.
    pub rng: Rng,
    /// The database.
    pub store: Arc<Store>,
    /// The broker.
    pub broker: Arc<dyn Broker>,
}

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The database's schema cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The listener broke.
    #[error("the listener broke: {0}")]
    Listener(#[from] std::io::Error),
    /// A task died.
    #[error("a task of the worker died: {0}")]
    Died(#[from] tokio::task::JoinError),
}

/// Connections to the admin address: only operators and monitoring connect.
const ADMIN_CONNECTIONS: usize = 64;

/// Works until shutdown, and until the messages in flight are finished. Without `admin` there is no admin address, because the
/// API's serves the whole process.
///
/// # Errors
/// When the schema cannot be used, the listener breaks, or a task dies.
pub async fn run(worker: Worker, admin: Option<TcpListener>, shutdown: Shutdown) -> Result<(), WorkerError> {
    metrics::start(&worker.carriers);
    metrics::worker();
    let id = worker.rng.uuid();
    let monitor = Monitor::new();
    let (store, clock, rng) = (Arc::clone(&worker.store), Arc::clone(&worker.clock), worker.rng.clone());
    let vitals =
        Vitals { monitor: monitor.clone(), broker: Arc::clone(&worker.broker), store: Arc::clone(&store) };
    let mut tasks = start(worker, id, &monitor, &shutdown);
    if admin.is_some() {
        // Otherwise the API does this for the process.
        tasks.spawn(gauges::watch(vitals.clone(), Arc::clone(&clock), shutdown.clone()));
        let sampler = Sampler { process: id, store: Arc::clone(&store), clock: Arc::clone(&clock) };
        tasks.spawn(sampler.run(monitor.clone(), shutdown.clone()));
    }
    let watching = monitor.run(Arc::clone(&store), clock, rng, shutdown.clone(), || async { Ok(()) });
    let result = tokio::select! {
        done = finish(&mut tasks, admin, vitals, shutdown.clone()) => done,
        // It fails only when the schema cannot be used; that ends the program, too.
        Err(error) = watching => Err(error.into()),
    };
    if result.is_err() {
        shutdown.abort();
    }
    // Gives this worker's share of the rate to the others at once. If it fails, they take it when the heartbeats are missed.
    let _failed = tokio::time::timeout(Duration::from_secs(1), store.leave(id)).await;
    result
}

/// Starts the tasks of a worker.
fn start(worker: Worker, id: Uuid, monitor: &Monitor, shutdown: &Shutdown) -> JoinSet<()> {
    let Worker { concurrency, gateway, clock, rng, store, broker, .. } = worker;
    let publisher = EventPublisher::start(Arc::clone(&broker));
    let outbox = Outbox::start(Arc::clone(&broker), Arc::clone(&store), Arc::clone(&clock), shutdown.clone());
    let breaker = Arc::new(Breaker::new());
    let rate_limiter = Arc::new(RateLimiter::new(worker.rate));
    let sender = Arc::new(Sender::new(SenderParts {
        store: Arc::clone(&store),
        monitor: monitor.clone(),
        gateway: Arc::clone(&gateway),
        breaker: Arc::clone(&breaker),
        rate_limiter: Arc::clone(&rate_limiter),
        publisher: publisher.clone(),
        keyring: worker.keyring,
        templates: worker.templates,
        lease: worker.lease,
        timeout: worker.timeout,
        concurrency: usize::from(concurrency),
        clock: Arc::clone(&clock),
        rng: rng.clone(),
        shutdown: shutdown.clone(),
    }));
    let jobs = JobLoop {
        broker: Arc::clone(&broker),
        sender: Arc::clone(&sender),
        breaker: Arc::clone(&breaker),
        monitor: monitor.clone(),
        concurrency,
        shutdown: shutdown.clone(),
    };
    let report = StatusReport {
        id,
        started_at: clock.now(),
        concurrency,
        sender,
        breaker: Arc::clone(&breaker),
        rate_limiter: Arc::clone(&rate_limiter),
        store: Arc::clone(&store),
    };
    let mut tasks = JoinSet::new();
    let (monitor, shutdown) = (|| monitor.clone(), || shutdown.clone());
    tasks.spawn(jobs.run());
    tasks.spawn(relay::run(outbox, Arc::clone(&store), broker, monitor(), Arc::clone(&clock), shutdown()));
    tasks.spawn(reaper::run(Arc::clone(&store), publisher, monitor(), Arc::clone(&clock), shutdown()));
    tasks.spawn(report.run(monitor(), shutdown()));
    tasks.spawn(probe::run(breaker, gateway, rng, shutdown()));
    let (monitor, shutdown) = (monitor(), shutdown());
    tasks.spawn(async move { rate_limiter.run(id, store, monitor, clock, shutdown).await });
    tasks
}

/// Serves the admin address, and waits for every task to end: all of them do after shutdown begins.
async fn finish(
    tasks: &mut JoinSet<()>,
    admin: Option<TcpListener>,
    vitals: Vitals,
    shutdown: Shutdown,
) -> Result<(), WorkerError> {
    let serving = async {
        match admin {
            Some(listener) => {
                let options = ServeOptions { max_connections: ADMIN_CONNECTIONS, ..ServeOptions::default() };
                serve(
                    listener,
                    hulak_service::admin::router(vitals, Router::new(), KnownHosts::default()),
                    options,
                    shutdown.clone(),
                )
                .await
            }
            None => Ok(()),
        }
    };
    let working = async {
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        Ok::<(), WorkerError>(())
    };
    tokio::try_join!(async { serving.await.map_err(WorkerError::from) }, working)?;
    Ok(())
}
