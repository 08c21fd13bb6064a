//! What the decisions need of a database: a transaction that locks, loads and saves rows.

use crate::error::{Result, StoreError};
use crate::postgres::{PgTransaction, Postgres};
use crate::sqlite::{Sqlite, SqliteTransaction};
use crate::tables::accounts::AccountsTable;
use crate::tables::allowances::AllowancesTable;
use crate::tables::answers::AnswersTable;
use crate::tables::bundles::Bundles;
use crate::tables::client_numbers::ClientNumbersTable;
use crate::tables::clients::ClientsTable;
use crate::tables::messages::MessagesTable;
use crate::tables::numbers::NumbersTable;
use crate::tables::pages::PagesTable;
use crate::tables::verifications::VerificationsTable;

/// One transaction. One that is dropped without [`Transaction::commit`] has changed nothing.
///
/// Locks are taken in one order everywhere, which is why no two transactions wait for each other in a circle: allowances,
/// numbers, clients' numbers, verifications, messages, accounts, groups, pages; within each, sorted by key or number. Every
/// `lock_…` sorts by itself.
pub(crate) trait Transaction:
    AccountsTable
    + AllowancesTable
    + AnswersTable
    + Bundles
    + ClientNumbersTable
    + ClientsTable
    + MessagesTable
    + NumbersTable
    + PagesTable
    + VerificationsTable
{
    /// Undoes it all because of this error, and makes the connection fit for the next transaction or closes it.
    fn undo(self, error: &StoreError) -> impl Future<Output = Result<()>> + Send;
    /// Makes it all true.
    fn commit(self) -> impl Future<Output = Result<()>> + Send;
}

/// Where transactions come from.
pub(crate) trait Backend: Sync {
    type Transaction: Transaction;

    /// Whether rows have versions, so that rows that are not locked can be written safely.
    const ROW_VERSIONS: bool;

    /// Opens a transaction that can lock and write.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction>> + Send;
    /// Opens one in which each statement is committed by itself.
    fn autocommit(&self) -> impl Future<Output = Result<Self::Transaction>> + Send;
}

macro_rules! backend {
    ($database:ty, $transaction:ty, row versions: $versions:literal) => {
        impl Transaction for $transaction {
            async fn undo(self, error: &StoreError) -> Result<()> {
                self.undo(error).await
            }

            async fn commit(self) -> Result<()> {
                self.commit().await
            }
        }

        impl Backend for $database {
            type Transaction = $transaction;
            const ROW_VERSIONS: bool = $versions;

            async fn begin(&self) -> Result<$transaction> {
                self.begin().await
            }

            async fn autocommit(&self) -> Result<$transaction> {
                self.autocommit().await
            }
        }
    };
}
// Inherent functions come first, so these call those of the databases.
backend!(Postgres, PgTransaction, row versions: true);
backend!(Sqlite, SqliteTransaction, row versions: false);
