//! PostgreSQL and RabbitMQ, once for a whole run. Each deployment has its own database and virtual host.

use std::path::Path;
use std::sync::LazyLock;

use hulak_testkit::services::{Durability, Postgres, PostgresOptions, RabbitMq, data_directory};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

use crate::error::BenchError;
use crate::machine::{self, Versions};
use crate::usage::Counted;

/// PostgreSQL's settings; all others are its defaults, and every commit is synced. Its documentation advises a quarter of the
/// memory for `shared_buffers` on a server of its own. `max_wal_size` is large enough that a sample does not run beside one
/// checkpoint after the other.
pub static POSTGRES_SETTINGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    vec![
        format!("shared_buffers={}MB", machine::memory() / 4 / 1024 / 1024),
        "max_wal_size=8GB".to_owned(),
        "random_page_cost=1.1".to_owned(),
        "fsync=on".to_owned(),
        "synchronous_commit=on".to_owned(),
    ]
});

/// Both services. Dropping them ends the processes and removes the data.
#[derive(Debug)]
pub struct Services {
    postgres: Postgres,
    rabbit: RabbitMq,
    // Last, so that the directory is removed after the processes that write to it.
    directory: TempDir,
}

impl Services {
    /// Starts both.
    ///
    /// # Errors
    /// When one cannot be started.
    pub async fn start() -> Result<Self, BenchError> {
        let directory = data_directory("hulak-bench-")?;
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

    /// The directory for the programs' files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// RabbitMQ.
    #[must_use]
    pub fn rabbit(&self) -> &RabbitMq {
        &self.rabbit
    }

    /// The versions of both.
    ///
    /// # Errors
    /// When a service does not answer.
    pub async fn versions(&self) -> Result<Versions, BenchError> {
        let mut database = PgConnection::connect(&self.postgres_url("postgres")).await?;
        let postgres: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut database).await?;
        let rabbitmq = self.rabbit.ctl(&["version"]).await?;
        let rabbitmq = rabbitmq.lines().last().unwrap_or_default().trim().to_owned();
        Ok(Versions { postgres, rabbitmq })
    }

    /// The address of a database.
    #[must_use]
    pub fn postgres_url(&self, database: &str) -> String {
        self.postgres.url(database)
    }

    /// PostgreSQL's port.
    #[must_use]
    pub fn postgres_port(&self) -> u16 {
        self.postgres.port()
    }

    /// The address of a virtual host.
    #[must_use]
    pub fn rabbit_url(&self, host: &str) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/{host}", self.rabbit.port())
    }

    /// Both processes, for counting.
    #[must_use]
    pub fn counted(&self) -> Vec<Counted> {
        let named = |name: &str, id: Option<u32>| Some(Counted { name: name.to_owned(), id: id? });
        [named("postgres", self.postgres.id()), named("rabbitmq", self.rabbit.id())]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Makes an empty database, in place of one of this name.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn make_database(&self, name: &str) -> Result<(), BenchError> {
        self.drop_database(name).await?;
        // A database's name cannot be a bind value; these names are built here.
        self.run(format!("CREATE DATABASE {name}")).await
    }

    /// Removes a database.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn drop_database(&self, name: &str) -> Result<(), BenchError> {
        self.run(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
    }

    /// Writes all changes to the disk, so that one sample's writes do not slow down the next.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn checkpoint(&self) -> Result<(), BenchError> {
        self.run("CHECKPOINT".to_owned()).await
    }

    async fn run(&self, sql: String) -> Result<(), BenchError> {
        let mut connection = PgConnection::connect(&self.postgres.url("postgres")).await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Makes a virtual host.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn make_host(&self, name: &str) -> Result<(), BenchError> {
        self.rabbit.ctl(&["add_vhost", name]).await?;
        self.rabbit.ctl(&["set_permissions", "-p", name, "guest", ".*", ".*", ".*"]).await?;
        Ok(())
    }

    /// Removes a virtual host with its queues.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn drop_host(&self, name: &str) -> Result<(), BenchError> {
        self.rabbit.ctl(&["delete_vhost", name]).await?;
        Ok(())
    }
}
