//! `hulak migrate`: brings the database's schema up to date.

use clap::Args;

use crate::command::CommandArgs;
use crate::launch::Done;

#[derive(Debug, Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    pub(crate) common: CommandArgs,
}

pub(crate) async fn run(settings: &Settings) -> Done {
    settings
        .common
        .with_store(async |_| {
            tracing::info!("the schema is up to date");
            Ok(())
        })
        .await
}
