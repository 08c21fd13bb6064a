//! PostgreSQL and RabbitMQ, once for a whole run. Each world gets a database and a virtual host of its own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::LazyLock;

use hulak_testkit::services::{Durability, Postgres, PostgresOptions, RabbitMq};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

use crate::process::Counted;
use crate::{BenchError, machine};

/// What PostgreSQL is told. Everything else is its own default: every commit is synced. A quarter of the memory for
/// `shared_buffers` is what its documentation advises for a server with a database on it; room for the log, so that a sample is
/// not measured against checkpoints one after the other.
pub static POSTGRES_SETTINGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    vec![
        format!("shared_buffers={}MB", machine::memory() / 4 / 1024 / 1024),
        "max_wal_size=8GB".to_owned(),
        "random_page_cost=1.1".to_owned(),
        "fsync=on".to_owned(),
        "synchronous_commit=on".to_owned(),
    ]
});

/// What runs below everything else. Dropping it ends them and removes their data.
#[derive(Debug)]
pub struct Services {
    postgres: Postgres,
    rabbit: RabbitMq,
    // Last, so that the data goes after those who write it.
    directory: TempDir,
}

impl Services {
    /// Starts both.
    ///
    /// # Errors
    /// When one cannot be started.
    pub async fn start() -> Result<Self, BenchError> {
        let directory = tempfile::Builder::new().prefix("hulak-bench-").tempdir()?;
        // The services run as users of their own, and have to get to their data.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
        let options = PostgresOptions {
            durability: Durability::Real,
            settings: POSTGRES_SETTINGS.clone(),
            ..PostgresOptions::default()
        };
        let (postgres, rabbit) = tokio::try_join!(
            Postgres::start_with(directory.path(), options),
            RabbitMq::start(directory.path())
        )?;
        Ok(Self { postgres, rabbit, directory })
    }

    /// Where the programs may write.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// RabbitMQ.
    #[must_use]
    pub fn rabbit(&self) -> &RabbitMq {
        &self.rabbit
    }

    /// Where a database is.
    #[must_use]
    pub fn postgres_url(&self, database: &str) -> String {
        self.postgres.url(database)
    }

    /// PostgreSQL's port.
    #[must_use]
    pub fn postgres_port(&self) -> u16 {
        self.postgres.port()
    }

    /// Where a virtual host is.
    #[must_use]
    pub fn rabbit_url(&self, host: &str) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/{host}", self.rabbit.port())
    }

    /// Both, to be counted.
    #[must_use]
    pub fn counted(&self) -> Vec<Counted> {
        let named = |name: &str, id: Option<u32>| Some(Counted { name: name.to_owned(), id: id? });
        [named("postgres", self.postgres.id()), named("rabbitmq", self.rabbit.id())]
            .into_iter()
            .flatten()
            .collect()
    }

    /// A new, empty database. One of this name goes.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn make_database(&self, name: &str) -> Result<(), BenchError> {
        self.drop_database(name).await?;
        // A database's name cannot be bound; these are our own.
        self.run(format!("CREATE DATABASE {name}")).await
    }

    /// A database that is not needed any more.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn drop_database(&self, name: &str) -> Result<(), BenchError> {
        self.run(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
    }

    /// Writes down what is still in memory, so that no sample pays for the one before it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn settle(&self) -> Result<(), BenchError> {
        self.run("CHECKPOINT".to_owned()).await
    }

    async fn run(&self, sql: String) -> Result<(), BenchError> {
        let mut connection = PgConnection::connect(&self.postgres.url("postgres")).await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// A new virtual host.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn make_host(&self, name: &str) -> Result<(), BenchError> {
        self.rabbit.ctl(&["add_vhost", name]).await?;
        self.rabbit.ctl(&["set_permissions", "-p", name, "guest", ".*", ".*", ".*"]).await?;
        Ok(())
    }

    /// A virtual host that is not needed any more, with its queues.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn drop_host(&self, name: &str) -> Result<(), BenchError> {
        self.rabbit.ctl(&["delete_vhost", name]).await?;
        Ok(())
    }
}
