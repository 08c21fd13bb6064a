//! `hulak-worker`: a worker as a program of its own.

use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use hulak_broker::BrokerHealth;
use hulak_common::clock::{DatabaseClock, SharedClock};
use hulak_common::rng::Rng;
use hulak_runtime::settings::messages::MessageArgs;
use hulak_runtime::settings::{
    BackendArgs, CarrierArgs, Environment, RulesArgs, SECRETS_HELP, TelemetryArgs, bind, fail, parse,
};
use hulak_runtime::shutdown::Shutdown;
use hulak_service::connect;
use hulak_service::health::ask_ready;
use hulak_worker::config::{AddressArgs, GatewayArgs};
use hulak_worker::{Worker, run};

/// Connections to the database: batches keep two or three of them busy.
const CONNECTIONS: u32 = 8;

/// How long `dead` waits for the broker.
const CONNECT: Duration = Duration::from_secs(10);
/// How many dead letters `dead list` shows.
const PEEK: usize = 20;

/// Verifies phone numbers in Nepal: a worker, which sends the messages.
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
    carriers: CarrierArgs,
    #[command(flatten)]
    gateway: GatewayArgs,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    messages: MessageArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send messages (this is what happens without a command, too).
    Work,
    /// Ask the running worker whether it is ready, and end: for health checks.
    Health,
    /// Look at the dead letters: jobs that no worker could read.
    Dead {
        #[command(subcommand)]
        action: DeadAction,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum DeadAction {
    /// Print how many there are, and the oldest of them.
    List,
    /// Throw them away. No message is lost: the relay publishes what has not been sent.
    Purge,
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
        match cli.command {
            None | Some(Command::Work) => work(&cli).await,
            Some(Command::Dead { action }) => dead(&cli, action).await,
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

async fn work(cli: &Cli) -> Result<(), Box<dyn std::error::Error>> {
    // First of all: whoever starts a program may want to stop it at once.
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let traces = hulak_otlp::start(&cli.telemetry, "hulak-worker")?;
    let templates = cli.messages.templates()?;
    let environment = Environment::process();
    let keyring = environment.keyring()?;
    let rng = Rng::system();
    let clock: SharedClock = Arc::new(DatabaseClock::new());
    let gateway = cli.gateway.client(environment, cli.rules.claim_lease)?;
    let store = connect::store(
        &cli.backends.database(environment)?,
        cli.rules.rules(keyring.clone()),
        CONNECTIONS,
        "hulak-worker",
    )?;
    let broker = connect::broker(&cli.backends.broker(environment)?, rng.clone())?;
    let admin = bind("HULAK_ADMIN_ADDR", cli.addresses.admin_addr).await?;
    tracing::info!("worker with its admin address on http://{}", admin.local_addr()?);
    let worker = Worker {
        keyring,
        templates,
        lease: cli.rules.claim_lease,
        timeout: cli.gateway.gateway_timeout,
        rate: cli.gateway.gateway_rate,
        concurrency: cli.gateway.gateway_concurrency,
        carriers: cli.carriers.carriers()?,
        gateway,
        clock,
        rng,
        store: Arc::clone(&store),
        broker: Arc::clone(&broker),
    };
    let working = async {
        let done = run(worker, Some(admin), shutdown.clone()).await;
        broker.close().await;
        store.close().await;
        hulak_otlp::finish(traces).await;
        done
    };
    shutdown.bound(working).await.transpose()?;
    Ok(())
}

async fn dead(cli: &Cli, action: DeadAction) -> Result<(), Box<dyn std::error::Error>> {
    let broker = connect::broker(&cli.backends.broker(Environment::process())?, Rng::system())?;
    let mut health = broker.health();
    tokio::time::timeout(CONNECT, health.wait_for(|health| *health != BrokerHealth::Down))
        .await
        .map_err(|_| "the broker does not answer")??;
    match action {
        DeadAction::List => {
            println!("{} dead letters", broker.dead_count().await?);
            for letter in broker.peek_dead(PEEK).await? {
                let died_at = letter.died_at.map_or("-".to_owned(), |at| at.to_string());
                println!("{died_at}\t{}\t{}", letter.reason, letter.payload.escape_debug());
            }
        }
        DeadAction::Purge => println!("{} dead letters thrown away", broker.purge_dead().await?),
    }
    broker.close().await;
    Ok(())
}
