//! Whether the server answers and takes writes, asked on a connection of its own: a pool whose connections are all at work says
//! nothing about the server.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::Mutex;

use super::pool::Condemned;
use crate::error::{Result, StoreError};
use hulak_common::clock::Stopwatch;
use hulak_common::time::Timestamp;

/// Connecting and the question together.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection that has gone dead is not waited for.
const GOODBYE: Duration = Duration::from_secs(1);

/// The only statement that looks at the database's clock. `transaction_read_only` is on in a standby, too.
const TIME: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
                    current_setting('transaction_read_only')::boolean";

/// A connection for one question.
#[derive(Debug)]
pub(super) struct HealthConnection {
    options: PgConnectOptions,
    condemned: Condemned,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Open(Box<PgConnection>, Stopwatch),
    /// Not connected, or given up on in the middle of a question.
    None,
    Closed,
}

impl HealthConnection {
    pub(super) fn new(options: PgConnectOptions, condemned: Condemned) -> Self {
        Self { options, condemned, state: Mutex::new(State::None) }
    }

    /// What the server's clock says, and whether the server takes no writes.
    pub(super) async fn ask(&self) -> Result<(Timestamp, bool)> {
        let asked = tokio::time::timeout(PATIENCE, async {
            let mut state = self.state.lock().await;
            match std::mem::replace(&mut *state, State::None) {
                State::Closed => {
                    *state = State::Closed;
                    return Err(sqlx::Error::PoolClosed);
                }
                // When it broke, or may be read-only for its own sake, only a new one tells.
                State::Open(mut connection, opened) if !self.condemned.covers(opened.elapsed()) => {
                    if let Ok((time, false)) = ask(&mut connection).await {
                        *state = State::Open(connection, opened);
                        return Ok((time, false));
                    }
                }
                State::Open(..) | State::None => {}
            }
            let mut connection = Box::new(self.options.connect().await?);
            let answer = ask(&mut connection).await?;
            // What was wrong with the last one may be wrong with all that are as old: a session that began while the server took no
            // writes may stay read-only.
            self.condemned.note();
            *state = State::Open(connection, Stopwatch::start());
            Ok(answer)
        });
        Ok(asked.await.map_err(|late| StoreError::Unavailable(Box::new(late)))??)
    }

    pub(super) async fn close(&self) {
        let state = std::mem::replace(&mut *self.state.lock().await, State::Closed);
        if let State::Open(connection, _) = state {
            let _gone = tokio::time::timeout(GOODBYE, connection.close()).await;
        }
    }
}

async fn ask(connection: &mut PgConnection) -> sqlx::Result<(Timestamp, bool)> {
    sqlx::query_as(TIME).fetch_one(connection).await
}
