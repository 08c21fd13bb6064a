//! A PostgreSQL database for one test.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::Path;
use std::{env, thread};

use hulak_common::rng::Rng;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::OnceCell;
use url::Url;

/// Where the tests' PostgreSQL is.
const SERVER: &str = "HULAK_TEST_DATABASE_URL";
/// The schema that every test but a few wants.
const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/postgres");
/// The advisory lock under which one test process makes the template, while the others wait.
const TEMPLATE_LOCK: i64 = 0x6875_6c61_6b74;

/// A database of its own on the tests' PostgreSQL, dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    server: Url,
    name: String,
    dropped: bool,
}

impl TestDatabase {
    /// Makes one with the newest schema and no rows: a copy of a template that is migrated once per server.
    ///
    /// # Panics
    /// When the environment names no server, or the server refuses.
    pub async fn create() -> Self {
        // Once per test process; the template lives as long as the server.
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let server = server();
        let template = TEMPLATE.get_or_init(async || {
            template(&server)
                .await
                .unwrap_or_else(|error| panic!("cannot migrate a template at {SERVER}: {error}"))
        });
        Self::copy_of(template.await, server).await
    }

    /// Makes one without a schema.
    ///
    /// # Panics
    /// As [`create`](Self::create).
    pub async fn bare() -> Self {
        Self::copy_of("template0", server()).await
    }

    async fn copy_of(template: &str, server: Url) -> Self {
        let name = format!("hulak_test_{}", Rng::system().uuid().simple());
        let made = execute(&server, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        if let Err(error) = made {
            panic!("cannot make a database on the server that {SERVER} names: {error}");
        }
        Self { server, name, dropped: false }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        at(&self.server, &self.name).into()
    }

    /// Drops it, and closes every connection to it.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn drop_now(mut self) {
        self.dropped = true;
        if let Err(error) = execute(&self.server, drop_statement(&self.name)).await {
            panic!("cannot drop the database {}: {error}", self.name);
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if self.dropped {
            return;
        }
        let (server, statement) = (self.server.clone(), drop_statement(&self.name));
        // A thread with a runtime of its own: this one may be in the middle of a panic. What cannot be dropped is left
        // to the end of the throwaway server.
        let best_effort = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(execute(&server, statement)))
        });
        drop(best_effort.join());
    }
}

/// The name of the migrated template, which is made when it is missing. The name tells the migrations, so that a server
/// that outlives a change of them gets another template.
async fn template(server: &Url) -> Result<String, Box<dyn std::error::Error>> {
    let migrations = Migrator::new(Path::new(MIGRATIONS)).await?;
    let mut digest = DefaultHasher::new();
    for migration in migrations.iter() {
        migration.checksum.hash(&mut digest);
    }
    let name = format!("hulak_template_{:016x}", digest.finish());

    let mut connection = PgConnection::connect(server.as_str()).await?;
    // Released with the connection.
    sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut connection).await?;
    let found = sqlx::query("SELECT FROM pg_database WHERE datname = $1").bind(&name);
    if found.fetch_optional(&mut connection).await?.is_none() {
        // Renamed when it is complete, so that a killed test process leaves no half of a template under that name.
        let unfinished = format!("{name}_unfinished");
        execute(server, drop_statement(&unfinished)).await?;
        execute(server, format!("CREATE DATABASE {unfinished} TEMPLATE template0")).await?;
        let mut inside = PgConnection::connect(at(server, &unfinished).as_str()).await?;
        migrations.run(&mut inside).await?;
        inside.close().await?;
        execute(server, format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await?;
    }
    connection.close().await?;
    Ok(name)
}

fn server() -> Url {
    let Ok(server) = env::var(SERVER) else {
        panic!("{SERVER} is not set: run the tests with `make test`, which starts what they need");
    };
    Url::parse(&server).unwrap_or_else(|error| panic!("{SERVER}: {error}"))
}

fn at(server: &Url, database: &str) -> Url {
    let mut url = server.clone();
    url.set_path(database);
    url
}

fn drop_statement(name: &str) -> String {
    format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")
}

async fn execute(server: &Url, statement: String) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(server.as_str()).await?;
    // Database names cannot be bound; ours are hexadecimal digits.
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}
