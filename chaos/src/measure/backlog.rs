//! A million messages that were never published: several relays publish them at a steady rate, and the statements that run
//! beside them stay cheap.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hulak_broker::{AmqpBroker, Broker, Topology};
use hulak_common::clock::{DatabaseClock, SharedClock, Stopwatch};
use hulak_common::rng::Rng;
use hulak_runtime::shutdown::Shutdown;
use hulak_service::outbox::Outbox;
use hulak_store::{self, Monitor, Store};
use hulak_testkit::services::{Durability, Postgres, PostgresOptions, RabbitMq, data_directory};
use hulak_worker::relay;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::deployment::make_database;
use crate::error::ChaosError;

const MESSAGES: i64 = 1_000_000;
const RELAYS: usize = 4;
/// Between two counts of the rest.
const INTERVAL: Duration = Duration::from_secs(5);
/// Long, for a slow machine.
const LIMIT: Duration = Duration::from_secs(1_200);

pub(super) async fn run() -> Result<bool, ChaosError> {
    let directory = data_directory("hulak-chaos-")?;
    let options = PostgresOptions { durability: Durability::Real, ..PostgresOptions::default() };
    let (postgres, rabbit) =
        tokio::try_join!(Postgres::start_with(directory.path(), options), RabbitMq::start(directory.path()))?;
    let url = make_database(&postgres).await?;
    let clock: SharedClock = Arc::new(DatabaseClock::new());
    let store = open(&url)?;
    store.migrate().await?;
    let mut watching = PgConnection::connect(&url).await?;
    fill(&mut watching, clock.now().as_millis()).await?;

    println!("{MESSAGES} messages that were never published.\n\nPlans before:\n");
    plans(&mut watching, &url, &clock, directory.path()).await?;
    let rates = drain(&mut watching, &url, &rabbit.url(), &clock).await?;
    println!("\nPlans after:\n");
    plans(&mut watching, &url, &clock, directory.path()).await?;
    let left: i64 = count(&mut watching, "publishes = 0").await?;
    let (slowest, fastest) = (rates.iter().min().copied(), rates.iter().max().copied());
    println!(
        "\n{RELAYS} relays: {left} left, from {slowest:?} to {fastest:?} messages a second over 5 s each"
    );
    // The work ends within the last interval.
    let steady = rates.split_last().and_then(|(_, whole)| whole.iter().min().zip(whole.iter().max()));
    Ok(left == 0 && steady.is_some_and(|(slow, fast)| slow * 3 > *fast))
}

async fn fill(connection: &mut PgConnection, now: i64) -> Result<(), ChaosError> {
    let sql = format!(
        "INSERT INTO messages SELECT gen_random_uuid(), 1, 9779800000000 + n, 0, 'gateway', 'queued', 0, 0, \
         {now}, {now} + n / 1000, 0, NULL, NULL, NULL, NULL, {now}, {now} FROM generate_series(1, {MESSAGES}) n"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await?;
    sqlx::raw_sql("ANALYZE messages").execute(connection).await?;
    Ok(())
}

fn open(url: &str) -> Result<Arc<Store>, ChaosError> {
    let rules = hulak_testkit::fixtures::rules();
    Ok(Arc::new(Store::postgres(&url.to_owned().into(), 4, "hulak-chaos", rules)?))
}

async fn count(connection: &mut PgConnection, filter: &'static str) -> Result<i64, ChaosError> {
    let sql = format!("SELECT count(*) FROM messages WHERE {filter}");
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await?)
}

/// Messages a second, in each interval.
async fn drain(
    watching: &mut PgConnection,
    url: &str,
    broker_url: &str,
    clock: &SharedClock,
) -> Result<Vec<i64>, ChaosError> {
    let (shutdown, mut relays) = (Shutdown::new(), JoinSet::new());
    for _ in 0..RELAYS {
        let (store, monitor) = (open(url)?, Monitor::new());
        let broker: Arc<dyn Broker> =
            AmqpBroker::connect(broker_url.to_owned().into(), Topology::default(), Rng::system())
                .map_err(|error| ChaosError::Setup(error.to_string()))?;
        let outbox =
            Outbox::start(Arc::clone(&broker), Arc::clone(&store), Arc::clone(clock), shutdown.clone());
        let (clock, shutdown) = (Arc::clone(clock), shutdown.clone());
        relays.spawn(async move {
            let watch = monitor.run(
                Arc::clone(&store),
                Arc::clone(&clock),
                Rng::system(),
                shutdown.clone(),
                || async { Ok(()) },
            );
            let relaying =
                relay::run(outbox, Arc::clone(&store), broker, monitor.clone(), Arc::clone(&clock), shutdown);
            let _ended = tokio::join!(watch, relaying);
        });
    }
    let (watch, mut rates, mut before, mut at) = (Stopwatch::start(), Vec::new(), MESSAGES, Duration::ZERO);
    while before > 0 && watch.elapsed() < LIMIT {
        sleep(INTERVAL).await;
        let (left, now) = (count(watching, "publishes = 0").await?, watch.elapsed());
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a few thousand")]
        rates.push(((before - left) as f64 / (now - at).as_secs_f64()) as i64);
        println!("{:>4} s: {left} left, {} a second", now.as_secs(), rates.last().unwrap_or(&0));
        (before, at) = (left, now);
    }
    shutdown.begin();
    // Nothing is in flight any more, so that there is no drain to wait for.
    shutdown.abort();
    while relays.join_next().await.is_some() {}
    Ok(rates)
}

/// Prints the database's plans of the statements that run all the time.
async fn plans(
    watching: &mut PgConnection,
    url: &str,
    clock: &SharedClock,
    directory: &Path,
) -> Result<(), ChaosError> {
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut *watching).await?;
    for setting in [
        "session_preload_libraries = 'auto_explain'",
        "auto_explain.log_min_duration = 0",
        "auto_explain.log_analyze = on",
        "auto_explain.log_buffers = on",
        "auto_explain.log_timing = off",
    ] {
        let sql = format!("ALTER DATABASE {name} SET {setting}");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *watching).await?;
    }
    let log = find(directory, "postgres.log").ok_or_else(|| ChaosError::Setup("no log".to_owned()))?;
    let before = std::fs::read_to_string(&log)?.len();
    let (store, now) = (open(url)?, clock.now());
    let taken = store.take_due(512, now).await?;
    let confirmed: Vec<_> = taken.iter().map(|id| (*id, now)).collect();
    store.confirm_published(&confirmed).await?;
    store.waiting_since(now).await?;
    store.reap(500, now).await?;
    store.close().await;
    sqlx::raw_sql(AssertSqlSafe(format!("ALTER DATABASE {name} RESET ALL"))).execute(watching).await?;
    for line in std::fs::read_to_string(&log)?[before..].lines() {
        if !line.trim_start().starts_with("Query Text: BEGIN") {
            println!("    {line}");
        }
    }
    Ok(())
}

fn find(directory: &Path, name: &str) -> Option<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.file_name().is_some_and(|file| file == name) {
            return Some(path);
        }
        if let Some(found) = path.is_dir().then(|| find(&path, name)).flatten() {
            return Some(found);
        }
    }
    None
}
