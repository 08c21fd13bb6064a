//! What the commands on the database share.

use std::io::Write as _;

use clap::Args;
use hulak_common::audit::{Act, AuditEntry};
use hulak_common::code::{Keyring, Secret};
use hulak_common::rng::Rng;
use hulak_runtime::settings::{DatabaseArgs, Environment, RulesArgs, SECRETS_HELP, TelemetryArgs};
use hulak_service::connect;
use hulak_store::Store;

use crate::launch::{Done, Failure};

/// The settings of a command on the database.
#[derive(Debug, Args)]
#[command(after_help = SECRETS_HELP)]
pub(crate) struct CommandArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,
}

impl CommandArgs {
    /// Opens the database for one command. As any start does, it first brings the schema up to date, so that there are
    /// tables to look into.
    pub(crate) async fn with_store(&self, work: impl AsyncFnOnce(&Store) -> Done) -> Done {
        let url = self.database.url(Environment::process())?;
        // A command derives nothing, so the operator need not know the secret.
        let keyring = Keyring::new(Secret::from_bytes(Rng::system().bytes::<32>().to_vec())?, None);
        let store = connect::store(&url, self.rules.rules(keyring), 1, "hulak-command")?;
        let done = async {
            store.migrate().await?;
            work(&store).await
        };
        let done = done.await;
        store.close().await;
        done
    }
}

/// Writes what a command is about to do to the audit log, where the console shows it. When this fails, it must not be done.
pub(crate) async fn record(store: &Store, act: Act, what: String) -> Result<(), Failure> {
    let (at, rng) = (store.time().await?, Rng::system());
    let who = "command line".to_owned();
    let entry = AuditEntry { id: rng.uuid_v7(at), at, who, key_prefix: String::new(), act, what };
    Ok(store.audit(&entry).await?)
}

/// All of it at once: a reader that goes away in the middle is an error, not a panic.
pub(crate) fn print(text: &str) -> Done {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| format!("cannot write the answer: {error}").into())
}
