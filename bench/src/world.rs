//! The programs of one scenario: real ones, each a process with its log in a file.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hulak_common::api_key::{ApiKey, CLIENT_PREFIX};
use hulak_common::clock::Stopwatch;
use hulak_common::code::{Keyring, Secret};
use hulak_common::rng::Rng;
use hulak_testkit::services::{Process, Signal, free_port, without_cargo_env};
use sqlx::{Connection as _, PgConnection};
use tokio::time::{sleep, timeout};

use crate::BenchError;
use crate::config::{Options, Programs};
use crate::driver::Driver;
use crate::load::client::Client;
use crate::process::{self, Counted};
use crate::services::Services;

/// Long: a database that is full takes its time.
const READY_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(25);
const TICK: Duration = Duration::from_millis(50);
const DRAIN_LIMIT: Duration = Duration::from_secs(300);
const QUIET_LIMIT: Duration = Duration::from_secs(60);
/// How long they have to be at rest.
const QUIET: Duration = Duration::from_millis(500);
/// Of one processor: looking after things takes a little always.
const REST: f64 = 0.15;
/// The gateway must never be what limits, but in the scenario that is about it.
pub const RATE: &str = "100000";
/// Nor how long messages wait: with workers stopped they wait for ever.
pub const BACKLOG_AGE: &str = "24h";

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Its name: of the database, of the virtual host, of the logs.
    pub name: String,
    /// Whether the database is there already, and stays.
    pub keeps_database: bool,
    /// One process on SQLite in place of all others.
    pub embedded: bool,
    /// How long the simulated gateway thinks.
    pub latency_ms: u64,
    /// Messages in flight in each worker.
    pub concurrency: u16,
    /// Settings of this scenario.
    pub settings: Vec<(&'static str, String)>,
}

/// A program that runs.
#[derive(Debug)]
pub struct Program {
    /// Its name in the tables.
    pub name: String,
    process: Process,
    log: PathBuf,
}

/// A running world. Dropping it ends every child.
#[derive(Debug)]
pub struct World {
    /// Where the API is.
    pub api: SocketAddr,
    /// Where the simulated gateway is.
    pub simulator: SocketAddr,
    /// The API key.
    pub key: String,
    /// Derives the codes.
    pub keyring: Keyring,
    /// Makes the load.
    pub driver: Driver,
    programs: Vec<Program>,
    workers: Vec<Program>,
    secret: String,
    api_admin: SocketAddr,
    shape: Shape,
    options: Options,
    binaries: Programs,
    logs: PathBuf,
    upstreams: (String, String),
    services: Vec<Counted>,
}

impl World {
    /// Starts the API, the simulator and the load process; workers come later.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn start(
        services: &Services,
        binaries: &Programs,
        options: &Options,
        shape: Shape,
    ) -> Result<Self, BenchError> {
        let rng = Rng::system();
        let secret = rng.bytes::<32>();
        let current =
            Secret::from_bytes(secret.to_vec()).map_err(|error| BenchError::Setup(error.to_string()))?;
        if !shape.embedded {
            if !shape.keeps_database {
                services.make_database(&shape.name).await?;
            }
            services.make_host(&shape.name).await?;
        }
        let logs = options.keep_logs.clone().unwrap_or_else(|| services.directory().to_owned());
        std::fs::create_dir_all(&logs)?;
        let mut world = Self {
            api: local()?,
            simulator: local()?,
            key: ApiKey::generate(CLIENT_PREFIX, &rng).expose().to_owned(),
            keyring: Keyring::new(current, None),
            driver: Driver::start(&binaries.path("hulak-bench-load"))?,
            programs: Vec::new(),
            workers: Vec::new(),
            secret: STANDARD.encode(secret),
            api_admin: local()?,
            upstreams: (services.postgres_url(&shape.name), services.rabbit_url(&shape.name)),
            services: if shape.embedded { Vec::new() } else { services.counted() },
            shape,
            options: options.clone(),
            binaries: binaries.clone(),
            logs,
        };
        if world.shape.embedded {
            world.start_embedded(services).await?;
        } else {
            let address = ("HULAK_SANDBOX_ADDR", world.simulator.to_string());
            let credits = ("HULAK_SANDBOX_CREDITS", CREDITS.to_string());
            let settings = vec![address, credits];
            let simulator = world.launch(Some("sandbox"), "simulator", settings, world.simulator).await?;
            world.programs.push(simulator);
            world.start_api().await?;
        }
        world.set_gateway(world.shape.latency_ms).await?;
        Ok(world)
    }

    async fn start_api(&mut self) -> Result<(), BenchError> {
        let mut settings = self.common();
        settings.extend([
            ("HULAK_API_KEY", self.key.clone()),
            ("HULAK_HTTP_ADDR", self.api.to_string()),
            ("HULAK_ADMIN_ADDR", self.api_admin.to_string()),
            ("HULAK_MAX_BACKLOG_AGE", BACKLOG_AGE.to_owned()),
        ]);
        let api = self.launch(Some("api"), "api", settings, self.api_admin).await?;
        self.programs.push(api);
        Ok(())
    }

    async fn start_embedded(&mut self, services: &Services) -> Result<(), BenchError> {
        let data = services.directory().join(format!("{}-data", self.shape.name));
        let settings = vec![
            ("HULAK_DATA_DIR", data.display().to_string()),
            ("HULAK_SECRET", self.secret.clone()),
            ("HULAK_API_KEY", self.key.clone()),
            ("HULAK_HTTP_ADDR", self.api.to_string()),
            ("HULAK_ADMIN_ADDR", self.api_admin.to_string()),
            ("HULAK_SANDBOX_ADDR", self.simulator.to_string()),
            ("HULAK_MAX_BACKLOG_AGE", BACKLOG_AGE.to_owned()),
            ("HULAK_GATEWAY_RATE", RATE.to_owned()),
            ("HULAK_GATEWAY_CONCURRENCY", self.shape.concurrency.to_string()),
        ];
        let hulak = self.launch(None, "hulak", settings, self.api_admin).await?;
        self.programs.push(hulak);
        Ok(())
    }

    /// As many workers as that, whoever is there already.
    ///
    /// # Errors
    /// When one does not start or does not end.
    pub async fn set_workers(&mut self, count: usize) -> Result<(), BenchError> {
        while self.workers.len() > count {
            if let Some(worker) = self.workers.pop() {
                stop(worker).await?;
            }
        }
        while self.workers.len() < count {
            let admin = local()?;
            let mut settings = self.common();
            settings.extend([
                ("HULAK_ADMIN_ADDR", admin.to_string()),
                ("HULAK_SPARROW_URL", format!("http://{}/v2", self.simulator)),
                ("HULAK_SPARROW_TOKEN", "bench".to_owned()),
                ("HULAK_SPARROW_FROM", "Hulak".to_owned()),
                ("HULAK_GATEWAY_RATE", RATE.to_owned()),
                ("HULAK_GATEWAY_CONCURRENCY", self.shape.concurrency.to_string()),
            ]);
            let worker = self.launch(Some("worker"), "worker", settings, admin).await?;
            self.workers.push(worker);
        }
        Ok(())
    }

    /// Ends the API and starts it anew, with nothing remembered.
    ///
    /// # Errors
    /// When it does not end or start.
    pub async fn restart_api(&mut self) -> Result<(), BenchError> {
        if let Some(at) = self.programs.iter().position(|program| program.name == "api") {
            stop(self.programs.remove(at)).await?;
        }
        self.start_api().await
    }

    /// Everything that is counted: programs, services, load.
    #[must_use]
    pub fn counted(&self) -> Vec<Counted> {
        let programs = self.programs.iter().chain(&self.workers);
        let mut counted: Vec<_> = programs
            .map(|program| Counted { name: program.name.clone(), id: program.process.id() })
            .collect();
        counted.extend(self.driver.id().map(|id| Counted { name: "load".to_owned(), id }));
        counted.extend(self.services.iter().cloned());
        counted
    }

    /// Resident memory of a program; of the first worker, when there are several.
    #[must_use]
    pub fn resident(&self, name: &str) -> Option<u64> {
        let program = self.programs.iter().chain(&self.workers).find(|program| program.name == name)?;
        process::resident(program.process.id())
    }

    /// How long the gateway thinks from now on; its credits are without end.
    ///
    /// # Errors
    /// When it does not take it.
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
        let said = String::from_utf8_lossy(answer.body).into_owned();
        Err(BenchError::Setup(format!("the simulator refuses {body}: {said}")))
    }

    /// Waits until what was accepted has been sent, and nobody works any more.
    ///
    /// # Errors
    /// When that does not come to its end.
    pub async fn drained(&self) -> Result<(), BenchError> {
        let mut database = PgConnection::connect(&self.upstreams.0).await?;
        let limit = Stopwatch::start();
        while limit.elapsed() < DRAIN_LIMIT {
            // Both questions have an index that holds the open ones only.
            let open: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM messages WHERE state = 'queued') \
                 OR EXISTS (SELECT 1 FROM messages WHERE lease_until IS NOT NULL)",
            )
            .fetch_one(&mut database)
            .await?;
            if !open {
                return self.quiet().await;
            }
            sleep(TICK * 4).await;
        }
        Err(BenchError::Worthless(format!("after {DRAIN_LIMIT:?} there are still messages to be sent")))
    }

    /// Waits until nobody works any more: what the last sample left behind must not burden the next one.
    ///
    /// # Errors
    /// When they never rest.
    pub async fn quiet(&self) -> Result<(), BenchError> {
        let (counted, limit) = (self.counted(), Stopwatch::start());
        while limit.elapsed() < QUIET_LIMIT {
            let before = process::cpu(&counted);
            sleep(QUIET).await;
            let used = process::between(&before, &process::cpu(&counted));
            if used.values().sum::<f64>() <= QUIET.as_secs_f64() * REST {
                return Ok(());
            }
        }
        Err(BenchError::Worthless(format!("after {QUIET_LIMIT:?} without work the programs are still busy")))
    }

    /// Where the database is.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.upstreams.0
    }

    /// Ends everything in order, and removes its data.
    ///
    /// # Errors
    /// When a program does not end.
    pub async fn stop(mut self, services: &Services) -> Result<(), BenchError> {
        self.set_workers(0).await?;
        // The API before the simulator.
        while let Some(program) = self.programs.pop() {
            stop(program).await?;
        }
        if self.shape.embedded {
            std::fs::remove_dir_all(services.directory().join(format!("{}-data", self.shape.name)))?;
            return Ok(());
        }
        if !self.shape.keeps_database {
            services.drop_database(&self.shape.name).await?;
        }
        services.drop_host(&self.shape.name).await
    }

    fn common(&self) -> Vec<(&'static str, String)> {
        vec![
            ("HULAK_DATABASE_URL", self.upstreams.0.clone()),
            ("HULAK_BROKER_URL", self.upstreams.1.clone()),
            ("HULAK_SECRET", self.secret.clone()),
        ]
    }

    /// Starts `hulak`, or a role of it, and waits until it says at `admin` that it is ready.
    async fn launch(
        &self,
        role: Option<&str>,
        name: &str,
        settings: Vec<(&'static str, String)>,
        admin: SocketAddr,
    ) -> Result<Program, BenchError> {
        let mut started = self.spawn(role, name, settings)?;
        match timeout(READY_LIMIT, started.ready(admin)).await {
            Ok(Ok(())) => Ok(started),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(started.complain(&format!("is not ready after {READY_LIMIT:?}"))),
        }
    }

    fn spawn(
        &self,
        role: Option<&str>,
        name: &str,
        settings: Vec<(&'static str, String)>,
    ) -> Result<Program, BenchError> {
        let mut command = without_cargo_env(self.binaries.path("hulak"));
        command.args(role);
        // Nothing of the caller's may change what the program does.
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.to_string_lossy().starts_with("HULAK_")) {
            command.env_remove(name);
        }
        command.envs(settings).envs(self.shape.settings.iter().map(|(name, value)| (name, value)));
        command.envs(self.options.log.iter().map(|log| ("HULAK_LOG", log)));
        command.envs(self.options.set.iter().filter_map(|set| set.split_once('=')));
        let log = self.logs.join(format!("{}-{name}.log", self.shape.name));
        let file = File::options().create(true).append(true).open(&log)?;
        command.stdin(std::process::Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Ok(Program { name: name.to_owned(), process: Process::spawn(command)?, log })
    }
}

/// Bytes of a log that are shown when something fails.
const LAST_WORDS: usize = 2_000;
/// More than any run sends.
const CREDITS: u64 = 1_000_000_000;

async fn stop(mut program: Program) -> Result<(), BenchError> {
    program.process.signal(Signal::Terminate);
    program.process.wait_or_kill(STOP_LIMIT).await?;
    Ok(())
}

fn local() -> Result<SocketAddr, BenchError> {
    Ok(SocketAddr::from(([127, 0, 0, 1], free_port()?)))
}

impl Program {
    /// Waits until it says that it is ready and that its broker is there.
    async fn ready(&mut self, admin: SocketAddr) -> Result<(), BenchError> {
        let request = format!("GET /readyz HTTP/1.1\r\nhost: {admin}\r\n\r\n");
        loop {
            if let Some(status) = self.process.ended()? {
                return Err(self.complain(&format!("ended: {status}")));
            }
            let mut client = Client::new(admin);
            if let Ok(answer) = client.call(request.as_bytes()).await
                && answer.status == 200
                && !String::from_utf8_lossy(answer.body).contains("degraded")
            {
                return Ok(());
            }
            sleep(TICK).await;
        }
    }

    /// What went wrong, with the program's last words.
    fn complain(&self, what: &str) -> BenchError {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let end = String::from_utf8_lossy(&log[log.len().saturating_sub(LAST_WORDS)..]).into_owned();
        BenchError::Setup(format!("{} {what}; its log ends with:\n{end}", self.name))
    }
}

/// A program that is no part of a world.
///
/// # Errors
/// When it cannot be started.
pub fn bare(binaries: &Programs) -> Result<(Process, SocketAddr), BenchError> {
    let address = local()?;
    let mut command = without_cargo_env(binaries.path("hulak-bench-bare"));
    command.arg(address.to_string());
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    Ok((Process::spawn(command)?, address))
}
