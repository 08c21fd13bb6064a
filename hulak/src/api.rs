//! `hulak-api`: the API as a program of its own.

use std::sync::Arc;

use clap::{Parser, Subcommand};
use hulak_api::commands::{self, ClientsCommand, CommandError, KeysCommand};
use hulak_api::config::{AddressArgs, HostedArgs, LoadArgs, NumberArgs};
use hulak_api::long_poll::Changes;
use hulak_api::{Api, Freshness, run};
use hulak_common::clock::{DatabaseClock, SharedClock};
use hulak_common::code::{Keyring, Secret};
use hulak_common::rng::Rng;
use hulak_runtime::settings::messages::MessageArgs;
use hulak_runtime::settings::{
    BackendArgs, Environment, RulesArgs, SECRETS_HELP, TelemetryArgs, bind, fail, parse,
};
use hulak_runtime::shutdown::Shutdown;
use hulak_service::connect;
use hulak_service::health::ask_ready;
use hulak_store::Store;

/// Connections to the database: a few are busy at once, and each has plans, a catalog and pages of its own to keep at hand.
const CONNECTIONS: u32 = 8;

/// Verifies phone numbers in Nepal: the API.
#[derive(Debug, Parser)]
#[command(version, after_help = SECRETS_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    backends: BackendArgs,
    #[command(flatten)]
    addresses: AddressArgs,
    #[command(flatten)]
    numbers: NumberArgs,
    #[command(flatten)]
    hosted: HostedArgs,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    messages: MessageArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API (this is what happens without a command, too).
    Serve,
    /// Bring the database's schema up to date, and end.
    Migrate,
    /// Make, list and revoke keys.
    Keys {
        #[command(subcommand)]
        action: KeysCommand,
    },
    /// See and change what is set for client applications.
    Clients {
        #[command(subcommand)]
        action: ClientsCommand,
    },
    /// Ask the running API whether it is ready, and end: for health checks.
    Health,
}

/// Requests and messages are many small allocations on several threads: this allocator hands out first what was given back
/// last, which is still in the processor's cache.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let cli: Cli = parse();
    if let Err(error) = cli.telemetry.init() {
        fail(&error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => fail(&error),
    };
    let done = runtime.block_on(async {
        match &cli.command {
            None | Some(Command::Serve) => serve(&cli).await,
            Some(Command::Migrate) => migrate(&cli).await,
            Some(Command::Keys { action }) => {
                with_store(&cli, async |store| commands::keys(store, &Rng::system(), action).await).await
            }
            Some(Command::Clients { action }) => {
                let templates = cli.messages.templates()?;
                with_store(&cli, async |store| commands::clients(store, &templates, action).await).await
            }
            Some(Command::Health) => ask_ready(cli.addresses.admin_addr).await.map_err(Into::into),
        }
    });
    if let Err(error) = done {
        fail(&error);
    }
    // Not dropped but left to the end of the process: it would cancel what a connection to the broker that is just being
    // made waits for, and that connection's thread would panic.
    std::mem::forget(runtime);
    hulak_runtime::logging::flush();
}

type Done = Result<(), Box<dyn std::error::Error>>;

async fn serve(cli: &Cli) -> Done {
    // First of all: whoever starts a program may want to stop it at once.
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let traces = hulak_otlp::start(&cli.telemetry, "hulak-api")?;
    let templates = cli.messages.templates()?;
    let environment = Environment::process();
    let keyring = environment.keyring()?;
    let rng = Rng::system();
    let clock: SharedClock = Arc::new(DatabaseClock::new());
    let store = connect::store(
        &cli.backends.database(environment)?,
        cli.rules.rules(keyring.clone()),
        CONNECTIONS,
        "hulak-api",
    )?;
    let broker = connect::broker(&cli.backends.broker(environment)?, rng.clone())?;
    let api_key = environment.api_key()?;
    let public = bind("HULAK_HTTP_ADDR", cli.addresses.http_addr).await?;
    let admin = bind("HULAK_ADMIN_ADDR", cli.addresses.admin_addr).await?;
    let (http_addr, admin_addr) = (public.local_addr()?, admin.local_addr()?);
    tracing::info!("API on http://{http_addr}, admin on http://{admin_addr}");
    let api = Api {
        public_url: cli.addresses.public_url(http_addr),
        pattern: cli.numbers.phone_pattern.clone(),
        test_numbers: cli.rules.test_numbers.clone(),
        carriers: cli.numbers.carriers.carriers()?,
        templates,
        proxies: cli.addresses.trusted_proxies.clone(),
        cors: cli.addresses.cors_origins.clone(),
        hosted: cli.hosted.pages(false),
        keyring,
        api_key,
        max_backlog_age: cli.load.max_backlog_age,
        freshness: Freshness::default(),
        clock,
        rng,
        store: Arc::clone(&store),
        broker: Arc::clone(&broker),
        changes: Changes::new(),
    };
    let working = async {
        let done = run(api, public, admin, shutdown.clone()).await;
        broker.close().await;
        store.close().await;
        hulak_otlp::finish(traces).await;
        done
    };
    // On the heap: the whole of the API is a large future.
    shutdown.bound(Box::pin(working)).await.transpose()?;
    Ok(())
}

async fn migrate(cli: &Cli) -> Done {
    with_store(cli, async |store| {
        store.migrate().await?;
        tracing::info!("the schema is up to date");
        Ok(())
    })
    .await
}

/// Opens the database for one command.
async fn with_store(cli: &Cli, work: impl AsyncFnOnce(&dyn Store) -> Result<(), CommandError>) -> Done {
    let url = cli.backends.database(Environment::process())?;
    // Nothing is derived here, so whoever runs a command need not know the secret.
    let keyring = Keyring::new(Secret::from_bytes(Rng::system().bytes::<32>().to_vec())?, None);
    let store = connect::store(&url, cli.rules.rules(keyring), 1, "hulak-command")?;
    let done = work(&*store).await;
    store.close().await;
    Ok(done?)
}
