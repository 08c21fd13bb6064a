//! A store under test: PostgreSQL or SQLite, with the rows behind it in view.

use std::collections::HashMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use hulak_common::code::{Code, Keyring, Salt, Secret};
use hulak_common::gateway_codes::GatewayCode;
use hulak_common::job::{MessageId, StatusEvent};
use hulak_common::limits::NumberLimits;
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::NumberReport;
use hulak_common::rng::Rng;
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;
use hulak_common::verification::{DeliveryError, DeliveryFault, Status, Verification};
use hulak_store::{
    AccountChanged, Batch, Check, Checked, Claim, Claimed, Create, Created, Grant, NewAccount, Outcome,
    Record, Recorded, Store, TakesEffect,
};
use hulak_testkit::answer::eventually;
use hulak_testkit::database::TestDatabase;
use hulak_testkit::fixtures::{self, live_key};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::statements;

/// Both variants of each test: `postgres::name` and `sqlite::name`.
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                super::$name($crate::harness::Kind::Postgres).await;
            })+
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                super::$name($crate::harness::Kind::Sqlite).await;
            })+
        }
    };
}
pub(crate) use on_both_stores;

/// Which database.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Postgres,
    Sqlite,
}

/// Where one test's rows are.
#[derive(Debug)]
enum Site {
    Postgres(TestDatabase),
    Sqlite(TempDir),
}

/// A migrated, empty database and a store on it.
#[derive(Debug)]
pub(crate) struct World {
    site: Site,
    pub(crate) store: Arc<Store>,
    pub(crate) rules: Rules,
}

/// The moment the tests count seconds from.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub(crate) fn at(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const MINUTE: u64 = 60;
pub(crate) const HOUR: u64 = 3_600;
pub(crate) const DAY: u64 = 86_400;

pub(crate) const NO_ANSWER: DeliveryError =
    DeliveryError { code: DeliveryFault::NoAnswer, gateway_code: None };
pub(crate) const BUSY: DeliveryError =
    DeliveryError { code: DeliveryFault::GatewayUnavailable, gateway_code: None };
pub(crate) const NO_RECEIVER: DeliveryError =
    DeliveryError { code: DeliveryFault::InvalidReceiver, gateway_code: GatewayCode::new("1007") };

pub(crate) fn secret(fill: u8) -> Secret {
    Secret::from_bytes(vec![fill; 32]).unwrap()
}

/// The defaults of the programs, with a secret that several stores share.
pub(crate) fn rules() -> Rules {
    Rules { keyring: Keyring::new(secret(1), None), ..fixtures::rules() }
}

/// Rules under which a number may be asked for at will.
pub(crate) fn no_limits() -> Rules {
    Rules { limits: NumberLimits { cooldown: Duration::ZERO.into(), hourly: 1_000, daily: 1_000 }, ..rules() }
}

pub(crate) fn phone(n: u32) -> PhoneNumber {
    PhoneNumber::parse(&format!("98{n:08}")).unwrap()
}

pub(crate) const CLIENT: Uuid = Uuid::from_u128(0xC1);
pub(crate) const OTHER_CLIENT: Uuid = Uuid::from_u128(0xC2);

/// A request of [`CLIENT`] for a number, by the gateway.
pub(crate) fn ask(n: u32) -> Create {
    let rng = Rng::system();
    Create::new(rng.uuid_v7(START), Salt(rng.bytes()), live_key(CLIENT, phone(n)))
}

/// The same from a session of the caller's.
pub(crate) fn ask_in(n: u32, session: &str) -> Create {
    let mut create = ask(n);
    session.clone_into(&mut create.key.session);
    create
}

/// The same from another client.
pub(crate) fn ask_of(client: Uuid, n: u32) -> Create {
    let mut create = ask(n);
    create.key.client = client;
    create
}

/// A fresh wish to send a message.
pub(crate) fn wish(id: MessageId) -> Claim {
    Claim { id, claim: Rng::system().uuid() }
}

/// The record of how a granted message ended, with what a worker has of it.
pub(crate) fn ended(grant: &Grant, outcome: Outcome, parts: Option<i16>) -> Record {
    Record { id: grant.id, claim: grant.claim, outcome, parts, as_claimed: grant.as_claimed.clone() }
}

/// The only answer of a batch of one.
pub(crate) fn only<T: Debug>(batch: Batch<T>) -> T {
    let mut answers = batch.answers;
    assert_eq!(answers.len(), 1);
    answers.remove(0).expect("the store answers")
}

/// The grants of a batch of claims, all of which are granted.
pub(crate) fn granted(batch: Batch<Claimed>) -> Vec<Grant> {
    let grant = |claimed| match claimed {
        Claimed::Granted(grant) => *grant,
        other => panic!("not granted: {other:?}"),
    };
    all(batch).into_iter().map(grant).collect()
}

/// All answers of a batch, none of which failed.
pub(crate) fn all<T: Debug>(batch: Batch<T>) -> Vec<T> {
    batch.answers.into_iter().map(|answer| answer.expect("the store answers")).collect()
}

/// A message as its row says.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) state: String,
    pub(crate) epoch: i32,
    pub(crate) attempts: i32,
    pub(crate) ambiguous: i32,
    pub(crate) publishes: i32,
    pub(crate) due_at: Timestamp,
    pub(crate) publish_at: Option<Timestamp>,
    pub(crate) lease_until: Option<Timestamp>,
    pub(crate) claim: Option<Uuid>,
}

/// Runs an expression with a connection to the database behind the store, whichever it is.
macro_rules! behind {
    ($world:expr, |$connection:ident| $body:expr) => {
        match &$world.site {
            Site::Postgres(database) => {
                let mut $connection = connect(&database.url()).await;
                $body.await.unwrap()
            }
            Site::Sqlite(dir) => {
                let options = SqliteConnectOptions::new().filename(file(dir)).disable_statement_logging();
                let mut $connection = SqliteConnection::connect_with(&options).await.unwrap();
                $body.await.unwrap()
            }
        }
    };
}

/// A connection that is the test's own: what it is asked is no statement of the store's.
pub(crate) async fn connect(url: &str) -> PgConnection {
    PgConnectOptions::from_str(url).unwrap().disable_statement_logging().connect().await.unwrap()
}

/// With a name that would mean something else in an address.
fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("hulak %41#1?mode=ro.db")
}

impl Kind {
    /// An empty database without a schema.
    pub(crate) async fn bare(self, rules: Rules) -> World {
        let site = match self {
            Self::Postgres => Site::Postgres(TestDatabase::bare().await),
            Self::Sqlite => Site::Sqlite(TempDir::new().unwrap()),
        };
        let store = open(&site, rules.clone());
        World { site, store, rules }
    }

    pub(crate) async fn world(self, rules: Rules) -> World {
        let site = match self {
            Self::Postgres => Site::Postgres(TestDatabase::create().await),
            Self::Sqlite => Site::Sqlite(TempDir::new().unwrap()),
        };
        let store = open(&site, rules.clone());
        store.migrate().await.unwrap();
        World { site, store, rules }
    }
}

fn open(site: &Site, rules: Rules) -> Arc<Store> {
    statements::record();
    match site {
        Site::Postgres(database) => {
            Arc::new(Store::postgres(&database.url().into(), 8, "store-conformance", rules).unwrap())
        }
        Site::Sqlite(dir) => Arc::new(Store::sqlite(&file(dir), rules).unwrap()),
    }
}

impl World {
    /// Another store on the same database, with its own connections and rules: another process.
    pub(crate) fn another(&self, rules: Rules) -> Arc<Store> {
        open(&self.site, rules)
    }

    /// Stores on the same database for racing. SQLite serves one process; another one may look in, but two that write
    /// all the time would mostly wait for each other.
    pub(crate) fn racers(&self) -> [Arc<Store>; 4] {
        let (this, another) = (|| Arc::clone(&self.store), || self.another(self.rules.clone()));
        match self.site {
            Site::Postgres(_) => [this(), another(), this(), another()],
            Site::Sqlite(_) => [this(), this(), this(), another()],
        }
    }

    /// Changes rows behind the store's back.
    pub(crate) async fn sql(&self, sql: &str) {
        behind!(self, |connection| async {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.map(drop)
        });
    }

    /// The address of the database, when it is PostgreSQL.
    pub(crate) fn url(&self) -> String {
        match &self.site {
            Site::Postgres(database) => database.url(),
            Site::Sqlite(_) => panic!("a file has no address"),
        }
    }

    /// A count of rows.
    pub(crate) async fn count(&self, table_and_filter: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table_and_filter}");
        behind!(self, |connection| sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection))
    }

    /// Closes the store on PostgreSQL, and waits until all stores have gone: a connection tells what it did when it ends, which
    /// is a moment after its client has gone.
    pub(crate) async fn close(&self) {
        self.store.close().await;
        let ours =
            "pg_stat_activity WHERE datname = current_database() AND application_name = 'store-conformance'";
        eventually("the end of the connections", || async { (self.count(ours).await == 0).then_some(()) })
            .await;
    }

    /// How often the database had to break a circle of waiting transactions, once all stores have gone. SQLite has one
    /// writer at a time, so it never has to.
    pub(crate) async fn deadlocks(&self) -> i64 {
        if matches!(self.site, Site::Sqlite(_)) {
            return 0;
        }
        self.close().await;
        self.count("pg_stat_database, generate_series(1, deadlocks) WHERE datname = current_database()").await
    }

    pub(crate) async fn message(&self, id: MessageId) -> Row {
        let sql = "SELECT * FROM messages WHERE verification_id = $1 AND seq = $2";
        behind!(self, |connection| {
            sqlx::query_as(sql).bind(id.verification).bind(id.seq).fetch_one(&mut connection)
        })
    }

    /// An account of the first client: its id.
    pub(crate) async fn account(&self, n: u128) -> Uuid {
        let new = NewAccount {
            id: Uuid::from_u128(n),
            client: CLIENT,
            username: format!("account-{n}").parse().unwrap(),
            first_name: Default::default(),
            last_name: Default::default(),
            email: None,
            phone: None,
            groups: Vec::new(),
            remember: None,
        };
        match self.store.create_account(&new, START).await.unwrap() {
            AccountChanged::Done(account) => account.id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn create(&self, create: &Create, now: Timestamp) -> Created {
        only(self.store.create(std::slice::from_ref(create), now).await)
    }

    /// A new verification.
    pub(crate) async fn begin(&self, create: &Create, now: Timestamp) -> Verification {
        match self.create(create, now).await {
            Created::New(verification) => verification,
            other => panic!("not a new verification: {other:?}"),
        }
    }

    pub(crate) async fn read(&self, verification: &Verification) -> Verification {
        let key = (verification.key.client, verification.id);
        only(self.store.verifications(&[key]).await).expect("it is there")
    }

    pub(crate) async fn report(&self, n: u32) -> NumberReport {
        self.store.number(CLIENT, phone(n)).await.unwrap()
    }

    /// The code of the verification's present epoch, which a person would read in the SMS.
    pub(crate) fn right(&self, verification: &Verification) -> Code {
        let Verification { key_id, salt, id, epoch, code_length, .. } = verification;
        self.rules.keyring.code(*key_id, salt, *id, *epoch, *code_length).expect("its key is known")
    }

    /// Another code of the same length.
    pub(crate) fn wrong(&self, verification: &Verification) -> Code {
        Code::typed(fixtures::wrong(self.right(verification).expose(), 1))
    }

    pub(crate) async fn check(&self, verification: &Verification, code: Code, now: Timestamp) -> Checked {
        let check = Check {
            client: verification.key.client,
            id: verification.id,
            code,
            takes_effect: TakesEffect::AtOnce,
            remember: None,
        };
        only(self.store.check(&[check], now).await)
    }

    pub(crate) async fn check_right(&self, verification: &Verification, now: Timestamp) -> Checked {
        self.check(verification, self.right(verification), now).await
    }

    pub(crate) async fn check_wrong(&self, verification: &Verification, now: Timestamp) -> Checked {
        self.check(verification, self.wrong(verification), now).await
    }

    /// A verification approved at `now`.
    pub(crate) async fn approve(&self, verification: &Verification, now: Timestamp) -> Verification {
        match self.check_right(verification, now).await {
            Checked::Approved(verification) => verification,
            other => panic!("not approved: {other:?}"),
        }
    }

    pub(crate) async fn claim(&self, id: MessageId, now: Timestamp) -> Claimed {
        only(self.store.claim(&[wish(id)], now).await)
    }

    /// A granted claim of a verification's newest message.
    pub(crate) async fn grant(&self, verification: &Verification, now: Timestamp) -> Grant {
        match self.claim(self.read(verification).await.newest_message(), now).await {
            Claimed::Granted(grant) => *grant,
            other => panic!("not granted: {other:?}"),
        }
    }

    pub(crate) async fn record(&self, grant: &Grant, outcome: Outcome, now: Timestamp) -> Recorded {
        only(self.store.record(&[ended(grant, outcome, None)], now).await)
    }

    /// Claims a verification's newest message and has the gateway accept it.
    pub(crate) async fn deliver(&self, verification: &Verification, now: Timestamp) {
        let grant = self.grant(verification, now).await;
        let recorded = self.record(&grant, Outcome::Accepted, now).await;
        assert_eq!(recorded, Recorded::Done(hulak_common::verification::Delivery::Sent));
    }

    /// Sets a verification's status behind the store's back.
    pub(crate) async fn force(&self, verification: &Verification, status: Status) {
        let sql = "UPDATE verifications SET status = $2, version = version + 1 WHERE id = $1";
        behind!(self, |connection| async {
            let change = sqlx::query(sql).bind(verification.id).bind(status.as_str());
            change.execute(&mut connection).await.map(drop)
        });
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(
                statements::unknown(),
                Vec::<String>::new(),
                "statements that tests/sql does not have"
            );
        }
    }
}

/// The newest version each verification was announced with.
pub(crate) fn announced(events: &[StatusEvent]) -> HashMap<Uuid, i64> {
    events.iter().fold(HashMap::new(), |mut newest, event| {
        let version = newest.entry(event.id).or_insert(event.version);
        *version = event.version.max(*version);
        newest
    })
}
