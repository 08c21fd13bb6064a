//! Everything that runs: the services, the programs, the proxies between them, and the simulated gateway.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hulak_common::api_key::{ApiKey, CLIENT_PREFIX, DEFAULT_CLIENT};
use hulak_common::clock::{DatabaseClock, SharedClock};
use hulak_common::code::{Keyring, Secret};
use hulak_common::rng::Rng;
use hulak_runtime::shutdown::Shutdown;
use hulak_sandbox::{Faults, Sandbox, SandboxConfig};
use hulak_testkit::services::{Durability, Postgres, PostgresOptions, RabbitMq};
use hulak_worker::gateways::sparrow::install_tls;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::config::Settings;
use crate::judge::{Broken, Promise};
use crate::program::{Link, Program};
use crate::recovery::Journal;
use crate::schedule::{Service, Target};
use crate::{Binaries, ChaosError, Millis};

const DATABASE: &str = "hulak";
/// Long: a busy machine starts slowly.
const READY_LIMIT: Duration = Duration::from_secs(180);
/// A broker that is killed while its queues are new may never find their leader again.
const SETTLE: Duration = Duration::from_secs(3);
/// More than any run sends: the judge needs every message.
const CAPACITY: usize = 1_000_000;

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct Shape {
    /// API programs.
    pub apis: usize,
    /// Workers that are started.
    pub workers: usize,
    /// Workers that are left for later.
    pub spare: usize,
    /// Client applications.
    pub clients: usize,
    /// What the programs are told.
    pub settings: Settings,
    /// The programs.
    pub binaries: Binaries,
}

/// A running world. Dropping it ends every child.
#[derive(Debug)]
pub struct World {
    /// The API programs.
    pub apis: Vec<Program>,
    /// The workers.
    pub workers: Vec<Program>,
    /// PostgreSQL.
    pub postgres: Mutex<Postgres>,
    /// RabbitMQ.
    pub rabbit: Mutex<RabbitMq>,
    /// The gateway, and the judge's own record: it lives in this process, where no kill reaches it.
    pub sandbox: Sandbox,
    /// One gateway fault at a time.
    pub gateway_turn: Mutex<()>,
    /// One key for each client application.
    pub keys: Vec<ApiKey>,
    /// Derives the codes that messages must carry.
    pub keyring: Keyring,
    /// What the programs are told.
    pub settings: Settings,
    /// When which fault was on.
    pub journal: Journal,
    /// The time.
    pub clock: SharedClock,
    /// Where the judge reads the database: not through a proxy.
    pub database_url: String,
    broken: StdMutex<Vec<Broken>>,
    gateway_stop: Shutdown,
    // Last, so that the logs go after those who write them.
    directory: TempDir,
}

impl World {
    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn start(shape: &Shape) -> Result<Arc<Self>, ChaosError> {
        install_tls();
        let rng = Rng::system();
        let clock: SharedClock = Arc::new(DatabaseClock::new());
        let directory = services_directory()?;
        let services = directory.path();
        let options = PostgresOptions { durability: Durability::Real, ..PostgresOptions::default() };
        let (postgres, rabbit) =
            tokio::try_join!(Postgres::start_with(services, options), RabbitMq::start(services))?;
        let database_url = make_database(&postgres).await?;
        let (sandbox, gateway, gateway_stop) = simulator(&clock, &rng).await?;

        let secret = rng.bytes::<32>();
        let keyring = Keyring::new(
            Secret::from_bytes(secret.to_vec()).map_err(|error| ChaosError::Setup(error.to_string()))?,
            None,
        );
        let keys: Vec<_> = (0..shape.clients.max(1)).map(|_| ApiKey::generate(CLIENT_PREFIX, &rng)).collect();
        let upstreams = Upstreams {
            database: local(postgres.port()),
            broker: local(rabbit.port()),
            gateway,
            secret: STANDARD.encode(secret),
            key: keys[0].expose().to_owned(),
        };
        let mut apis = Vec::new();
        for n in 0..shape.apis {
            apis.push(upstreams.program(Target::Api(n), shape, directory.path()).await?);
        }
        let mut workers = Vec::new();
        for n in 0..shape.workers + shape.spare {
            workers.push(upstreams.program(Target::Worker(n), shape, directory.path()).await?);
        }
        let world = Self {
            apis,
            workers,
            postgres: Mutex::new(postgres),
            rabbit: Mutex::new(rabbit),
            sandbox,
            gateway_turn: Mutex::new(()),
            keys,
            keyring,
            settings: shape.settings,
            journal: Journal::new(Arc::clone(&clock)),
            clock,
            database_url,
            broken: StdMutex::default(),
            gateway_stop,
            directory,
        };
        for program in world.apis.iter().chain(&world.workers[..shape.workers]) {
            program.start().await?;
            world.ready(program).await?;
        }
        world.install_keys(&rng).await?;
        sleep(SETTLE).await;
        Ok(Arc::new(world))
    }

    /// The time, as the tables have it.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.clock.now().as_millis()
    }

    /// The program of this name.
    #[must_use]
    pub fn program(&self, target: Target) -> Option<&Program> {
        match target {
            Target::Api(n) => self.apis.get(n),
            Target::Worker(n) => self.workers.get(n),
            Target::Broker | Target::Database => None,
        }
    }

    /// Every program.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.apis.iter().chain(&self.workers)
    }

    /// Notes a broken promise that was seen while the run went on.
    pub fn complain(&self, promise: Promise, what: impl Into<String>) {
        let what = what.into();
        tracing::debug!(?promise, what, "a promise is broken");
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).push(Broken { promise, what });
    }

    /// The broken promises noted so far.
    #[must_use]
    pub fn complaints(&self) -> Vec<Broken> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a program says that it is ready and that its broker is there.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn ready(&self, program: &Program) -> Result<(), ChaosError> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build();
        let http = http.map_err(|error| ChaosError::Setup(error.to_string()))?;
        let asking = async {
            loop {
                if let Ok(answer) = http.get(format!("{}/readyz", program.admin)).send().await
                    && answer.status().is_success()
                    && answer.text().await.is_ok_and(|text| !text.contains("degraded"))
                {
                    return;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(READY_LIMIT, asking).await.map_err(|_| {
            ChaosError::Setup(format!("{} is not ready; its log: {}", program.target, program.log.display()))
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

    /// Ends the programs in order. What does not end as it should is a broken promise: nothing disturbs them now.
    ///
    /// # Errors
    /// When the system cannot tell how one ended.
    pub async fn stop(&self) -> Result<(), ChaosError> {
        for program in self.programs() {
            if let Some(end) = program.stop().await? {
                self.complain(Promise::Programs, format!("{} {}", program.target, end.what));
            }
        }
        self.gateway_stop.abort();
        Ok(())
    }

    /// A file on the disk that the services use.
    #[must_use]
    pub fn heartbeat_file(&self) -> PathBuf {
        self.directory.path().join("heartbeat")
    }

    /// Copies every log, and `evidence`, to where a person can read them.
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

/// The logs in this directory and in those in it: each service has its own.
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
struct Upstreams {
    database: SocketAddr,
    broker: SocketAddr,
    gateway: SocketAddr,
    secret: String,
    key: String,
}

impl Upstreams {
    async fn program(&self, target: Target, shape: &Shape, directory: &Path) -> Result<Program, ChaosError> {
        let database = Link::new(Service::Database, self.database).await?;
        let broker = Link::new(Service::Broker, self.broker).await?;
        let mut settings = shape.settings.environment();
        settings.extend([
            ("HULAK_DATABASE_URL", format!("postgres://postgres@{}/{DATABASE}", database.proxy.addr())),
            ("HULAK_BROKER_URL", format!("amqp://guest:guest@{}/%2f", broker.proxy.addr())),
            ("HULAK_SECRET", self.secret.clone()),
        ]);
        let mut links = vec![database, broker];
        let (binary, log) = if let Target::Worker(n) = target {
            let gateway = Link::new(Service::Gateway, self.gateway).await?;
            settings.push(("HULAK_SPARROW_URL", format!("http://{}/v2", gateway.proxy.addr())));
            links.push(gateway);
            (&shape.binaries.worker, format!("worker-{n}.log"))
        } else {
            settings.push(("HULAK_API_KEY", self.key.clone()));
            (&shape.binaries.api, format!("{target}.log").replace(' ', "-"))
        };
        Program::new(target, binary.clone(), directory.join(log), links, settings)
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Where the services keep their data. They run as users of their own, and have to get to it.
pub(crate) fn services_directory() -> Result<TempDir, ChaosError> {
    let directory = tempfile::Builder::new().prefix("hulak-chaos-").tempdir()?;
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(directory)
}

pub(crate) async fn make_database(postgres: &Postgres) -> Result<String, ChaosError> {
    let mut connection = PgConnection::connect(&postgres.url("postgres")).await?;
    // A database's name cannot be bound; this one is a constant.
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
            tracing::error!(%error, "the simulated gateway broke");
        }
    });
    Ok((sandbox, address, stop))
}

/// The gateway in good weather: not instant, as no gateway is.
#[must_use]
pub fn calm() -> Faults {
    Faults { latency_ms: 20, jitter_ms: 30, ..Faults::none() }
}
