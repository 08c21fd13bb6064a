//! What an API is made of, and what its handlers share.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use futures_util::future::BoxFuture;
use hulak_broker::Broker;
use hulak_common::account::Account;
use hulak_common::api_key::ApiKey;
use hulak_common::clock::{SharedClock, Stopwatch};
use hulak_common::code::Keyring;
use hulak_common::phone::{Carriers, PhoneNumber, PhonePattern};
use hulak_common::rng::Rng;
use hulak_common::sms_template::Templates;
use hulak_common::test_numbers::TestNumbers;
use hulak_common::time::Timestamp;
use hulak_common::verification::Verification;
use hulak_runtime::host_guard::KnownHosts;
use hulak_runtime::shutdown::Shutdown;
use hulak_store::{
    AccountList, Batch, Cancel, Canceled, Check, Checked, Create, Created, Monitor, Resend, Resent, Store,
    StoreError,
};
use url::Url;
use uuid::Uuid;

use crate::config::HostedPages;
use crate::http::auth::Credentials;
use crate::http::availability;
use crate::http::client_ip::TrustedProxies;
use crate::http::cors::{AllowedOrigins, CorsOrigins};
use crate::http::fair_queue::{Queue, Slots};
use crate::http::idempotency::OnceKeys;
use crate::http::load_shedding::Backlog;
use crate::http::long_poll::Changes;
use crate::http::problem::{FieldError, Kind, Problem};
use crate::publisher::Publisher;
use crate::tokens::approval::Approvals;

/// Calls of the store, outside of batches, that are under way or wait for a connection.
const UNBATCHED: usize = 256;

/// How old may be what an API knows of its clients without asking the database.
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    /// For how long a key's owner is remembered.
    pub keys: Duration,
    /// The pause between two reads of the clients' origins.
    pub origins: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        // A revoked key is to be refused within 5 s: the rest is for the statement that found it a moment before it was revoked.
        Self { keys: Duration::from_secs(4), origins: Duration::from_secs(3) }
    }
}

/// What an API is made of. A test or another program brings its own parts.
#[derive(Debug)]
pub struct Api {
    /// The address that callers know this service by.
    pub public_url: String,
    /// Which numbers are served.
    pub pattern: PhonePattern,
    /// Numbers whose codes are fixed.
    pub test_numbers: TestNumbers,
    /// Who issued which prefix.
    pub carriers: Carriers,
    /// What messages say: requests that make one too long are refused.
    pub templates: Templates,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: TrustedProxies,
    /// Names that the admin address answers to, besides those that no stranger can use.
    pub admin_hosts: KnownHosts,
    /// Whose pages may call.
    pub cors: CorsOrigins,
    /// Whether hosted pages are served.
    pub hosted: HostedPages,
    /// The keys that codes and tokens are made with.
    pub keyring: Keyring,
    /// A key to install for the client `default`.
    pub api_key: Option<ApiKey>,
    /// How long messages may wait for a worker before requests are refused.
    pub max_backlog_age: Duration,
    /// How old may be what is known of the clients.
    pub freshness: Freshness,
    /// The time.
    pub clock: SharedClock,
    /// Ids and salts.
    pub rng: Rng,
    /// The database.
    pub store: Arc<Store>,
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// Who waits for a change.
    pub changes: Arc<Changes>,
}

/// A running API: what it is made of, and what was started from that.
#[derive(Debug)]
pub(crate) struct App {
    api: Api,
    /// The host of the public address.
    pub(crate) public_host: Option<String>,
    /// When to stop.
    pub(crate) shutdown: Shutdown,
    /// How the database is doing.
    pub(crate) monitor: Monitor,
    /// Takes what is to be published.
    pub(crate) publisher: Publisher,
    /// Knows whether the workers are too far behind.
    pub(crate) backlog: Backlog,
    /// Whose pages may call.
    pub(crate) origins: AllowedOrigins,
    /// Knows the credentials that callers present.
    pub(crate) credentials: Credentials,
    /// Signs approval tokens.
    pub(crate) approvals: Approvals,
    /// Requests that may come twice.
    pub(crate) once: OnceKeys,
    create: Queue<Create, Batched<Created>>,
    resend: Queue<Resend, Batched<Resent>>,
    cancel: Queue<Cancel, Batched<Canceled>>,
    check: Queue<Check, Batched<Checked>>,
    read: Queue<(Uuid, Uuid), Batched<Option<Verification>>>,
    unbatched: Slots,
}

/// What a batch answers to one of its items.
type Batched<T> = Result<T, Arc<StoreError>>;

/// The application, as handlers get it.
pub(crate) type SharedApp = Arc<App>;

impl Deref for App {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl FromRef<SharedApp> for Credentials {
    fn from_ref(app: &SharedApp) -> Self {
        app.credentials.clone()
    }
}

impl FromRef<SharedApp> for TrustedProxies {
    fn from_ref(app: &SharedApp) -> Self {
        app.proxies.clone()
    }
}

impl App {
    /// Starts the publisher and the batches. Call it within a runtime.
    ///
    /// # Errors
    /// When the signing library refuses a key, which it never has.
    pub(crate) fn start(api: Api, shutdown: Shutdown) -> Result<SharedApp, ring::error::KeyRejected> {
        let monitor = Monitor::new();
        let publisher = Publisher::start(
            &api.broker,
            Arc::clone(&api.changes),
            Arc::clone(&api.store),
            Arc::clone(&api.clock),
            shutdown.clone(),
        );
        let credentials = Credentials::new(
            &api.keyring,
            Arc::clone(&api.store),
            monitor.clone(),
            api.freshness.keys,
            api.hosted != HostedPages::Off,
        );
        Ok(Arc::new(Self {
            create: queue(&api, &publisher, |store, batch, now| Box::pin(store.create(batch, now))),
            resend: queue(&api, &publisher, |store, batch, now| Box::pin(store.resend(batch, now))),
            cancel: queue(&api, &publisher, |store, batch, now| Box::pin(store.cancel(batch, now))),
            check: queue(&api, &publisher, |store, batch, now| Box::pin(store.check(batch, now))),
            read: queue(&api, &publisher, |store, batch, _| Box::pin(store.verifications(batch))),
            unbatched: Slots::new(UNBATCHED),
            public_host: Url::parse(&api.public_url).ok().and_then(|url| url.host_str().map(str::to_owned)),
            backlog: Backlog::new(api.max_backlog_age),
            origins: AllowedOrigins::new(api.cors.clone()),
            approvals: Approvals::new(&api.keyring, api.public_url.clone(), api.test_numbers.clone())?,
            once: OnceKeys::new(&api.keyring),
            shutdown,
            monitor,
            publisher,
            credentials,
            api,
        }))
    }

    /// Records a request for a code.
    pub(crate) async fn create(&self, item: Create) -> Result<Created, Problem> {
        self.backlog.admit()?;
        self.answer(self.create.submit(item.key.client, item)).await
    }

    /// Checks a code.
    pub(crate) async fn check(&self, item: Check) -> Result<Checked, Problem> {
        self.answer(self.check.submit(item.client, item)).await
    }

    /// Sends a code again.
    pub(crate) async fn resend(&self, item: Resend) -> Result<Resent, Problem> {
        self.backlog.admit()?;
        self.answer(self.resend.submit(item.client, item)).await
    }

    /// Cancels a verification.
    pub(crate) async fn cancel(&self, item: Cancel) -> Result<Canceled, Problem> {
        self.answer(self.cancel.submit(item.client, item)).await
    }

    /// A verification of a client: from memory, when what is remembered is fresh and not older than `at_least`.
    pub(crate) async fn verification(
        &self,
        client: Uuid,
        id: Uuid,
        at_least: i64,
    ) -> Result<Arc<Verification>, Problem> {
        // While the database is away, what is remembered may be out of date.
        self.require_store()?;
        let row = match self.changes.recent.get(id, at_least) {
            Some(row) => row,
            None => {
                let age = Stopwatch::start();
                let found = self.answer(self.read.submit(client, (client, id))).await?;
                self.changes.recent.put(Arc::new(found.ok_or_else(Problem::not_found)?), age)
            }
        };
        if row.key.client == client { Ok(row) } else { Err(Problem::not_found()) }
    }

    /// An account of a client.
    pub(crate) async fn account(&self, client: Uuid, id: Uuid) -> Result<Option<Account>, Problem> {
        let list = AccountList { client, id: Some(id), username: None, phone: None, before: None, limit: 1 };
        Ok(self.unbatched(client, self.store.accounts(&list)).await?.pop())
    }

    /// Refuses a number that is not served here, or that no carrier can have issued.
    ///
    /// # Errors
    /// 422 `unsupported-phone` or `invalid-phone`.
    pub(crate) fn require_served(&self, phone: &PhoneNumber) -> Result<(), Problem> {
        let (kind, detail) = if self.test_numbers.contains(*phone) {
            return Ok(());
        } else if !self.pattern.accepts(phone) {
            (Kind::UnsupportedPhone, "numbers like this one are not served here")
        } else if !self.carriers.issued(phone) {
            (
                Kind::InvalidPhone,
                "no carrier in Nepal has numbers that begin like this one: check the first three digits",
            )
        } else {
            return Ok(());
        };
        Err(Problem::fields(kind, vec![FieldError::new("phone", detail)]))
    }

    /// Refuses at once while the database is known to be away.
    pub(crate) fn require_store(&self) -> Result<(), Problem> {
        availability::require_store(&self.monitor)
    }

    /// Runs a call of the store that is not batched.
    pub(crate) async fn unbatched<T>(
        &self,
        client: Uuid,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Problem> {
        self.require_store()?;
        // Without a share for each client, one that asks for much would wait on every connection to the database.
        let _slot = self.unbatched.enter(client)?;
        tokio::select! {
            done = call => done.map_err(|error| self.refuse(&error)),
            // As for those that wait for a batch.
            () = self.monitor.away() => Err(Problem::unavailable()),
        }
    }

    /// Turns an error of the store into an answer.
    pub(crate) fn refuse(&self, error: &StoreError) -> Problem {
        availability::problem(&self.monitor, error)
    }

    async fn answer<T>(
        &self,
        submitted: impl Future<Output = Result<Batched<T>, hulak_runtime::batch::Full>>,
    ) -> Result<T, Problem> {
        self.require_store()?;
        tokio::select! {
            answer = submitted => answer?.map_err(|error| self.refuse(&error)),
            // Waiting callers are told at once when the database goes away. The batch may still be executed; asking again finds
            // what it did.
            () = self.monitor.away() => Err(Problem::unavailable()),
        }
    }
}

/// A queue for one of the store's calls, which are made in batches; what a batch changed is announced.
fn queue<I, T, F>(api: &Api, publisher: &Publisher, call: F) -> Queue<I, Batched<T>>
where
    I: Send + Sync + 'static,
    T: Send + 'static,
    F: for<'a> Fn(&'a Store, &'a [I], Timestamp) -> BoxFuture<'a, Batch<T>> + Copy + Send + Sync + 'static,
{
    let (store, clock, publisher) = (Arc::clone(&api.store), Arc::clone(&api.clock), publisher.clone());
    Queue::spawn(move |items: Vec<I>| {
        let (store, clock, publisher) = (Arc::clone(&store), Arc::clone(&clock), publisher.clone());
        async move {
            let Batch { answers, events } = call(&store, &items, clock.now()).await;
            publisher.announce(events);
            answers
        }
    })
}
