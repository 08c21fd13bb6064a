//! Whether the server answers, asked on a connection of its own: a pool whose connections are all at work says nothing
//! about the server.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::Mutex;

use crate::error::{Result, StoreError};
use hulak_common::time::Timestamp;

/// Connecting and the question together.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection that has gone dead is not waited for.
const GOODBYE: Duration = Duration::from_secs(1);

/// The only statement that looks at the database's clock.
const TIME: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// A connection for one question.
#[derive(Debug)]
pub(super) struct HealthConnection {
    options: PgConnectOptions,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Open(Box<PgConnection>),
    /// Not connected, or given up on in the middle of a question.
    None,
    Closed,
}

impl HealthConnection {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        Self { options, state: Mutex::new(State::None) }
    }

    /// What the server's clock says.
    pub(super) async fn time(&self) -> Result<Timestamp> {
        let asked = tokio::time::timeout(PATIENCE, async {
            let mut state = self.state.lock().await;
            match std::mem::replace(&mut *state, State::None) {
                State::Closed => {
                    *state = State::Closed;
                    return Err(sqlx::Error::PoolClosed);
                }
                // When it broke, the server may have been restarted: only a new one tells.
                State::Open(mut connection) => {
                    if let Ok(time) = ask(&mut connection).await {
                        *state = State::Open(connection);
                        return Ok(time);
                    }
                }
                State::None => {}
            }
            let mut connection = Box::new(self.options.connect().await?);
            let time = ask(&mut connection).await?;
            *state = State::Open(connection);
            Ok(time)
        });
        Ok(asked.await.map_err(|late| StoreError::Unavailable(Box::new(late)))??)
    }

    pub(super) async fn close(&self) {
        let state = std::mem::replace(&mut *self.state.lock().await, State::Closed);
        if let State::Open(connection) = state {
            let _gone = tokio::time::timeout(GOODBYE, connection.close()).await;
        }
    }
}

async fn ask(connection: &mut PgConnection) -> sqlx::Result<Timestamp> {
    sqlx::query_scalar(TIME).fetch_one(connection).await
}
