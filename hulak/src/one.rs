//! `hulak`: API, worker and SMS simulator in one process, on a SQLite file. Nothing else has to be installed.

mod data_dir;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use data_dir::DataDir;
use hulak_api::config::{AddressArgs, HostedArgs, LoadArgs, NumberArgs};
use hulak_api::hosted::HostedPages;
use hulak_api::long_poll::Changes;
use hulak_api::{Api, Freshness};
use hulak_broker::{Broker, MemoryBroker};
use hulak_common::api_key::ApiKey;
use hulak_common::clock::{DatabaseClock, SharedClock};
use hulak_common::rng::Rng;
use hulak_common::rules::Rules;
use hulak_runtime::settings::messages::MessageArgs;
use hulak_runtime::settings::{
    BackendArgs, Environment, RulesArgs, SECRETS_HELP, TelemetryArgs, bind, fail, parse,
};
use hulak_runtime::shutdown::Shutdown;
use hulak_sandbox::{Sandbox, SandboxConfig};
use hulak_service::connect;
use hulak_store::{Database, Sqlite, Store};
use hulak_worker::Worker;
use hulak_worker::config::GatewayArgs;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;

/// Verifies phone numbers in Nepal: everything in one process.
#[derive(Debug, Parser)]
#[command(version, after_help = SECRETS_HELP)]
struct Cli {
    /// Where the database, the secret and the API key are kept.
    #[arg(long, env = "HULAK_DATA_DIR", default_value = "./hulak-data", hide_env_values = true)]
    data_dir: PathBuf,
    /// Where the SMS simulator and its inbox are reached.
    #[arg(long, env = "HULAK_SANDBOX_ADDR", default_value = "127.0.0.1:8081", hide_env_values = true)]
    sandbox_addr: SocketAddr,
    #[command(flatten)]
    backends: BackendArgs,
    #[command(flatten)]
    addresses: AddressArgs,
    #[command(flatten)]
    numbers: NumberArgs,
    #[command(flatten)]
    hosted: HostedArgs,
    #[command(flatten)]
    gateway: GatewayArgs,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    messages: MessageArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

/// The client of the operator's key.
const OPERATOR_CLIENT: &str = "operator";

type Failure = Box<dyn std::error::Error>;

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
    if let Err(error) = runtime.block_on(run(&cli)) {
        fail(&error);
    }
    // Not dropped but left to the end of the process: it would cancel what a connection to the broker that is just being
    // made waits for, and that connection's thread would panic.
    std::mem::forget(runtime);
    hulak_runtime::logging::flush();
}

async fn run(cli: &Cli) -> Result<(), Failure> {
    // First of all: whoever starts a program may want to stop it at once.
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let traces = hulak_otlp::start(&cli.telemetry, "hulak")?;
    let templates = cli.messages.templates()?;
    let environment = Environment::process();
    let rng = Rng::system();
    let clock: SharedClock = Arc::new(DatabaseClock::new());
    let data = DataDir::open(&cli.data_dir)?;
    let keyring = environment.keyring_or(|| data.secret(&rng))?;
    let api_key = environment.api_key()?.map_or_else(|| data.api_key(&rng), Ok)?;
    let operator_key = data.operator_key(&rng)?;

    let simulated = !cli.gateway.sparrow.are_set(environment)?;
    let simulator = if simulated { Some(bind("HULAK_SANDBOX_ADDR", cli.sandbox_addr).await?) } else { None };
    let gateway = match &simulator {
        Some(listener) => cli.gateway.simulated(listener.local_addr()?, cli.rules.claim_lease)?,
        None => cli.gateway.client(environment, cli.rules.claim_lease)?,
    };
    let public = bind("HULAK_HTTP_ADDR", cli.addresses.http_addr).await?;
    let admin = bind("HULAK_ADMIN_ADDR", cli.addresses.admin_addr).await?;
    let hosted = match cli.hosted.pages(true) {
        // Whoever comes may have codes sent, so only where they reach nobody's phone.
        HostedPages::On => match &simulator {
            Some(listener) => {
                HostedPages::Demonstration { inbox: format!("http://{}/inbox", listener.local_addr()?) }
            }
            None => HostedPages::On,
        },
        pages => pages,
    };
    let greeting = Greeting {
        hosted: hosted.clone(),
        api: public.local_addr()?,
        admin: admin.local_addr()?,
        inbox: simulator.as_ref().map(TcpListener::local_addr).transpose()?,
        data: cli.data_dir.display().to_string(),
        operator_key: data.operator_key_file().display().to_string(),
    };
    let store = store(cli, environment, &data, cli.rules.rules(keyring.clone()))?;
    let broker = broker(cli, environment, &rng)?;
    // Before the greeting, so that its curl line works at once.
    store.migrate().await?;
    let now = clock.now();
    store
        .install_key(&api_key.to_store(hulak_common::api_key::DEFAULT_CLIENT), rng.uuid_v7(now), now)
        .await?;
    store.install_key(&operator_key.to_store(OPERATOR_CLIENT), rng.uuid_v7(now), now).await?;

    let carriers = cli.numbers.carriers.carriers()?;
    let api = Api {
        public_url: cli.addresses.public_url(greeting.api),
        pattern: cli.numbers.phone_pattern.clone(),
        test_numbers: cli.rules.test_numbers.clone(),
        carriers: carriers.clone(),
        templates: templates.clone(),
        proxies: cli.addresses.trusted_proxies.clone(),
        cors: cli.addresses.cors_origins.clone(),
        hosted: hosted.clone(),
        keyring: keyring.clone(),
        api_key: None,
        max_backlog_age: cli.load.max_backlog_age,
        freshness: Freshness::default(),
        clock: Arc::clone(&clock),
        rng: rng.clone(),
        store: Arc::clone(&store),
        broker: Arc::clone(&broker),
        changes: Changes::new(),
    };
    let worker = Worker {
        keyring,
        templates,
        lease: cli.rules.claim_lease,
        timeout: cli.gateway.gateway_timeout,
        rate: cli.gateway.gateway_rate,
        concurrency: cli.gateway.gateway_concurrency,
        carriers,
        gateway,
        clock: Arc::clone(&clock),
        rng: rng.clone(),
        store: Arc::clone(&store),
        broker: Arc::clone(&broker),
    };
    let demonstrates = matches!(hosted, HostedPages::Demonstration { .. });
    let sign_up = demonstrates.then(|| format!("http://{}/verify", greeting.api));
    greeting.print(&api_key);
    let working = async {
        let done = tokio::try_join!(
            async { hulak_api::run(api, public, admin, shutdown.clone()).await.map_err(Failure::from) },
            async { hulak_worker::run(worker, None, shutdown.clone()).await.map_err(Failure::from) },
            async { simulate(simulator, sign_up, clock, rng, shutdown.clone()).await },
        );
        broker.close().await;
        store.close().await;
        hulak_otlp::finish(traces).await;
        done.map(drop)
    };
    // On the heap: the whole of Hulak is a large future.
    shutdown.bound(Box::pin(working)).await.transpose()?;
    Ok(())
}

async fn simulate(
    listener: Option<TcpListener>,
    sign_up: Option<String>,
    clock: SharedClock,
    rng: Rng,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    let Some(listener) = listener else { return Ok(()) };
    let sandbox = Sandbox::new(SandboxConfig { sign_up, ..SandboxConfig::default() }, clock, rng);
    Ok(hulak_sandbox::run(listener, sandbox, shutdown).await?)
}

/// The SQLite file, unless another database is named.
fn store(
    cli: &Cli,
    environment: Environment,
    data: &DataDir,
    rules: Rules,
) -> Result<Arc<dyn Store>, Failure> {
    if cli.backends.database_url.is_some() || environment.secret("HULAK_DATABASE_URL")?.is_some() {
        let url = cli.backends.database(environment)?;
        return Ok(connect::store(&url, rules, 16, "hulak")?);
    }
    Ok(Arc::new(Database::new(Sqlite::open(&data.database())?, rules)))
}

/// Memory, unless a broker is named.
fn broker(cli: &Cli, environment: Environment, rng: &Rng) -> Result<Arc<dyn Broker>, Failure> {
    let named = cli.backends.broker_url.is_some() || environment.secret("HULAK_BROKER_URL")?.is_some();
    if named {
        let url = cli.backends.broker(environment)?;
        if url.expose_secret() != "memory" {
            return Ok(connect::broker(&url, rng.clone())?);
        }
    }
    Ok(MemoryBroker::new())
}

/// What a person sees first.
struct Greeting {
    hosted: HostedPages,
    api: SocketAddr,
    admin: SocketAddr,
    inbox: Option<SocketAddr>,
    data: String,
    operator_key: String,
}

impl Greeting {
    fn print(&self, key: &ApiKey) {
        let Self { hosted, api, admin, inbox, data, operator_key } = self;
        println!("Hulak verifies phone numbers in Nepal.\n");
        println!("  API        http://{api}");
        println!("  Docs       http://{api}/docs");
        if matches!(hosted, HostedPages::Demonstration { .. }) {
            println!("  Page       http://{api}/verify   (type a number, and its code from the inbox)");
        }
        match inbox {
            Some(inbox) => {
                println!("  SMS inbox  http://{inbox}/inbox   (simulated: nothing reaches a real phone)");
            }
            None => println!("  SMS        go out through the real gateway"),
        }
        println!("  Console    http://{admin}/console   (sign in with the key in {operator_key})");
        println!("  Admin      http://{admin}/readyz");
        println!("  Data       {data}\n");
        println!("Ask for a code:\n");
        println!("  curl -s http://{api}/v1/verifications \\");
        println!("    -H 'Authorization: Bearer {}' \\", key.expose());
        println!("    -H 'Content-Type: application/json' -d '{{\"phone\":\"9812345678\"}}'\n");
    }
}
