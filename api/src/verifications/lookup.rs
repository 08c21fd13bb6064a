//! Finds the verification that a caller may act on, and the account of an approval.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::account::Account;
use hulak_common::verification::Verification;
use uuid::Uuid;

use crate::app::App;
use crate::http::auth::Caller;
use crate::http::problem::{Kind, Problem};

/// How long after its end a client token still reads a verification.
const TOKEN_GRACE: Duration = Duration::from_secs(600);

/// Why an approval is no sign-in any more.
pub(crate) const ACCOUNT_GONE: &str = "its account is not active any more";

/// The caller's verification with this id, not older than the version that the caller has.
pub(super) async fn find(
    app: &App,
    caller: &Caller,
    id: &str,
    at_least: i64,
) -> Result<Arc<Verification>, Problem> {
    let id = id.parse().map_err(|_| Problem::not_found())?;
    let row = app.verification(caller.client_for(id)?, id, at_least).await?;
    let end = row.ended_at.unwrap_or(row.expires_at);
    if caller.is_token() && app.clock.now() > end + TOKEN_GRACE {
        return Err(Problem::unauthorized("this client token has ended with its verification"));
    }
    Ok(row)
}

/// An approved verification, and the account that the approval was for.
pub(crate) async fn with_account(
    app: &App,
    client: Uuid,
    id: Uuid,
    account: Option<Uuid>,
) -> Result<(Arc<Verification>, Option<Account>), Problem> {
    let row = app.verification(client, id, 0).await?;
    let account = match account {
        Some(id) => Some(active_account(app, client, id).await?),
        None => None,
    };
    Ok((row, account))
}

/// The account that an approval was for, as it is now: an account that was deactivated since gets no new token.
async fn active_account(app: &App, client: Uuid, id: Uuid) -> Result<Account, Problem> {
    let found = app.account(client, id).await?;
    let gone = || Problem::new(Kind::AlreadyApproved, ACCOUNT_GONE);
    found.filter(|account| account.is_active).ok_or_else(gone)
}
