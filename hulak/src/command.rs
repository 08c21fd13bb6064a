//! What operators do on the command line: keys, and what is set for client applications.

pub mod clients;
pub mod keys;

use std::io::Write as _;

use hulak_common::rng::Rng;
use hulak_common::sms_template::Templates;
use hulak_store::{Store, StoreError};

pub use clients::ClientsCommand;
pub use keys::KeysCommand;

/// Why a command could not be carried out, in one line for a person.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was asked for what cannot be done.
    #[error("{0}")]
    Refused(String),
    /// What was to be shown could not be written.
    #[error("cannot write the answer: {0}")]
    Output(#[from] std::io::Error),
}

impl CommandError {
    fn refused(reason: impl Into<String>) -> Self {
        Self::Refused(reason.into())
    }
}

type Done = Result<(), CommandError>;

/// Creates, lists and revokes keys.
///
/// # Errors
/// See [`CommandError`].
pub async fn keys(store: &dyn Store, rng: &Rng, command: &KeysCommand) -> Done {
    // As any start does, so that there are tables to look into.
    store.migrate().await?;
    match command {
        KeysCommand::Create { client, operator } => keys::create(store, rng, client, *operator).await,
        KeysCommand::List => keys::list(store).await,
        KeysCommand::Revoke { prefix } => keys::revoke(store, prefix).await,
    }
}

/// Lists client applications, and changes what is set for one.
///
/// # Errors
/// See [`CommandError`].
pub async fn clients(store: &dyn Store, templates: &Templates, command: &ClientsCommand) -> Done {
    store.migrate().await?;
    match command {
        ClientsCommand::List => clients::list(store).await,
        ClientsCommand::Set(set) => clients::set(store, templates, set).await,
    }
}

/// All of it at once: a reader that goes away in the middle is an error, not a panic.
fn print(text: &str) -> Done {
    let mut out = std::io::stdout().lock();
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush())?)
}
