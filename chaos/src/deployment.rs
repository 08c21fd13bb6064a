//! All that runs: the services, the programs, the proxies between them, and the simulated gateway.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use hulak_common::api_key::{ApiKey, CLIENT_PREFIX, DEFAULT_CLIENT};
use hulak_common::clock::{DatabaseClock, SharedClock};
use hulak_common::code::Keyring;
use hulak_common::rng::Rng;
use hulak_runtime::shutdown::Shutdown;
use hulak_sandbox::{Faults, Sandbox, SandboxConfig};
use hulak_testkit::program::{random_secret, ready};
use hulak_testkit::services::{Durability, Postgres, PostgresOptions, RabbitMq, data_directory};
use hulak_worker::gateways::sparrow::install_tls;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::child::{Child, Link};
use crate::config::Settings;
use crate::error::ChaosError;
use crate::fault_log::FaultLog;
use crate::millis::Millis;
use crate::programs::Programs;
use crate::promise::{Broken, Promise};
use crate::schedule::{Target, Upstream};

const DATABASE: &str = "hulak";
/// Long, for a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(180);
/// A broker that is killed while its queues are new may never elect their leader.
const NEW_QUEUES: Duration = Duration::from_secs(3);
/// More messages than any run sends: the checks need every one.
const CAPACITY: usize = 1_000_000;

/// How a deployment is made.
#[derive(Debug, Clone)]
pub struct DeploymentOptions {
    /// API programs.
    pub apis: usize,
    /// Workers that are started.
    pub workers: usize,
    /// Workers that are started later.
    pub spare: usize,
    /// Client applications.
    pub clients: usize,
    /// The programs' settings.
    pub settings: Settings,
    /// The programs.
    pub programs: Programs,
}

/// A running deployment. Dropping it ends every process.
#[derive(Debug)]
pub struct Deployment {
    /// The API programs.
    pub apis: Vec<Child>,
    /// The workers.
    pub workers: Vec<Child>,
    /// PostgreSQL.
    pub postgres: Mutex<Postgres>,
    /// RabbitMQ.
    pub rabbit: Mutex<RabbitMq>,
    /// The gateway. It runs in this process, where no kill reaches it, so that its log is complete.
    pub sandbox: Sandbox,
    /// Allows one fault of the gateway at a time.
    pub gateway_turn: Mutex<()>,
    /// One key for each client application.
    pub keys: Vec<ApiKey>,
    /// Derives the codes that messages must contain.
    pub keyring: Keyring,
    /// The programs' settings.
    pub settings: Settings,
    /// When each fault was active.
    pub fault_log: FaultLog,
    /// The clock.
    pub clock: SharedClock,
    /// The database's address, not through a proxy.
    pub database_url: String,
    broken: StdMutex<Vec<Broken>>,
    gateway_stop: Shutdown,
    // Last, so that the logs are removed after the processes that write them.
    directory: TempDir,
}

impl Deployment {
    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn start(options: &DeploymentOptions) -> Result<Arc<Self>, ChaosError> {
        install_tls();
        let rng = Rng::system();
        let clock: SharedClock = Arc::new(DatabaseClock::new());
        let directory = data_directory("hulak-chaos-")?;
        let services = directory.path();
        let durable = PostgresOptions { durability: Durability::Real, ..PostgresOptions::default() };
        let (postgres, rabbit) =
            tokio::try_join!(Postgres::start_with(services, durable), RabbitMq::start(services))?;
        let database_url = make_database(&postgres).await?;
        let (sandbox, gateway, gateway_stop) = simulator(&clock, &rng).await?;

        let (secret, keyring) = random_secret(&rng);
        let keys: Vec<_> =
            (0..options.clients.max(1)).map(|_| ApiKey::generate(CLIENT_PREFIX, &rng)).collect();
        let upstreams = UpstreamAddresses {
            database: local(postgres.port()),
            broker: local(rabbit.port()),
            gateway,
            secret,
            key: keys[0].expose().to_owned(),
        };
        let mut apis = Vec::new();
        for n in 0..options.apis {
            apis.push(upstreams.child(Target::Api(n), options, directory.path()).await?);
        }
        let mut workers = Vec::new();
        for n in 0..options.workers + options.spare {
            workers.push(upstreams.child(Target::Worker(n), options, directory.path()).await?);
        }
        let deployment = Self {
            apis,
            workers,
            postgres: Mutex::new(postgres),
            rabbit: Mutex::new(rabbit),
            sandbox,
            gateway_turn: Mutex::new(()),
            keys,
            keyring,
            settings: options.settings,
            fault_log: FaultLog::new(Arc::clone(&clock)),
            clock,
            database_url,
            broken: StdMutex::default(),
            gateway_stop,
            directory,
        };
        for program in deployment.apis.iter().chain(&deployment.workers[..options.workers]) {
            program.start().await?;
            deployment.ready(program).await?;
        }
        deployment.install_keys(&rng).await?;
        sleep(NEW_QUEUES).await;
        Ok(Arc::new(deployment))
    }

    /// The time, as in the tables.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.clock.now().as_millis()
    }

    /// The program of this name.
    #[must_use]
    pub fn child(&self, target: Target) -> Option<&Child> {
        match target {
            Target::Api(n) => self.apis.get(n),
            Target::Worker(n) => self.workers.get(n),
            Target::Broker | Target::Database => None,
        }
    }

    /// Every program.
    pub fn children(&self) -> impl Iterator<Item = &Child> {
        self.apis.iter().chain(&self.workers)
    }

    /// Notes a broken promise that was found during the run.
    pub fn report_broken(&self, promise: Promise, what: impl Into<String>) {
        let what = what.into();
        tracing::debug!(?promise, what, "a promise is broken");
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).push(Broken { promise, what });
    }

    /// The broken promises noted so far.
    #[must_use]
    pub fn broken_promises(&self) -> Vec<Broken> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a program is ready and connected to its broker.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn ready(&self, child: &Child) -> Result<(), ChaosError> {
        timeout(READY_LIMIT, ready(&child.admin)).await.map_err(|_| {
            ChaosError::Setup(format!("{} is not ready; its log: {}", child.target, child.log.display()))
        })
    }

    async fn install_keys(&self, rng: &Rng) -> Result<(), ChaosError> {
        let mut connection = PgConnection::connect(&self.database_url).await?;
        // The first key is the one that the programs install themselves.
        for (n, key) in self.keys.iter().enumerate().skip(1) {
            let (client, stored) = (rng.uuid(), key.to_store(DEFAULT_CLIENT));
            let name = format!("client {n}");
            sqlx::query("INSERT INTO clients (id, name, created_at) VALUES ($1, $2, $3)")
                .bind(client)
                .bind(name)
                .bind(self.now())
                .execute(&mut connection)
                .await?;
            sqlx::query(
                "INSERT INTO api_keys (hash, client_id, prefix, operator, created_at) \
                 VALUES ($1, $2, $3, false, $4)",
            )
            .bind(stored.hash.as_slice())
            .bind(client)
            .bind(stored.prefix)
            .bind(self.now())
            .execute(&mut connection)
            .await?;
        }
        Ok(connection.close().await?)
    }

    /// Ends the programs. One that does not end in order breaks a promise, as there are no faults now.
    ///
    /// # Errors
    /// When the system cannot tell how one ended.
    pub async fn stop(&self) -> Result<(), ChaosError> {
        for program in self.children() {
            if let Some(end) = program.stop().await? {
                self.report_broken(Promise::Programs, format!("{} {}", program.target, end.what));
            }
        }
        self.gateway_stop.abort();
        Ok(())
    }

    /// A file on the same disk as the services' data.
    #[must_use]
    pub fn stall_watch_file(&self) -> PathBuf {
        self.directory.path().join("stall-watch")
    }

    /// Copies every log, and `evidence`, to a directory that stays.
    #[must_use]
    pub fn keep_logs(&self, label: u64, evidence: &str) -> PathBuf {
        let kept = std::env::temp_dir().join(format!("hulak-chaos-logs-{}-{label}", std::process::id()));
        let copied = std::fs::create_dir_all(&kept).and_then(|()| {
            std::fs::write(kept.join("evidence.txt"), evidence)?;
            copy_logs(self.directory.path(), &kept)
        });
        if let Err(error) = copied {
            tracing::warn!(%error, "the logs could not be kept");
        }
        kept
    }
}

/// Copies the logs of this directory and of the services' directories in it.
fn copy_logs(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "log") && path.is_file() {
            std::fs::copy(&path, to.join(path.file_name().unwrap_or_default()))?;
        } else if path.is_dir() && path.parent() == Some(from) && !path.ends_with("data") {
            copy_logs(&path, to)?;
        }
    }
    Ok(())
}

/// What the programs connect to, and the secrets they share.
struct UpstreamAddresses {
    database: SocketAddr,
    broker: SocketAddr,
    gateway: SocketAddr,
    secret: String,
    key: String,
}

impl UpstreamAddresses {
    async fn child(
        &self,
        target: Target,
        options: &DeploymentOptions,
        directory: &Path,
    ) -> Result<Child, ChaosError> {
        let database = Link::new(Upstream::Database, self.database).await?;
        let broker = Link::new(Upstream::Broker, self.broker).await?;
        let mut settings = options.settings.environment();
        settings.extend([
            ("HULAK_DATABASE_URL", format!("postgres://postgres@{}/{DATABASE}", database.proxy.addr())),
            ("HULAK_BROKER_URL", format!("amqp://guest:guest@{}/%2f", broker.proxy.addr())),
            ("HULAK_SECRET", self.secret.clone()),
        ]);
        let mut links = vec![database, broker];
        let (program, log) = if let Target::Worker(n) = target {
            let gateway = Link::new(Upstream::Gateway, self.gateway).await?;
            settings.push(("HULAK_SPARROW_URL", format!("http://{}/v2", gateway.proxy.addr())));
            links.push(gateway);
            (&options.programs.worker, format!("worker-{n}.log"))
        } else {
            settings.push(("HULAK_API_KEY", self.key.clone()));
            (&options.programs.api, format!("{target}.log").replace(' ', "-"))
        };
        Child::new(target, program.clone(), directory.join(log), links, settings)
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub(crate) async fn make_database(postgres: &Postgres) -> Result<String, ChaosError> {
    let mut connection = PgConnection::connect(&postgres.url("postgres")).await?;
    // A database's name cannot be a bind value; this one is a constant.
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {DATABASE}"))).execute(&mut connection).await?;
    connection.close().await?;
    Ok(postgres.url(DATABASE))
}

async fn simulator(clock: &SharedClock, rng: &Rng) -> Result<(Sandbox, SocketAddr, Shutdown), ChaosError> {
    let config = SandboxConfig { capacity: CAPACITY, credits: 1 << 40, faults: calm(), ..Default::default() };
    let sandbox = Sandbox::new(config, Arc::clone(clock), rng.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let stop = Shutdown::new();
    let (serving, stopping) = (sandbox.clone(), stop.clone());
    tokio::spawn(async move {
        if let Err(error) = hulak_sandbox::run(listener, serving, stopping).await {
            tracing::error!(%error, "the simulated gateway failed");
        }
    });
    Ok((sandbox, address, stop))
}

/// The gateway without faults: with some latency, as every gateway has.
#[must_use]
pub fn calm() -> Faults {
    Faults { latency_ms: 20, jitter_ms: 30, ..Faults::none() }
}
