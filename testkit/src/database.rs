//! A PostgreSQL database for one test.

use std::{env, thread};

use hulak_common::rng::Rng;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;

/// Where the tests' PostgreSQL is.
const SERVER: &str = "HULAK_TEST_DATABASE_URL";

/// An empty database of its own on the tests' PostgreSQL, gone when this is dropped.
#[derive(Debug)]
pub struct TestDatabase {
    server: Url,
    name: String,
    dropped: bool,
}

impl TestDatabase {
    /// Makes one.
    ///
    /// # Panics
    /// When the environment names no server, or the server refuses.
    pub async fn create() -> Self {
        let Ok(server) = env::var(SERVER) else {
            panic!("{SERVER} is not set: run the tests with `make test`, which starts what they need");
        };
        let server = Url::parse(&server).unwrap_or_else(|error| panic!("{SERVER}: {error}"));
        let name = format!("hulak_test_{}", Rng::system().uuid().simple());
        // Nobody may be connected to the template while it is copied; to template0 nobody ever is.
        let made = execute(&server, format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        if let Err(error) = made {
            panic!("cannot make a database on the server that {SERVER} names: {error}");
        }
        Self { server, name, dropped: false }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        let mut url = self.server.clone();
        url.set_path(&self.name);
        url.into()
    }

    /// Drops it, whoever is still connected.
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

fn drop_statement(name: &str) -> String {
    format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")
}

async fn execute(server: &Url, statement: String) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(server.as_str()).await?;
    // Database names cannot be bound; ours are hexadecimal digits.
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}
