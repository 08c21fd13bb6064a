//! `operator_sessions`: the console's sessions. One text serves both databases.

use sqlx::FromRow;

use crate::error::{Result, StoreError};
use crate::store::{Store, execute, read};
use crate::tables::corrupt;
use hulak_common::staff::{NewSession, Operator};
use hulak_common::time::Timestamp;

const OPEN: &str = "INSERT INTO operator_sessions (hash, key_hash, expires_at) VALUES ($1, $2, $3)";
/// With its key, which may have been revoked a moment ago.
const FIND: &str = "SELECT k.hash, k.prefix, c.name FROM operator_sessions s \
     JOIN api_keys k ON k.hash = s.key_hash JOIN clients c ON c.id = k.client_id \
     WHERE s.hash = $1 AND s.expires_at > $2 AND k.revoked_at IS NULL AND k.operator";
const CLOSE: &str = "DELETE FROM operator_sessions WHERE hash = $1";

#[derive(FromRow)]
struct OperatorRow {
    hash: Vec<u8>,
    prefix: String,
    name: String,
}

impl TryFrom<OperatorRow> for Operator {
    type Error = StoreError;
    fn try_from(row: OperatorRow) -> Result<Self> {
        let key = row.hash.try_into().map_err(|_| corrupt("hash"))?;
        Ok(Self { key, prefix: row.prefix, name: row.name })
    }
}

impl Store {
    /// Opens a session of the console.
    pub async fn open_session(&self, session: &NewSession) -> Result<()> {
        execute!(self, OPEN, session.hash.to_vec(), session.key.to_vec(), session.expires_at).map(drop)
    }

    /// The operator of the session with this hash; none, once the session or its key is over.
    pub async fn session(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<Operator>> {
        let found: Option<OperatorRow> = read!(self, FIND, hash.to_vec(), now)?.pop();
        found.map(TryInto::try_into).transpose()
    }

    /// Ends a session.
    pub async fn close_session(&self, hash: &[u8; 32]) -> Result<()> {
        execute!(self, CLOSE, hash.to_vec()).map(drop)
    }
}
