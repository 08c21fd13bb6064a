//! `hulak worker`: a worker as a process of its own.

use std::sync::Arc;

use clap::Args;
use hulak_runtime::settings::messages::MessageArgs;
use hulak_runtime::settings::{
    BrokerArgs, CarrierArgs, DatabaseArgs, RulesArgs, SECRETS_HELP, TelemetryArgs, bind,
};
use hulak_service::connect;
use hulak_worker::config::{AddressArgs, GatewayArgs};
use hulak_worker::gateway::Gateway;
use hulak_worker::{Worker, run as work};

use crate::launch::{Done, Process, Shared};

/// Connections to the database: batches keep two or three of them busy.
const CONNECTIONS: u32 = 8;

#[derive(Debug, Args)]
#[command(after_help = SECRETS_HELP)]
pub(crate) struct Settings {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    addresses: AddressArgs,
    #[command(flatten)]
    carriers: CarrierArgs,
    #[command(flatten)]
    gateway: GatewayArgs,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    messages: MessageArgs,
    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,
}

/// A worker that sends through `gateway`.
pub(crate) fn worker(
    args: &GatewayArgs,
    rules: &RulesArgs,
    gateway: Arc<dyn Gateway>,
    shared: &Shared,
    process: &Process,
) -> Worker {
    Worker {
        keyring: shared.keyring.clone(),
        templates: shared.templates.clone(),
        lease: rules.claim_lease,
        timeout: args.gateway_timeout,
        rate: args.gateway_rate,
        concurrency: args.gateway_concurrency,
        carriers: shared.carriers.clone(),
        gateway,
        clock: Arc::clone(&process.clock),
        rng: process.rng.clone(),
        store: Arc::clone(&shared.store),
        broker: Arc::clone(&shared.broker),
    }
}

pub(crate) async fn run(settings: &Settings) -> Done {
    let process = Process::start(&settings.telemetry, "hulak-worker")?;
    let environment = process.environment;
    let templates = settings.messages.templates()?;
    let keyring = environment.keyring()?;
    let gateway = settings.gateway.client(environment, settings.rules.claim_lease)?;
    let rules = settings.rules.rules(keyring.clone());
    let shared = Shared {
        keyring,
        templates,
        carriers: settings.carriers.carriers()?,
        store: connect::store(&settings.database.url(environment)?, rules, CONNECTIONS, "hulak-worker")?,
        broker: connect::broker(&settings.broker.url(environment)?, process.rng.clone())?,
    };
    let worker = worker(&settings.gateway, &settings.rules, gateway, &shared, &process);
    let admin = bind("HULAK_ADMIN_ADDR", settings.addresses.admin_addr).await?;
    tracing::info!("worker with its admin address on http://{}", admin.local_addr()?);
    let working = work(worker, Some(admin), process.shutdown.clone());
    Box::pin(process.serve(shared, async { Ok(working.await?) })).await
}
