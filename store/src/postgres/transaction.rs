//! One transaction on PostgreSQL.

use super::pool::PooledConnection;
use crate::error::{Result, StoreError, Verdict};

/// A transaction, or statements that are one each. Dropping it without its end closes the connection, which rolls it back.
#[derive(Debug)]
pub(crate) struct PgTransaction {
    pub(crate) tx: PooledConnection,
    begun: bool,
}

impl PgTransaction {
    pub(super) async fn begin(mut tx: PooledConnection) -> Result<Self> {
        sqlx::raw_sql("BEGIN").execute(&mut *tx).await?;
        Ok(Self { tx, begun: true })
    }

    pub(super) fn autocommit(tx: PooledConnection) -> Self {
        Self { tx, begun: false }
    }

    pub(crate) async fn commit(self) -> Result<()> {
        self.end("COMMIT").await
    }

    /// Undoes what was done before this error.
    pub(crate) async fn undo(mut self, error: &StoreError) -> Result<()> {
        match error.verdict() {
            // Without a transaction there is nothing to undo, but it may be the connection that failed.
            Verdict::Ask if self.begun || self.tx.answers().await => self.end("ROLLBACK").await,
            Verdict::Ask | Verdict::Close => Ok(()),
            Verdict::CloseAll => {
                self.tx.condemn_all();
                Ok(())
            }
        }
    }

    async fn end(mut self, how: &'static str) -> Result<()> {
        if self.begun {
            sqlx::raw_sql(how).execute(&mut *self.tx).await?;
        }
        self.tx.finish();
        Ok(())
    }
}
