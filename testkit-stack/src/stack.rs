//! Hulak as a whole, inside the test's process: the real router, workers, broker, database, and the simulator.
//!
//! Every stack owns its database and its queue names, so that any number of them run side by side.

mod queues;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hulak_api::client_ip::TrustedProxies;
use hulak_api::config::HostedPages;
use hulak_api::cors::CorsOrigins;
use hulak_api::long_poll::Changes;
use hulak_api::{Api, Freshness};
use hulak_broker::{AmqpBroker, Broker, MemoryBroker, Topology};
use hulak_common::api_key::{ApiKey, CLIENT_PREFIX};
use hulak_common::clock::{DatabaseClock, SharedClock};
use hulak_common::phone::{Carriers, PhonePattern};
use hulak_common::rng::Rng;
use hulak_common::rules::Rules;
use hulak_common::sms_template::Templates;
use hulak_runtime::host_guard::KnownHosts;
use hulak_runtime::shutdown::Shutdown;
pub use hulak_sandbox::Faults;
use hulak_sandbox::{Sandbox, SandboxConfig};
use hulak_store::Store;
use hulak_testkit::answer::{Answer, eventually};
use hulak_testkit::database::TestDatabase;
use hulak_testkit::fixtures::rules;
use hulak_worker::Worker;
use hulak_worker::gateways::sparrow::Sparrow;
use hulak_worker::gateways::sparrow::SparrowConfig;
pub use hulak_worker::gateways::sparrow::install_tls;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Which of the two shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// SQLite and the broker in memory.
    OneProcess,
    /// PostgreSQL and RabbitMQ.
    Production,
}

/// What a stack is made of.
#[derive(Debug)]
pub struct StackOptions {
    /// Which of the two shapes.
    pub shape: Shape,
    /// API processes.
    pub apis: usize,
    /// Workers.
    pub workers: usize,
    /// What the stores decide by.
    pub rules: Rules,
    /// Messages a second for the account.
    pub rate: f64,
    /// Messages in flight a worker.
    pub concurrency: u16,
    /// How long messages may wait for a worker before requests are refused.
    pub max_backlog_age: Duration,
    /// How old may be what the APIs know of their clients.
    pub freshness: Freshness,
    /// Which numbers are served.
    pub pattern: PhonePattern,
    /// What messages say.
    pub templates: Templates,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: TrustedProxies,
    /// Whose pages may call.
    pub cors: CorsOrigins,
    /// Whether hosted pages are served.
    pub hosted: HostedPages,
    /// The time; the database's by default.
    pub clock: SharedClock,
    /// Where the broker is, when not at `HULAK_TEST_BROKER_URL`.
    pub broker_url: Option<String>,
    /// Where the database is, when it is not one made for this stack.
    pub database_url: Option<String>,
    /// The broker's names, when they are not this stack's own.
    pub topology: Option<Topology>,
}

impl StackOptions {
    /// One API and one worker with the defaults of the house, but for a gateway rate that does not slow a test down.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            apis: 1,
            workers: 1,
            rules: rules(),
            rate: 5_000.0,
            concurrency: 64,
            max_backlog_age: Duration::from_secs(60),
            freshness: Freshness::default(),
            pattern: PhonePattern::default(),
            templates: Templates::default(),
            proxies: TrustedProxies::default(),
            cors: CorsOrigins::default(),
            hosted: HostedPages::On,
            clock: Arc::new(DatabaseClock::new()),
            broker_url: None,
            database_url: None,
            topology: None,
        }
    }
}

/// One of our programs, in this process.
#[derive(Debug)]
pub struct Node {
    /// Where callers or operators reach it.
    pub url: String,
    /// Its admin address.
    pub admin: String,
    /// Who waits at it, when it is an API.
    pub changes: Arc<Changes>,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), String>>,
    store: Arc<Store>,
    broker: Option<Arc<dyn Broker>>,
}

impl Node {
    /// Stops it as SIGTERM would, and waits for its end.
    ///
    /// # Panics
    /// When it ended with an error.
    pub async fn stop(self) {
        self.shutdown.begin();
        self.task.await.expect("it did not panic").expect("it stopped in order");
        if let Some(broker) = self.broker {
            broker.close().await;
        }
        self.store.close().await;
    }

    /// Ends it where it stands, as `kill -9` would: nothing is finished, acknowledged, or given back.
    pub async fn kill(self) {
        self.shutdown.abort();
        self.task.abort();
        let _aborted = self.task.await;
    }
}

/// A running Hulak.
#[derive(Debug)]
pub struct Stack {
    /// The API processes; the first answers [`Stack::post`] and [`Stack::get`].
    pub apis: Vec<Node>,
    /// The workers.
    pub workers: Vec<Node>,
    /// The simulator.
    pub sandbox: Sandbox,
    /// The key of the client `default`.
    pub key: ApiKey,
    /// The database, for looking inside.
    pub store: Arc<Store>,
    /// An HTTP client.
    pub http: reqwest::Client,
    options: StackOptions,
    sandbox_url: String,
    sandbox_stop: Shutdown,
    topology: Topology,
    memory: Arc<MemoryBroker>,
    database: Option<TestDatabase>,
    directory: tempfile::TempDir,
}

impl Stack {
    /// Starts everything, and waits until the database is ready.
    ///
    /// # Panics
    /// When something cannot be started: a test cannot go on then.
    pub async fn start(options: StackOptions) -> Self {
        install_tls();
        let directory = tempfile::tempdir().expect("a directory for the database");
        let database = match (options.shape, &options.database_url) {
            (Shape::Production, None) => Some(TestDatabase::create().await),
            _ => None,
        };
        let (sandbox, sandbox_url, sandbox_stop) = simulator(&options).await;
        let rng = Rng::system();
        let mut stack = Self {
            apis: Vec::new(),
            workers: Vec::new(),
            sandbox,
            key: ApiKey::generate(CLIENT_PREFIX, &rng),
            store: open_store(&options, database.as_ref(), directory.path()),
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(30))
                .build()
                .expect("an HTTP client"),
            sandbox_url,
            sandbox_stop,
            topology: options
                .topology
                .clone()
                .unwrap_or_else(|| Topology::new(format!("test-{}", rng.uuid().simple()))),
            memory: MemoryBroker::new(),
            options,
            database,
            directory,
        };
        stack.store.migrate().await.expect("the schema");
        for _ in 0..stack.options.apis {
            stack.add_api().await;
        }
        for _ in 0..stack.options.workers {
            stack.add_worker().await;
        }
        for node in stack.apis.iter().chain(&stack.workers) {
            stack.ready(&node.admin).await;
        }
        stack
    }

    /// Starts one more API.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn add_api(&mut self) -> &Node {
        let (public, admin) = (listen().await, listen().await);
        let (url, admin_url) = (http(&public), http(&admin));
        let (store, broker, changes) = (self.open_store(), self.open_broker(), Changes::new());
        let api = Api {
            public_url: url.clone(),
            pattern: self.options.pattern.clone(),
            test_numbers: self.options.rules.test_numbers.clone(),
            carriers: Carriers::builtin(),
            templates: self.options.templates.clone(),
            proxies: self.options.proxies.clone(),
            admin_hosts: KnownHosts::default(),
            cors: self.options.cors.clone(),
            hosted: self.options.hosted.clone(),
            keyring: self.options.rules.keyring.clone(),
            api_key: Some(self.key.clone()),
            max_backlog_age: self.options.max_backlog_age,
            freshness: self.options.freshness,
            clock: Arc::clone(&self.options.clock),
            rng: Rng::system(),
            store: Arc::clone(&store),
            broker: Arc::clone(&broker),
            changes: Arc::clone(&changes),
        };
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move {
            hulak_api::run(api, public, admin, stop).await.map_err(|error| error.to_string())
        });
        let broker = self.own(broker);
        self.apis.push(Node { url, admin: admin_url, changes, shutdown, task, store, broker });
        &self.apis[self.apis.len() - 1]
    }

    /// Starts one more worker.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn add_worker(&mut self) -> &Node {
        let admin = listen().await;
        let admin_url = http(&admin);
        let (store, broker) = (self.open_store(), self.open_broker());
        let timeout = Duration::from_secs(5);
        let gateway = Sparrow::new(SparrowConfig {
            base: self.sandbox_url.parse().expect("an address"),
            token: "token".to_owned().into(),
            from: "Hulak".to_owned(),
            timeout,
            connections: 64,
        });
        let worker = Worker {
            keyring: self.options.rules.keyring.clone(),
            templates: self.options.templates.clone(),
            lease: self.options.rules.claim_lease,
            timeout,
            rate: self.options.rate,
            concurrency: self.options.concurrency,
            carriers: Carriers::builtin(),
            gateway: Arc::new(gateway.expect("a gateway")),
            clock: Arc::clone(&self.options.clock),
            rng: Rng::system(),
            store: Arc::clone(&store),
            broker: Arc::clone(&broker),
        };
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move {
            hulak_worker::run(worker, Some(admin), stop).await.map_err(|error| error.to_string())
        });
        let url = admin_url.clone();
        let (broker, changes) = (self.own(broker), Changes::new());
        self.workers.push(Node { url, admin: admin_url, changes, shutdown, task, store, broker });
        &self.workers[self.workers.len() - 1]
    }

    /// Stops everything and removes what it made.
    ///
    /// # Panics
    /// When a part of it ended with an error.
    pub async fn stop(self) {
        for node in self.apis {
            node.stop().await;
        }
        for node in self.workers {
            node.stop().await;
        }
        self.sandbox_stop.abort();
        self.store.close().await;
        if self.options.shape == Shape::Production && self.options.broker_url.is_none() {
            queues::delete(&broker_url(&self.options), &self.topology).await;
        }
        if let Some(database) = self.database {
            database.drop_now().await;
        }
        drop(self.directory);
    }

    /// The broker's names of this stack.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Puts something on the queue of jobs, whatever it is.
    ///
    /// # Panics
    /// When it cannot be done; in one process there is no such queue.
    pub async fn put_on_queue(&self, payload: &[u8]) {
        assert_eq!(self.options.shape, Shape::Production, "there is no queue that others reach");
        queues::put(&broker_url(&self.options), &self.topology, payload).await;
    }

    /// The simulator's address as a gateway.
    #[must_use]
    pub fn gateway_url(&self) -> &str {
        &self.sandbox_url
    }

    /// The address of the database that was made for this stack.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn database_url(&self) -> String {
        self.database.as_ref().expect("a database of its own").url()
    }

    /// The simulator's faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.sandbox.set_faults(faults);
    }

    /// A request to the first API, with the key.
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.apis[0].url)).bearer_auth(self.key.expose())
    }

    /// `POST` of JSON to the first API, with the key.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn post(&self, path: &str, body: serde_json::Value) -> Answer {
        Answer::of(self.request(reqwest::Method::POST, path).json(&body)).await
    }

    /// `GET` from the first API, with the key.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(reqwest::Method::GET, path)).await
    }

    /// Polls a verification until `done`, and answers its last state.
    ///
    /// # Panics
    /// When it takes more than 20 s.
    pub async fn until(&self, id: &str, done: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        eventually(&format!("verification {id}"), || async {
            let answer = self.get(&format!("/v1/verifications/{id}")).await;
            (answer.status == 200 && done(&answer.body)).then_some(answer.body)
        })
        .await
    }

    /// Waits for `/readyz` at an admin address.
    ///
    /// # Panics
    /// When it takes more than 20 s.
    pub async fn ready(&self, admin: &str) {
        eventually("readiness", || async {
            let answer = self.http.get(format!("{admin}/readyz")).send().await.ok()?;
            let status = answer.status();
            let body: serde_json::Value = answer.json().await.ok()?;
            (status == 200 && body["broker"] == "up").then_some(())
        })
        .await;
    }

    /// The code that the simulator's newest message to this number carries.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn code(&self, phone: &str) -> String {
        let message = self.sandbox.latest_to(phone).expect("a message has arrived");
        message.code.clone().expect("it carries a code")
    }

    fn open_store(&self) -> Arc<Store> {
        open_store(&self.options, self.database.as_ref(), self.directory.path())
    }

    fn open_broker(&self) -> Arc<dyn Broker> {
        match self.options.shape {
            Shape::OneProcess => Arc::clone(&self.memory) as Arc<dyn Broker>,
            Shape::Production => {
                let url = broker_url(&self.options).into();
                AmqpBroker::connect(url, self.topology.clone(), Rng::system()).expect("the broker's address")
            }
        }
    }

    /// The broker that a node closes at its end; the one in memory is everybody's.
    fn own(&self, broker: Arc<dyn Broker>) -> Option<Arc<dyn Broker>> {
        (self.options.shape == Shape::Production).then_some(broker)
    }
}

fn broker_url(options: &StackOptions) -> String {
    options.broker_url.clone().unwrap_or_else(|| {
        std::env::var("HULAK_TEST_BROKER_URL")
            .expect("HULAK_TEST_BROKER_URL is not set: run the tests with `make test`")
    })
}

fn open_store(
    options: &StackOptions,
    database: Option<&TestDatabase>,
    directory: &std::path::Path,
) -> Arc<Store> {
    let rules = options.rules.clone();
    let url = options.database_url.clone().or_else(|| database.map(TestDatabase::url));
    match url {
        Some(url) => Arc::new(Store::postgres(&url.into(), 8, "hulak-test", rules).expect("the database")),
        None => Arc::new(Store::sqlite(&directory.join("hulak.db"), rules).expect("the file")),
    }
}

async fn simulator(options: &StackOptions) -> (Sandbox, String, Shutdown) {
    let config = SandboxConfig { faults: Faults::none(), ..SandboxConfig::default() };
    let sandbox = Sandbox::new(config, Arc::clone(&options.clock), Rng::system());
    let listener = listen().await;
    let url = format!("{}/v2", http(&listener));
    let stop = Shutdown::new();
    tokio::spawn(hulak_sandbox::run(listener, sandbox.clone(), stop.clone()));
    (sandbox, url, stop)
}

async fn listen() -> TcpListener {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port")
}

fn http(listener: &TcpListener) -> String {
    format!("http://{}", listener.local_addr().expect("a bound address"))
}
