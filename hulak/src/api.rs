//! `hulak api`: the API as a process of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use hulak_api::config::{AddressArgs, HostedArgs, LoadArgs, NumberArgs};
use hulak_api::long_poll::Changes;
use hulak_api::{Api, Freshness, run as serve};
use hulak_runtime::settings::messages::MessageArgs;
use hulak_runtime::settings::{BrokerArgs, DatabaseArgs, RulesArgs, SECRETS_HELP, TelemetryArgs, bind};
use hulak_service::connect;

use crate::launch::{Done, Process, Shared};

/// Connections to the database: a few are busy at once, and each has plans, a catalog and pages of its own to keep at hand.
const CONNECTIONS: u32 = 8;

#[derive(Debug, Args)]
#[command(after_help = SECRETS_HELP)]
pub(crate) struct Settings {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    messages: MessageArgs,
    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,
}

/// The settings of the API alone, in both shapes.
#[derive(Debug, Args)]
pub(crate) struct ApiArgs {
    #[command(flatten)]
    pub(crate) addresses: AddressArgs,
    #[command(flatten)]
    pub(crate) numbers: NumberArgs,
    #[command(flatten)]
    pub(crate) hosted: HostedArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
}

impl ApiArgs {
    /// An API that listens on `bound`, without a key to install.
    pub(crate) fn api(
        &self,
        rules: &RulesArgs,
        shared: &Shared,
        process: &Process,
        bound: SocketAddr,
    ) -> Api {
        Api {
            public_url: self.addresses.public_url(bound),
            pattern: self.numbers.phone_pattern.clone(),
            test_numbers: rules.test_numbers.clone(),
            carriers: shared.carriers.clone(),
            templates: shared.templates.clone(),
            proxies: self.addresses.trusted_proxies.clone(),
            admin_hosts: self.addresses.admin_hosts.clone(),
            cors: self.addresses.cors_origins.clone(),
            hosted: self.hosted.pages(false),
            keyring: shared.keyring.clone(),
            api_key: None,
            max_backlog_age: self.load.max_backlog_age,
            freshness: Freshness::default(),
            clock: Arc::clone(&process.clock),
            rng: process.rng.clone(),
            store: Arc::clone(&shared.store),
            broker: Arc::clone(&shared.broker),
            changes: Changes::new(),
        }
    }
}

pub(crate) async fn run(settings: &Settings) -> Done {
    let process = Process::start(&settings.telemetry, "hulak-api")?;
    let (environment, addresses) = (process.environment, &settings.api.addresses);
    let templates = settings.messages.templates()?;
    let keyring = environment.keyring()?;
    let rules = settings.rules.rules(keyring.clone());
    let shared = Shared {
        keyring,
        templates,
        carriers: settings.api.numbers.carriers.carriers()?,
        store: connect::store(&settings.database.url(environment)?, rules, CONNECTIONS, "hulak-api")?,
        broker: connect::broker(&settings.broker.url(environment)?, process.rng.clone())?,
    };
    let api_key = environment.api_key()?;
    let public = bind("HULAK_HTTP_ADDR", addresses.http_addr).await?;
    let admin = bind("HULAK_ADMIN_ADDR", addresses.admin_addr).await?;
    let bound = public.local_addr()?;
    tracing::info!("API on http://{bound}, admin on http://{}", admin.local_addr()?);
    let api = Api { api_key, ..settings.api.api(&settings.rules, &shared, &process, bound) };
    let serving = serve(api, public, admin, process.shutdown.clone());
    Box::pin(process.serve(shared, async { Ok(serving.await?) })).await
}
