//! The API: records requests for codes, shows their progress, and checks the codes that people type.
//!
//! # Layout
//!
//! Each file uses only what is below it here:
//!
//! - `run` (this file): serves the public and the admin address, and runs what works in the background;
//! - `router`: all public routes and the OpenAPI document of them;
//! - `verifications`, `phones`, `accounts`, `groups`, `hosted_page`, `meta`: the resources. Each file has a route's
//!   handler, the types of its bodies and its part of the OpenAPI document; `mod.rs` lists the routes and the operations;
//! - `console` and `admin`: the admin address;
//! - `app`: what an API is made of, and what its handlers share;
//! - `publisher`, `config`: the way to the broker after a commit; the settings;
//! - `http`: the HTTP edge (credentials, bodies, problems, idempotency, limits of load, long polling), for any resource;
//! - `openapi`: builds the document from the operations;
//! - `tokens`: the tokens that the API makes.

mod accounts;
mod admin;
mod app;
pub mod config;
mod console;
mod groups;
mod hosted_page;
mod http;
mod meta;
mod openapi;
mod phones;
mod publisher;
mod router;
mod tokens;
mod verifications;

use std::sync::Arc;
use std::time::Duration;

use hulak_common::api_key::DEFAULT_CLIENT;
use hulak_runtime::metrics;
use hulak_runtime::networks::Peers;
use hulak_runtime::serve::{ServeOptions, serve};
use hulak_runtime::shutdown::Shutdown;
use hulak_service::gauges;
use hulak_service::health::Vitals;
use hulak_service::metrics_history::Sampler;
use hulak_store::StoreError;
use ipnet::IpNet;
use tokio::net::TcpListener;

use app::App;
pub use app::{Api, Freshness};
pub use http::{client_ip, cors, long_poll, problem};
pub use router::OPENAPI;

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
    metrics::start(&api.carriers);
    let app = App::start(api, shutdown.clone())?;
    let (monitor, store, clock, rng) = (&app.monitor, &app.store, &app.clock, &app.rng);
    let installing = || async {
        match &app.api_key {
            Some(key) => {
                let now = clock.now();
                store.install_key(&key.to_store(DEFAULT_CLIENT), rng.uuid_v7(now), now).await.map(drop)
            }
            None => Ok(()),
        }
    };
    // On the heap, as the two below: together they would make the future of the whole program large.
    let watching = Box::pin(monitor.run(
        Arc::clone(store),
        Arc::clone(clock),
        rng.clone(),
        shutdown.clone(),
        installing,
    ));
    let vitals =
        Vitals { monitor: monitor.clone(), broker: Arc::clone(&app.broker), store: Arc::clone(store) };
    let console = console::Parts {
        public_url: app.public_url.clone(),
        proxies: app.proxies.clone(),
        carriers: app.carriers.clone(),
        store: Arc::clone(store),
        broker: Arc::clone(&app.broker),
        monitor: monitor.clone(),
        clock: Arc::clone(clock),
        rng: rng.clone(),
    };
    let admin_router = admin::router(vitals.clone(), console, app.admin_hosts.clone());
    let admin_options = ServeOptions {
        max_connections: ADMIN_CONNECTIONS,
        handler_timeout: ADMIN_HANDLER,
        ..ServeOptions::default()
    };
    let serving = Box::pin(async {
        tokio::try_join!(
            serve(
                public,
                router::router(Arc::clone(&app)),
                public_options(app.proxies.networks()),
                shutdown.clone()
            ),
            serve(admin, admin_router, admin_options, shutdown.clone()),
        )
    });
    let sampler = Sampler { process: rng.uuid(), store: Arc::clone(store), clock: Arc::clone(clock) };
    let following = Box::pin(async {
        tokio::join!(
            app.backlog.run(Arc::clone(store), monitor.clone(), Arc::clone(clock), shutdown.clone()),
            app.changes.follow(Arc::clone(&app.broker), shutdown.clone()),
            app.origins.run(Arc::clone(store), monitor.clone(), app.freshness.origins, shutdown.clone()),
            gauges::watch(vitals, Arc::clone(clock), shutdown.clone()),
            sampler.run(monitor.clone(), shutdown.clone()),
        )
    });
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

/// The admin address has few callers. Many more than the console works on at once, so that health and metrics are answered whatever
/// the console's callers do.
const ADMIN_CONNECTIONS: usize = 256;
/// How long a request of the admin address may take, its form included.
const ADMIN_HANDLER: Duration = Duration::from_secs(15);

/// Callers who wait hold a connection each, so there may be many.
const PUBLIC_CONNECTIONS: usize = 16_384;
/// Files that are none of the callers' connections: listeners, the database, the broker.
const OTHER_FILES: u64 = 256;

/// The part of all connections that the callers of one network may have.
const NETWORK_SHARE: usize = 4;

/// As many connections as the system lets this process have files for.
fn public_options(proxies: Arc<[IpNet]>) -> ServeOptions {
    let files =
        rlimit::increase_nofile_limit(PUBLIC_CONNECTIONS as u64 + OTHER_FILES).unwrap_or_else(|error| {
            tracing::warn!(%error, "the number of open files cannot be raised");
            1_024
        });
    let connections = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(PUBLIC_CONNECTIONS);
    let max_connections = connections.clamp(64, PUBLIC_CONNECTIONS);
    let peers = Peers::ByNetwork { most: max_connections / NETWORK_SHARE, proxies };
    ServeOptions { max_connections, peers, ..ServeOptions::default() }
}
