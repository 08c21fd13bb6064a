//! A worker: takes jobs from the broker, keeps each number's pace and the account's rate, calls the gateway, and writes
//! down what happened. Any number of them run side by side.

pub mod breaker;
pub mod config;
pub mod consumer;
pub mod decoy;
pub mod gateway;
pub mod gateways;
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

use breaker::Breaker;
use consumer::Intake;
use gateway::Gateway;
use rate_limiter::Pacer;
use sender::{Sender, SenderParts};
use status_report::Report;

/// What a worker is made of. A test or another program brings its own parts.
#[derive(Debug)]
pub struct Worker {
    /// The keys that codes are derived with.
    pub keyring: Keyring,
    /// What messages say.
    pub templates: Templates,
    /// How long a claim holds.
    pub lease: Duration,
    /// How long a call to the gateway may take.
    pub timeout: Duration,
    /// Messages a second for the whole account.
    pub rate: f64,
    /// Calls to the gateway at a time.
    pub concurrency: u16,
    /// Who issued which prefix, for metrics.
    pub carriers: Carriers,
    /// The gateway.
    pub gateway: Arc<dyn Gateway>,
    /// The time.
    pub clock: SharedClock,
    /// Claims and jitter.
    pub rng: Rng,
    /// The database.
    pub store: Arc<dyn Store>,
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
    /// A part of it died.
    #[error("a part of the worker died: {0}")]
    Died(#[from] tokio::task::JoinError),
}

/// The admin address has few callers.
const ADMIN_CONNECTIONS: usize = 64;

/// Works until a stop is asked for and what is in flight is finished. Without `admin` it serves no admin address: the
/// one-process shape has the API's.
///
/// # Errors
/// When the schema cannot be used, the listener breaks, or a part dies.
pub async fn run(worker: Worker, admin: Option<TcpListener>, shutdown: Shutdown) -> Result<(), WorkerError> {
    let Worker {
        keyring,
        templates,
        lease,
        timeout,
        rate,
        concurrency,
        carriers,
        gateway,
        clock,
        rng,
        store,
        broker,
    } = worker;
    metrics::start(&carriers);
    metrics::worker();
    let id = rng.uuid();
    let monitor = Monitor::new();
    let announcer = EventPublisher::start(Arc::clone(&broker));
    let outbox = Outbox::start(Arc::clone(&broker), Arc::clone(&store), Arc::clone(&clock), shutdown.clone());
    let (breaker, pacer) = (Arc::new(Breaker::new()), Arc::new(Pacer::new(rate)));
    let sender = Arc::new(Sender::new(SenderParts {
        store: Arc::clone(&store),
        monitor: monitor.clone(),
        gateway: Arc::clone(&gateway),
        breaker: Arc::clone(&breaker),
        pacer: Arc::clone(&pacer),
        announcer: announcer.clone(),
        keyring,
        templates,
        lease,
        timeout,
        concurrency: usize::from(concurrency),
        clock: Arc::clone(&clock),
        rng: rng.clone(),
        shutdown: shutdown.clone(),
    }));
    let intake = Intake {
        broker: Arc::clone(&broker),
        sender: Arc::clone(&sender),
        breaker: Arc::clone(&breaker),
        monitor: monitor.clone(),
        concurrency,
        shutdown: shutdown.clone(),
    };

    let mut parts = tokio::task::JoinSet::new();
    parts.spawn(intake.run());
    parts.spawn(relay::run(
        outbox,
        Arc::clone(&store),
        Arc::clone(&broker),
        monitor.clone(),
        Arc::clone(&clock),
        shutdown.clone(),
    ));
    parts.spawn(reaper::run(
        Arc::clone(&store),
        announcer,
        monitor.clone(),
        Arc::clone(&clock),
        shutdown.clone(),
    ));
    let report = Report {
        id,
        started_at: clock.now(),
        concurrency,
        sender,
        breaker: Arc::clone(&breaker),
        pacer: Arc::clone(&pacer),
        store: Arc::clone(&store),
    };
    parts.spawn(report.run(monitor.clone(), shutdown.clone()));
    parts.spawn(probe::run(breaker, gateway, rng.clone(), shutdown.clone()));
    parts.spawn({
        let (store, monitor, clock, shutdown) =
            (Arc::clone(&store), monitor.clone(), Arc::clone(&clock), shutdown.clone());
        async move { pacer.run(id, store, monitor, clock, shutdown).await }
    });

    let vitals = Vitals { monitor: monitor.clone(), broker, store: Arc::clone(&store) };
    if admin.is_some() {
        // Without an address of its own somebody else of this process looks.
        let watching = gauges::watch(vitals.clone(), Arc::clone(&clock), shutdown.clone());
        parts.spawn(watching);
        let sampler = Sampler { process: id, store: Arc::clone(&store), clock: Arc::clone(&clock) };
        parts.spawn(sampler.run(monitor.clone(), shutdown.clone()));
    }
    let watching = monitor.run(Arc::clone(&store), clock, rng, shutdown.clone(), || async { Ok(()) });
    let result = tokio::select! {
        done = finish(&mut parts, admin, vitals, shutdown.clone()) => done,
        // Only a schema that cannot be used ends the watch with an error; that ends the program too.
        Err(error) = watching => Err(error.into()),
    };
    if result.is_err() {
        shutdown.abort();
    }
    // The others take over this one's share of the rate at once; if this fails they do when it has been silent a while.
    let _unheard = tokio::time::timeout(Duration::from_secs(1), store.leave(id)).await;
    result
}

/// Waits for every part to end, which they do after a stop was asked for.
async fn finish(
    parts: &mut tokio::task::JoinSet<()>,
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
                    hulak_service::admin::router(vitals, Router::new()),
                    options,
                    shutdown.clone(),
                )
                .await
            }
            None => Ok(()),
        }
    };
    let working = async {
        while let Some(ended) = parts.join_next().await {
            ended?;
        }
        Ok::<(), WorkerError>(())
    };
    tokio::try_join!(async { serving.await.map_err(WorkerError::from) }, working)?;
    Ok(())
}
