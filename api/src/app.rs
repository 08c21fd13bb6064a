//! What every handler shares.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::account::Account;
use hulak_common::api_key::ApiKey;
use hulak_common::clock::{SharedClock, Stopwatch};
use hulak_common::code::Keyring;
use hulak_common::phone::{Carriers, PhonePattern};
use hulak_common::rng::Rng;
use hulak_common::sms_template::Templates;
use hulak_common::test_numbers::TestNumbers;
use hulak_common::verification::Verification;
use hulak_runtime::shutdown::Shutdown;
use hulak_store::{
    AccountList, Batch, Cancel, Canceled, Check, Checked, Create, Created, Health, KeyOwner, Monitor, Resend,
    Resent, Store, StoreError,
};
use moka::sync::Cache;
use url::Url;
use uuid::Uuid;

use crate::approval_token::Approvals;
use crate::client_ip::TrustedProxies;
use crate::cors::AllowedOrigins;
use crate::fair_queue::{Places, Queue};
use crate::hosted::HostedPages;
use crate::idempotency::OnceKeys;
use crate::load_shedding::Backlog;
use crate::long_poll::Changes;
use crate::problem::{Kind, Problem};
use crate::publisher::Publisher;
use crate::token::{ClientTokens, PageTokens};

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

/// How many keys are remembered.
const KEYS: u64 = 10_000;

/// Calls of the store, outside of batches, that are under way or wait for a connection.
const UNBATCHED: usize = 256;

type Answer<T> = Result<T, Arc<StoreError>>;

/// Everything the handlers need.
#[derive(Debug)]
pub struct App {
    /// The public address, without a slash at its end.
    pub public_url: String,
    /// Which numbers are served.
    pub pattern: PhonePattern,
    /// Numbers whose codes are fixed; they are served whatever the pattern says.
    pub test_numbers: TestNumbers,
    /// Who issued which prefix.
    pub carriers: Carriers,
    /// What messages say, and so what fits into them.
    pub templates: Templates,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: TrustedProxies,
    /// Whose pages may call.
    pub origins: AllowedOrigins,
    /// The time.
    pub clock: SharedClock,
    /// Ids and salts.
    pub rng: Rng,
    /// Mints and reads client tokens.
    pub client_tokens: ClientTokens,
    /// Mints and reads the tokens of hosted pages.
    pub(crate) page_tokens: PageTokens,
    /// Whether hosted pages are served.
    pub hosted: HostedPages,
    /// The host of the public address.
    pub(crate) public_host: Option<String>,
    /// Signs approval tokens.
    pub approvals: Approvals,
    /// Requests that may come twice.
    pub once: OnceKeys,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) monitor: Monitor,
    pub(crate) publisher: Publisher,
    pub(crate) changes: Arc<Changes>,
    pub(crate) shutdown: Shutdown,
    backlog: Backlog,
    create: Queue<Create, Answer<Created>>,
    resend: Queue<Resend, Answer<Resent>>,
    cancel: Queue<Cancel, Answer<Canceled>>,
    check: Queue<Check, Answer<Checked>>,
    read: Queue<(Uuid, Uuid), Answer<Option<Verification>>>,
    unbatched: Places,
    keys: Cache<[u8; 32], Arc<KeyOwner>>,
}

/// The application, as handlers get it.
pub type SharedApp = Arc<App>;

/// What [`App::new`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// See [`App`].
    pub public_url: String,
    /// See [`App`].
    pub pattern: PhonePattern,
    /// See [`App`].
    pub test_numbers: TestNumbers,
    /// See [`App`].
    pub carriers: Carriers,
    /// See [`App`].
    pub templates: Templates,
    /// See [`App`].
    pub proxies: TrustedProxies,
    /// See [`App`].
    pub origins: AllowedOrigins,
    /// See [`App`].
    pub hosted: HostedPages,
    /// The keys that tokens are made with.
    pub keyring: Keyring,
    /// See [`App`].
    pub clock: SharedClock,
    /// See [`App`].
    pub rng: Rng,
    /// The database.
    pub store: Arc<dyn Store>,
    /// How the database is doing.
    pub monitor: Monitor,
    /// For how long a key's owner is remembered.
    pub key_memory: Duration,
    /// Takes what is to be published.
    pub publisher: Publisher,
    /// Knows whether the workers are too far behind.
    pub backlog: Backlog,
    /// Wakes who waits for a change.
    pub changes: Arc<Changes>,
    /// When to stop.
    pub shutdown: Shutdown,
}

impl App {
    /// Starts the batchers. Call it within a runtime.
    ///
    /// # Errors
    /// When the signing library refuses a key, which it never has.
    pub fn new(parts: Parts) -> Result<SharedApp, jsonwebtoken::errors::Error> {
        let Parts {
            public_url,
            pattern,
            test_numbers,
            carriers,
            templates,
            proxies,
            origins,
            hosted,
            keyring,
            clock,
            rng,
            store,
            monitor,
            key_memory,
            publisher,
            backlog,
            changes,
            shutdown,
        } = parts;
        Ok(Arc::new(Self {
            approvals: Approvals::new(&keyring, public_url.clone(), test_numbers.clone())?,
            client_tokens: ClientTokens::new(&keyring),
            page_tokens: PageTokens::new(&keyring),
            hosted,
            public_host: public_host(&public_url),
            once: OnceKeys::new(&keyring),
            resend: resending(&store, &clock, publisher.clone()),
            cancel: canceling(&store, &clock, publisher.clone()),
            create: creating(&store, &clock, publisher.clone()),
            check: checking(&store, &clock, publisher.clone()),
            read: reading(&store),
            unbatched: Places::new(UNBATCHED),
            keys: Cache::builder().max_capacity(KEYS).time_to_live(key_memory).build(),
            public_url,
            pattern,
            test_numbers,
            carriers,
            templates,
            proxies,
            origins,
            clock,
            rng,
            store,
            monitor,
            publisher,
            backlog,
            changes,
            shutdown,
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

    /// Takes a verification back.
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
        // What is remembered may be right, but nobody could tell any more.
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
    pub(crate) async fn account(&self, client: Uuid, id: Uuid) -> Result<Option<Account>, StoreError> {
        let list = AccountList { client, id: Some(id), username: None, phone: None, before: None, limit: 1 };
        Ok(self.store.accounts(&list).await?.pop())
    }

    /// Whose key this is; `None` when nobody's.
    pub(crate) async fn key_owner(&self, key: &ApiKey) -> Result<Option<Arc<KeyOwner>>, Problem> {
        let hash = key.hash();
        if let Some(owner) = self.keys.get(&hash) {
            return Ok(Some(owner));
        }
        self.require_store()?;
        let found = self.store.find_key(&hash).await.map_err(|error| self.refuse(&error))?;
        let Some(owner) = found.map(Arc::new) else { return Ok(None) };
        self.keys.insert(hash, Arc::clone(&owner));
        Ok(Some(owner))
    }

    /// Refuses what belongs to hosted pages where there are none.
    pub(crate) fn require_hosted(&self) -> Result<(), Problem> {
        if self.hosted == HostedPages::Off {
            return Err(Problem::new(Kind::NotFound, "hosted pages are off here (HULAK_HOSTED_PAGE)"));
        }
        Ok(())
    }

    /// Refuses at once while the database is known to be away.
    pub(crate) fn require_store(&self) -> Result<(), Problem> {
        if self.monitor.health() == Health::Up { Ok(()) } else { Err(Problem::unavailable()) }
    }

    /// Runs a call of the store that is not batched.
    pub(crate) async fn unbatched<T>(
        &self,
        client: Uuid,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Problem> {
        self.require_store()?;
        // Without a share for each client, one that asks for much would wait on every connection to the database.
        let _place = self.unbatched.enter(client)?;
        tokio::select! {
            done = call => done.map_err(|error| self.refuse(&error)),
            // As for those who wait for a batch.
            () = self.monitor.away() => Err(Problem::unavailable()),
        }
    }

    /// Turns a store's trouble into an answer, and lets the monitor know.
    pub(crate) fn refuse(&self, error: &StoreError) -> Problem {
        if matches!(error, StoreError::Unavailable(_)) {
            self.monitor.report_trouble();
        }
        Problem::from(error)
    }

    async fn answer<T>(
        &self,
        submitted: impl Future<Output = Result<Answer<T>, hulak_runtime::batch::Full>>,
    ) -> Result<T, Problem> {
        self.require_store()?;
        tokio::select! {
            answer = submitted => answer?.map_err(|error| self.refuse(&error)),
            // Whoever is waiting when it goes away is told at once. What was asked may still be done; asking again finds it.
            () = self.monitor.away() => Err(Problem::unavailable()),
        }
    }
}

fn public_host(url: &str) -> Option<String> {
    Url::parse(url).ok()?.host_str().map(str::to_owned)
}

/// A queue for one of the store's calls; what it changed is announced.
macro_rules! batcher {
    ($name:ident, $call:ident: $item:ty => $answer:ty) => {
        fn $name(
            store: &Arc<dyn Store>,
            clock: &SharedClock,
            publisher: Publisher,
        ) -> Queue<$item, Answer<$answer>> {
            let (store, clock) = (Arc::clone(store), Arc::clone(clock));
            Queue::spawn(move |items: Vec<$item>| {
                let (store, clock, publisher) = (Arc::clone(&store), Arc::clone(&clock), publisher.clone());
                async move {
                    let Batch { answers, events } = store.$call(&items, clock.now()).await;
                    publisher.announce(events);
                    answers
                }
            })
        }
    };
}

batcher!(creating, create: Create => Created);
batcher!(checking, check: Check => Checked);
batcher!(resending, resend: Resend => Resent);
batcher!(canceling, cancel: Cancel => Canceled);

fn reading(store: &Arc<dyn Store>) -> Queue<(Uuid, Uuid), Answer<Option<Verification>>> {
    let store = Arc::clone(store);
    Queue::spawn(move |items: Vec<(Uuid, Uuid)>| {
        let store = Arc::clone(&store);
        async move { store.verifications(&items).await.answers }
    })
}
