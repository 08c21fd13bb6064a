//! The API: records requests for codes, shows how they fare, and checks the codes that people type.

pub mod admin;
pub mod approval_token;
pub mod auth;
pub mod body;
pub(crate) mod cache;
pub mod client_ip;
pub mod config;
mod console;
pub mod cors;
mod fair_queue;
pub mod hosted;
pub mod idempotency;
pub mod load_shedding;
pub mod long_poll;
pub mod openapi;
pub mod problem;
pub mod publisher;
pub mod resource;
pub mod router;
pub mod routes;
pub mod state;
pub mod token;
pub(crate) mod validation;

use std::sync::Arc;
use std::time::Duration;

use hulak_broker::Broker;
use hulak_common::api_key::{ApiKey, DEFAULT_CLIENT};
use hulak_common::clock::SharedClock;
use hulak_common::code::Keyring;
use hulak_common::phone::{Carriers, PhonePattern};
use hulak_common::rng::Rng;
use hulak_common::sms_template::Templates;
use hulak_common::test_numbers::TestNumbers;
use hulak_runtime::metrics;
use hulak_runtime::serve::{ServeOptions, serve};
use hulak_runtime::shutdown::Shutdown;
use hulak_service::gauges;
use hulak_service::metrics_history::Sampler;
use hulak_store::{Monitor, Store, StoreError};
use tokio::net::TcpListener;

use client_ip::TrustedProxies;
use cors::{AllowedOrigins, CorsOrigins};
use hosted::HostedPages;
use hulak_service::health::Vitals;
use load_shedding::Backlog;
use long_poll::Changes;
use publisher::Publisher;
pub use state::Freshness;
use state::{App, Parts};

/// What an API is made of. A test or another program brings its own parts.
#[derive(Debug)]
pub struct Api {
    /// The address that callers know this service by.
    pub public_url: String,
    /// Which numbers are served.
    pub pattern: PhonePattern,
    /// Numbers whose codes are fixed.
    pub test_numbers: TestNumbers,
    /// Who issued which prefix.
    pub carriers: Carriers,
    /// What messages say: requests that make one too long are refused.
    pub templates: Templates,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: TrustedProxies,
    /// Whose pages may call.
    pub cors: CorsOrigins,
    /// Whether hosted pages are served.
    pub hosted: HostedPages,
    /// The keys that codes and tokens are made with.
    pub keyring: Keyring,
    /// A key to install for the client `default`.
    pub api_key: Option<ApiKey>,
    /// How long messages may wait for a worker before requests are refused.
    pub max_backlog_age: Duration,
    /// How old may be what is known of the clients.
    pub freshness: Freshness,
    /// The time.
    pub clock: SharedClock,
    /// Ids and salts.
    pub rng: Rng,
    /// The database.
    pub store: Arc<Store>,
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// Who waits for a change.
    pub changes: Arc<Changes>,
}

/// Why an API ended.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The database's schema cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The listener broke.
    #[error("the listener broke: {0}")]
    Listener(#[from] std::io::Error),
    /// The signing key cannot be used.
    #[error("the signing key cannot be used: {0}")]
    Signing(#[from] ring::error::KeyRejected),
}

/// Serves until a stop is asked for and what is in flight is finished.
///
/// # Errors
/// When the schema cannot be used, or a listener breaks.
pub async fn run(
    api: Api,
    public: TcpListener,
    admin: TcpListener,
    shutdown: Shutdown,
) -> Result<(), ApiError> {
    let Api {
        public_url,
        pattern,
        test_numbers,
        carriers,
        templates,
        proxies,
        cors,
        hosted,
        keyring,
        api_key,
        max_backlog_age,
        freshness,
        clock,
        rng,
        store,
        broker,
        changes,
    } = api;
    metrics::start(&carriers);
    let monitor = Monitor::new();
    let publisher = Publisher::start(
        &broker,
        Arc::clone(&changes),
        Arc::clone(&store),
        Arc::clone(&clock),
        shutdown.clone(),
    );
    let backlog = Backlog::new(max_backlog_age);
    let origins = AllowedOrigins::new(cors);
    let console = console::Parts {
        public_url: public_url.clone(),
        carriers: carriers.clone(),
        store: Arc::clone(&store),
        broker: Arc::clone(&broker),
        monitor: monitor.clone(),
        clock: Arc::clone(&clock),
        rng: rng.clone(),
    };
    let sampler = Sampler { process: rng.uuid(), store: Arc::clone(&store), clock: Arc::clone(&clock) };
    let app = App::new(Parts {
        public_url,
        pattern,
        test_numbers,
        carriers,
        templates,
        proxies,
        origins: origins.clone(),
        hosted,
        keyring,
        clock: Arc::clone(&clock),
        rng: rng.clone(),
        store: Arc::clone(&store),
        monitor: monitor.clone(),
        key_memory: freshness.keys,
        publisher,
        backlog: backlog.clone(),
        changes: Arc::clone(&changes),
        shutdown: shutdown.clone(),
    })?;
    let watching =
        monitor.run(Arc::clone(&store), Arc::clone(&clock), rng.clone(), shutdown.clone(), || async {
            match &api_key {
                Some(key) => {
                    let now = clock.now();
                    store.install_key(&key.to_store(DEFAULT_CLIENT), rng.uuid_v7(now), now).await.map(drop)
                }
                None => Ok(()),
            }
        });
    let vitals = Vitals { monitor: monitor.clone(), broker: Arc::clone(&broker), store: Arc::clone(&store) };
    let admin_router = admin::router(vitals.clone(), console);
    let admin_options = ServeOptions { max_connections: ADMIN_CONNECTIONS, ..ServeOptions::default() };
    let serving = async {
        tokio::try_join!(
            serve(public, router::router(app), public_options(), shutdown.clone()),
            serve(admin, admin_router, admin_options, shutdown.clone()),
        )
    };
    let following = async {
        tokio::join!(
            backlog.run(Arc::clone(&store), monitor.clone(), Arc::clone(&clock), shutdown.clone()),
            changes.follow(Arc::clone(&broker), shutdown.clone()),
            origins.run(Arc::clone(&store), monitor.clone(), freshness.origins, shutdown.clone()),
            gauges::watch(vitals, Arc::clone(&clock), shutdown.clone()),
            sampler.run(monitor.clone(), shutdown.clone()),
        )
    };
    // Only a schema that cannot be used ends the watch with an error; that ends the program too.
    tokio::select! {
        served = async { tokio::join!(serving, following).0 } => { served?; }
        Err(error) = watching => {
            shutdown.abort();
            return Err(error.into());
        }
    }
    Ok(())
}

/// The admin address has few callers.
const ADMIN_CONNECTIONS: usize = 64;

/// Callers who wait hold a connection each, so there may be many.
const PUBLIC_CONNECTIONS: usize = 16_384;
/// Files that are none of the callers' connections: listeners, the database, the broker.
const OTHER_FILES: u64 = 256;

/// As many connections as the system lets this process have files for.
fn public_options() -> ServeOptions {
    let files =
        rlimit::increase_nofile_limit(PUBLIC_CONNECTIONS as u64 + OTHER_FILES).unwrap_or_else(|error| {
            tracing::warn!(%error, "the number of open files cannot be raised");
            1_024
        });
    let connections = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(PUBLIC_CONNECTIONS);
    ServeOptions { max_connections: connections.clamp(64, PUBLIC_CONNECTIONS), ..ServeOptions::default() }
}
