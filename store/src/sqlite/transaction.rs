//! One transaction on SQLite. It is the only writer while it lasts, so nothing has to be locked row by row.

use crate::error::{Result, StoreError};

/// A transaction; dropping it rolls it back.
#[derive(Debug)]
pub(crate) struct SqliteTransaction {
    pub(crate) tx: sqlx::Transaction<'static, sqlx::Sqlite>,
}

impl SqliteTransaction {
    pub(crate) async fn commit(self) -> Result<()> {
        Ok(self.tx.commit().await?)
    }

    pub(crate) async fn undo(self, _: &StoreError) -> Result<()> {
        Ok(self.tx.rollback().await?)
    }
}
