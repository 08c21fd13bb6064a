//! The tasks of one command.

use std::cell::RefCell;

use tokio::task::JoinHandle;

use crate::error::BenchError;

/// Tasks on this thread that end with their command.
#[derive(Debug, Default)]
pub(super) struct Tasks(RefCell<Vec<JoinHandle<()>>>);

impl Tasks {
    /// Starts a task.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        self.0.borrow_mut().push(tokio::task::spawn_local(work));
    }

    /// Waits for all of them.
    pub(super) async fn join(self) -> Result<(), BenchError> {
        for task in self.0.take() {
            task.await.map_err(|error| BenchError::Setup(format!("a task of the load panicked: {error}")))?;
        }
        Ok(())
    }
}
