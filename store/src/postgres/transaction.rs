//! One transaction on PostgreSQL.

use super::pool::PooledConnection;
use crate::error::Result;

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

    pub(crate) async fn rollback(mut self) -> Result<()> {
        // Without a transaction there is nothing to undo, but it may be the connection that failed.
        if self.begun || self.tx.answers().await { self.end("ROLLBACK").await } else { Ok(()) }
    }

    async fn end(mut self, how: &'static str) -> Result<()> {
        if self.begun {
            sqlx::raw_sql(how).execute(&mut *self.tx).await?;
        }
        self.tx.finish();
        Ok(())
    }
}
