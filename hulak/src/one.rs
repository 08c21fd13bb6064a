//! `hulak` without a command: API, worker and SMS simulator in one process, on a SQLite file. Nothing else has to be
//! installed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use hulak_api::Api;
use hulak_api::config::HostedPages;
use hulak_broker::{Broker, MemoryBroker};
use hulak_common::api_key::DEFAULT_CLIENT;
use hulak_common::clock::SharedClock;
use hulak_common::rng::Rng;
use hulak_common::rules::Rules;
use hulak_runtime::settings::messages::MessageArgs;
use hulak_runtime::settings::{BrokerArgs, DatabaseArgs, Environment, RulesArgs, TelemetryArgs, bind};
use hulak_runtime::shutdown::Shutdown;
use hulak_sandbox::{Sandbox, SandboxConfig};
use hulak_service::connect;
use hulak_store::Store;
use hulak_worker::config::GatewayArgs;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;

use crate::api::ApiArgs;
use crate::data_dir::DataDir;
use crate::launch::{Done, Failure, Process, Shared};
use crate::sandbox;
use crate::worker::worker;

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Where the database, the secret and the API key are kept.
    #[arg(long, env = "HULAK_DATA_DIR", default_value = "./hulak-data", hide_env_values = true)]
    data_dir: PathBuf,
    #[command(flatten)]
    sandbox: sandbox::SandboxArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    gateway: GatewayArgs,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    messages: MessageArgs,
    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,
}

/// The client of the operator's key.
const OPERATOR_CLIENT: &str = "operator";

/// Connections to the database, when it is PostgreSQL.
const CONNECTIONS: u32 = 16;

pub(crate) async fn run(settings: &Settings) -> Done {
    let process = Process::start(&settings.telemetry, "hulak")?;
    let templates = settings.messages.templates()?;
    let (environment, rng) = (process.environment, &process.rng);
    let data = DataDir::open(&settings.data_dir)?;
    let keyring = environment.keyring_or(|| data.secret(rng))?;
    let given = environment.api_key()?;
    let shown = match given {
        Some(_) => environment.in_shell("HULAK_API_KEY"),
        None => format!("$(cat '{}')", data.api_key_file().display()),
    };
    let api_key = given.map_or_else(|| data.api_key(rng), Ok)?;
    let operator_key = data.operator_key(rng)?;
    let ports = Ports::open(settings, environment).await?;
    let addresses = ports.addresses()?;
    let lease = settings.rules.claim_lease;
    let gateway = match addresses.inbox {
        Some(simulator) => settings.gateway.simulated(simulator, lease)?,
        None => settings.gateway.client(environment, lease)?,
    };
    let rules = settings.rules.rules(keyring.clone());
    let shared = Shared {
        keyring,
        templates,
        carriers: settings.api.numbers.carriers.carriers()?,
        store: store(settings, environment, &data, rules)?,
        broker: broker(settings, environment, rng)?,
    };
    // Before the greeting, so that its curl line works at once.
    shared.store.migrate().await?;
    for (key, client) in [(&api_key, DEFAULT_CLIENT), (&operator_key, OPERATOR_CLIENT)] {
        let now = process.clock.now();
        shared.store.install_key(&key.to_store(client), rng.uuid_v7(now), now).await?;
    }
    let hosted = hosted(settings, addresses.inbox);
    let demonstrates = matches!(hosted, HostedPages::Demonstration { .. });
    let api = Api { hosted, ..settings.api.api(&settings.rules, &shared, &process, addresses.api) };
    let worker = worker(&settings.gateway, &settings.rules, gateway, &shared, &process);
    let greeting = Greeting {
        addresses,
        demonstrates,
        data: settings.data_dir.display().to_string(),
        operator_key: data.operator_key_file().display().to_string(),
        api_key: shown,
    };
    greeting.print();
    let sign_up = demonstrates.then(|| format!("http://{}/verify", addresses.api));
    let (clock, rng, shutdown) = (Arc::clone(&process.clock), process.rng.clone(), process.shutdown.clone());
    let working = async {
        tokio::try_join!(
            async { Ok(hulak_api::run(api, ports.public, ports.admin, shutdown.clone()).await?) },
            async { Ok(hulak_worker::run(worker, None, shutdown.clone()).await?) },
            simulate(ports.simulator, sign_up, clock, rng, shutdown.clone()),
        )
        .map(drop)
    };
    Box::pin(process.serve(shared, working)).await
}

/// The listening sockets.
struct Ports {
    public: TcpListener,
    admin: TcpListener,
    /// The simulator's, unless a real gateway is set.
    simulator: Option<TcpListener>,
}

/// Where they listen.
#[derive(Clone, Copy)]
struct Addresses {
    api: SocketAddr,
    admin: SocketAddr,
    inbox: Option<SocketAddr>,
}

impl Ports {
    async fn open(settings: &Settings, environment: Environment) -> Result<Self, Failure> {
        let simulator = match settings.gateway.sparrow.are_set(environment)? {
            true => None,
            false => Some(bind("HULAK_SANDBOX_ADDR", settings.sandbox.sandbox_addr).await?),
        };
        let public = bind("HULAK_HTTP_ADDR", settings.api.addresses.http_addr).await?;
        let admin = bind("HULAK_ADMIN_ADDR", settings.api.addresses.admin_addr).await?;
        Ok(Self { public, admin, simulator })
    }

    fn addresses(&self) -> Result<Addresses, Failure> {
        Ok(Addresses {
            api: self.public.local_addr()?,
            admin: self.admin.local_addr()?,
            inbox: self.simulator.as_ref().map(TcpListener::local_addr).transpose()?,
        })
    }
}

/// The hosted page is on by default. With the simulator it is open to every visitor, as no code reaches a real phone.
fn hosted(settings: &Settings, simulator: Option<SocketAddr>) -> HostedPages {
    match (settings.api.hosted.pages(true), simulator) {
        (HostedPages::On, Some(address)) => {
            HostedPages::Demonstration { inbox: format!("http://{address}/inbox") }
        }
        (pages, _) => pages,
    }
}

/// The SQLite file, unless another database is named.
fn store(
    settings: &Settings,
    environment: Environment,
    data: &DataDir,
    rules: Rules,
) -> Result<Arc<Store>, Failure> {
    if settings.database.database_url.is_some() || environment.secret("HULAK_DATABASE_URL")?.is_some() {
        let url = settings.database.url(environment)?;
        return Ok(connect::store(&url, rules, CONNECTIONS, "hulak")?);
    }
    Ok(Arc::new(Store::sqlite(&data.database(), rules)?))
}

/// Memory, unless a broker is named.
fn broker(settings: &Settings, environment: Environment, rng: &Rng) -> Result<Arc<dyn Broker>, Failure> {
    if settings.broker.broker_url.is_some() || environment.secret("HULAK_BROKER_URL")?.is_some() {
        let url = settings.broker.url(environment)?;
        if url.expose_secret() != "memory" {
            return Ok(connect::broker(&url, rng.clone())?);
        }
    }
    Ok(MemoryBroker::new())
}

async fn simulate(
    listener: Option<TcpListener>,
    sign_up: Option<String>,
    clock: SharedClock,
    rng: Rng,
    shutdown: Shutdown,
) -> Done {
    let Some(listener) = listener else { return Ok(()) };
    let sandbox = Sandbox::new(SandboxConfig { sign_up, ..SandboxConfig::default() }, clock, rng);
    Ok(hulak_sandbox::run(listener, sandbox, shutdown).await?)
}

/// What a person sees first.
struct Greeting {
    addresses: Addresses,
    demonstrates: bool,
    data: String,
    operator_key: String,
    /// How a shell finds the API key. The key itself is not printed: what a program prints is kept in logs.
    api_key: String,
}

impl Greeting {
    fn print(&self) {
        let Self { addresses: Addresses { api, admin, inbox }, demonstrates, data, operator_key, api_key } =
            self;
        println!("Hulak verifies phone numbers in Nepal.\n");
        println!("  API        http://{api}");
        println!("  Docs       http://{api}/docs");
        if *demonstrates {
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
        println!("    -H \"Authorization: Bearer {api_key}\" \\");
        println!("    -H 'Content-Type: application/json' -d '{{\"phone\":\"9812345678\"}}'\n");
    }
}
