//! A running Hulak: the programs of one scenario as processes, and the load process beside them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hulak_common::api_key::{ApiKey, CLIENT_PREFIX};
use hulak_common::clock::Stopwatch;
use hulak_common::code::Keyring;
use hulak_common::rng::Rng;
use hulak_testkit::program::{Program, random_secret};
use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;

use crate::error::BenchError;
use crate::load::client::Client;
use crate::load_process::LoadProcess;
use crate::options::Options;
use crate::programs::{Programs, RunningProgram, helper, local_address};
use crate::services::Services;
use crate::usage::{self, Counted};

/// From one look at the open messages to the next.
const LOOK: Duration = Duration::from_millis(200);
const DRAIN_LIMIT: Duration = Duration::from_secs(300);
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// How long the programs have to be idle.
const IDLE_SPAN: Duration = Duration::from_millis(500);
/// Of one processor: what an idle program uses at most for its regular checks.
const IDLE_SHARE: f64 = 0.15;
/// Above what any run sends, so that the gateway is the limit only in the scenario that measures it.
pub const RATE: &str = "100000";
/// With workers stopped, messages wait without end; the API must not shed load for it.
pub const BACKLOG_AGE: &str = "24h";
/// Credits of the simulated gateway: more than any run uses.
const CREDITS: u64 = 1_000_000_000;

/// How a deployment is made.
#[derive(Debug, Clone)]
pub struct DeploymentOptions {
    /// The name of its database, its virtual host and its logs.
    pub name: String,
    /// The programs.
    pub programs: Programs,
    /// Whether the database exists already, and is kept.
    pub keeps_database: bool,
    /// One process on SQLite in place of all others.
    pub embedded: bool,
    /// How long the simulated gateway takes to answer.
    pub latency_ms: u64,
    /// Messages in flight in each worker.
    pub concurrency: u16,
    /// Settings of this scenario.
    pub settings: Vec<(&'static str, String)>,
}

/// A running deployment. Dropping it ends every process.
#[derive(Debug)]
pub struct Deployment {
    /// The API's address.
    pub api: SocketAddr,
    /// The simulated gateway's address.
    pub simulator: SocketAddr,
    /// The API key.
    pub key: String,
    /// Derives the codes.
    pub keyring: Keyring,
    /// Makes the load.
    pub load: LoadProcess,
    running: Vec<RunningProgram>,
    workers: Vec<RunningProgram>,
    secret: String,
    api_admin: SocketAddr,
    made: DeploymentOptions,
    options: Options,
    logs: PathBuf,
    database_url: String,
    broker_url: String,
    services: Vec<Counted>,
}

type Settings = Vec<(&'static str, String)>;

impl Deployment {
    /// Starts the API, the simulator and the load process; workers come later.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn start(
        services: &Services,
        options: &Options,
        made: DeploymentOptions,
    ) -> Result<Self, BenchError> {
        let rng = Rng::system();
        let (secret, keyring) = random_secret(&rng);
        if !made.embedded {
            if !made.keeps_database {
                services.make_database(&made.name).await?;
            }
            services.make_host(&made.name).await?;
        }
        let logs = options.keep_logs.clone().unwrap_or_else(|| services.directory().to_owned());
        std::fs::create_dir_all(&logs)?;
        let mut deployment = Self {
            api: local_address()?,
            simulator: local_address()?,
            key: ApiKey::generate(CLIENT_PREFIX, &rng).expose().to_owned(),
            keyring,
            load: LoadProcess::start(&helper("hulak-bench-load")?)?,
            running: Vec::new(),
            workers: Vec::new(),
            secret,
            api_admin: local_address()?,
            database_url: services.postgres_url(&made.name),
            broker_url: services.rabbit_url(&made.name),
            services: if made.embedded { Vec::new() } else { services.counted() },
            made,
            options: options.clone(),
            logs,
        };
        if deployment.made.embedded {
            deployment.start_embedded(services).await?;
        } else {
            deployment.start_simulator().await?;
            deployment.start_api().await?;
        }
        deployment.set_gateway(deployment.made.latency_ms).await?;
        Ok(deployment)
    }

    async fn start_simulator(&mut self) -> Result<(), BenchError> {
        let settings = vec![
            ("HULAK_SANDBOX_ADDR", self.simulator.to_string()),
            ("HULAK_SANDBOX_CREDITS", CREDITS.to_string()),
        ];
        let program = &self.made.programs.sandbox;
        let simulator = self.launch(program, "simulator", settings, self.simulator).await?;
        self.running.push(simulator);
        Ok(())
    }

    async fn start_api(&mut self) -> Result<(), BenchError> {
        let mut settings = self.upstreams();
        settings.extend(self.api_settings());
        let api = self.launch(&self.made.programs.api, "api", settings, self.api_admin).await?;
        self.running.push(api);
        Ok(())
    }

    async fn start_embedded(&mut self, services: &Services) -> Result<(), BenchError> {
        let data = services.directory().join(format!("{}-data", self.made.name));
        let mut settings = vec![
            ("HULAK_DATA_DIR", data.display().to_string()),
            ("HULAK_SECRET", self.secret.clone()),
            ("HULAK_SANDBOX_ADDR", self.simulator.to_string()),
        ];
        settings.extend(self.api_settings());
        settings.extend(self.gateway_settings());
        let program = &self.made.programs.one_process;
        let hulak = self.launch(program, "hulak", settings, self.api_admin).await?;
        self.running.push(hulak);
        Ok(())
    }

    /// Starts or ends workers until there are this many.
    ///
    /// # Errors
    /// When one does not start or does not end.
    pub async fn set_workers(&mut self, count: usize) -> Result<(), BenchError> {
        while self.workers.len() > count {
            if let Some(worker) = self.workers.pop() {
                worker.stop().await?;
            }
        }
        while self.workers.len() < count {
            let admin = local_address()?;
            let mut settings = self.upstreams();
            settings.extend([
                ("HULAK_ADMIN_ADDR", admin.to_string()),
                ("HULAK_SPARROW_URL", format!("http://{}/v2", self.simulator)),
                ("HULAK_SPARROW_TOKEN", "bench".to_owned()),
                ("HULAK_SPARROW_FROM", "Hulak".to_owned()),
            ]);
            settings.extend(self.gateway_settings());
            let worker = self.launch(&self.made.programs.worker, "worker", settings, admin).await?;
            self.workers.push(worker);
        }
        Ok(())
    }

    /// Restarts the API, so that its caches are empty.
    ///
    /// # Errors
    /// When it does not end or start.
    pub async fn restart_api(&mut self) -> Result<(), BenchError> {
        if let Some(at) = self.running.iter().position(|program| program.name == "api") {
            self.running.remove(at).stop().await?;
        }
        self.start_api().await
    }

    /// Every process whose use is counted: programs, services, load.
    #[must_use]
    pub fn counted(&self) -> Vec<Counted> {
        let programs = self.running.iter().chain(&self.workers);
        let mut counted: Vec<_> =
            programs.map(|program| Counted { name: program.name.clone(), id: program.id() }).collect();
        counted.extend(self.load.id().map(|id| Counted { name: "load".to_owned(), id }));
        counted.extend(self.services.iter().cloned());
        counted
    }

    /// Resident memory of a program; of the first worker, when there are several.
    #[must_use]
    pub fn resident(&self, name: &str) -> Option<u64> {
        let program = self.running.iter().chain(&self.workers).find(|program| program.name == name)?;
        usage::resident(program.id())
    }

    /// Sets how long the gateway takes to answer, and gives it credits for the whole run.
    ///
    /// # Errors
    /// When the simulator refuses.
    pub async fn set_gateway(&self, latency_ms: u64) -> Result<(), BenchError> {
        let body = format!("{{\"latency_ms\":{latency_ms},\"credits\":{CREDITS}}}");
        let head = format!(
            "PUT /faults HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.simulator,
            body.len()
        );
        let mut client = Client::new(self.simulator);
        let answer = client.call(format!("{head}{body}").as_bytes()).await?;
        if answer.status == 200 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(answer.body).into_owned();
        Err(BenchError::Setup(format!("the simulator refuses {body}: {text}")))
    }

    /// Waits until every accepted message was sent, and all processes are idle.
    ///
    /// # Errors
    /// When messages are still open after five minutes.
    pub async fn drained(&self) -> Result<(), BenchError> {
        let mut database = PgConnection::connect(&self.database_url).await?;
        let limit = Stopwatch::start();
        while limit.elapsed() < DRAIN_LIMIT {
            // Both conditions have an index that holds the open messages only.
            let open: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM messages WHERE state = 'queued') \
                 OR EXISTS (SELECT 1 FROM messages WHERE lease_until IS NOT NULL)",
            )
            .fetch_one(&mut database)
            .await?;
            if !open {
                return self.idle().await;
            }
            sleep(LOOK).await;
        }
        Err(BenchError::Invalid(format!("after {DRAIN_LIMIT:?} there are still messages to be sent")))
    }

    /// Waits until all processes are idle, so that work left over from one sample does not slow down the next.
    ///
    /// # Errors
    /// When they are still busy after a minute.
    pub async fn idle(&self) -> Result<(), BenchError> {
        let (counted, limit) = (self.counted(), Stopwatch::start());
        while limit.elapsed() < IDLE_LIMIT {
            let before = usage::cpu(&counted);
            sleep(IDLE_SPAN).await;
            let used = usage::between(&before, &usage::cpu(&counted));
            if used.values().sum::<f64>() <= IDLE_SPAN.as_secs_f64() * IDLE_SHARE {
                return Ok(());
            }
        }
        Err(BenchError::Invalid(format!("after {IDLE_LIMIT:?} without work the programs are still busy")))
    }

    /// The database's address.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Ends everything in order, and removes its data.
    ///
    /// # Errors
    /// When a program does not end.
    pub async fn stop(mut self, services: &Services) -> Result<(), BenchError> {
        self.set_workers(0).await?;
        // The API before the simulator.
        while let Some(program) = self.running.pop() {
            program.stop().await?;
        }
        if self.made.embedded {
            std::fs::remove_dir_all(services.directory().join(format!("{}-data", self.made.name)))?;
            return Ok(());
        }
        if !self.made.keeps_database {
            services.drop_database(&self.made.name).await?;
        }
        services.drop_host(&self.made.name).await
    }

    fn upstreams(&self) -> Settings {
        vec![
            ("HULAK_DATABASE_URL", self.database_url.clone()),
            ("HULAK_BROKER_URL", self.broker_url.clone()),
            ("HULAK_SECRET", self.secret.clone()),
        ]
    }

    fn api_settings(&self) -> Settings {
        vec![
            ("HULAK_API_KEY", self.key.clone()),
            ("HULAK_HTTP_ADDR", self.api.to_string()),
            ("HULAK_ADMIN_ADDR", self.api_admin.to_string()),
            ("HULAK_MAX_BACKLOG_AGE", BACKLOG_AGE.to_owned()),
        ]
    }

    fn gateway_settings(&self) -> Settings {
        vec![
            ("HULAK_GATEWAY_RATE", RATE.to_owned()),
            ("HULAK_GATEWAY_CONCURRENCY", self.made.concurrency.to_string()),
        ]
    }

    async fn launch(
        &self,
        program: &Program,
        name: &str,
        settings: Settings,
        admin: SocketAddr,
    ) -> Result<RunningProgram, BenchError> {
        let mut command = program.command(settings);
        command.envs(self.made.settings.iter().map(|(name, value)| (name, value)));
        command.envs(self.options.log.iter().map(|log| ("HULAK_LOG", log)));
        command.envs(self.options.set.iter().filter_map(|set| set.split_once('=')));
        let log = self.logs.join(format!("{}-{name}.log", self.made.name));
        RunningProgram::start(name, command, log, admin).await
    }
}
