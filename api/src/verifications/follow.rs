//! Follows one verification from state to state, for `?wait=` and for event streams.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::verification::{Status, Verification};
use uuid::Uuid;

use crate::app::SharedApp;
use crate::http::auth::Caller;
use crate::http::long_poll::Watch;
use crate::http::problem::{Kind, Problem};
use crate::verifications::view::etag;

/// Before another look while more waiters are reading than may wait for the store.
const CROWDED: Duration = Duration::from_millis(200);

/// Waits and event streams that client tokens may have open on their verification: a few tabs and devices. Each holds a
/// connection.
const MAX_WAITERS: usize = 16;

/// Follows one verification from state to state.
#[derive(Debug)]
pub(super) struct Follower {
    app: SharedApp,
    client: Uuid,
    id: Uuid,
    watch: Watch,
}

impl Follower {
    /// Follows a verification for this caller. Call it before the first look, or the change between is not heard.
    ///
    /// # Errors
    /// 404 when the caller can have no such verification.
    pub(super) fn new(app: &SharedApp, caller: &Caller, id: &str) -> Result<Self, Problem> {
        let id = id.parse().map_err(|_| Problem::not_found())?;
        let client = caller.client_for(id)?;
        let watch = app.changes.watch(id);
        if caller.is_token() && watch.waiters() > MAX_WAITERS {
            let detail = "this verification has as many waiting callers as it may have; end one of them";
            return Err(Problem::new(Kind::Overloaded, detail).retry_after(CROWDED));
        }
        Ok(Self { app: Arc::clone(app), client, id, watch })
    }

    /// The next state that callers see as another one than `row`. `None`: this process is about to stop.
    ///
    /// # Errors
    /// 503 when the database is away, 404 when the verification has gone.
    pub(super) async fn next(&mut self, row: &Verification) -> Result<Option<Arc<Verification>>, Problem> {
        let known = etag(row, self.app.clock.now());
        let mut pause = self.pause(row);
        loop {
            let app = Arc::clone(&self.app);
            tokio::select! {
                () = app.shutdown.begun() => return Ok(None),
                () = self.watch.moved(row.version) => {}
                () = tokio::time::sleep(pause) => {}
            }
            match self.app.verification(self.client, self.id, row.version).await {
                Ok(found) if etag(&found, self.app.clock.now()) != known => return Ok(Some(found)),
                Ok(_) => pause = self.pause(row),
                Err(problem) if problem.kind() == Kind::Overloaded => {
                    tokio::time::sleep(CROWDED.mul_f64(0.5 + self.app.rng.fraction())).await;
                    pause = Duration::ZERO;
                }
                Err(problem) => return Err(problem),
            }
        }
    }

    /// Until the next look without having heard anything: the net, or the moment when the verification expires.
    fn pause(&self, row: &Verification) -> Duration {
        // Spread, so that those who came together do not read together for ever.
        let net = self.app.changes.safety().mul_f64(0.75 + self.app.rng.fraction() / 2.0);
        let now = self.app.clock.now();
        if row.status_at(now) == Status::Pending {
            net.min((row.expires_at - now) + Duration::from_millis(1))
        } else {
            net
        }
    }
}
