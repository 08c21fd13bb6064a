//! `hulak dead`: the dead letters.

use std::time::Duration;

use clap::{Args, Subcommand};
use hulak_broker::BrokerHealth;
use hulak_common::rng::Rng;
use hulak_runtime::settings::{BrokerArgs, Environment, SECRETS_HELP, TelemetryArgs};
use hulak_service::connect;

use crate::launch::Done;

/// How long a command waits for the broker.
const CONNECT: Duration = Duration::from_secs(10);
/// How many dead letters `list` shows.
const PEEK: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = SECRETS_HELP)]
pub(crate) struct Settings {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Action {
    /// Print how many there are, and the oldest of them.
    List,
    /// Delete them. No message is lost: the relay publishes what has not been sent.
    Purge,
}

pub(crate) async fn run(settings: &Settings) -> Done {
    let broker = connect::broker(&settings.broker.url(Environment::process())?, Rng::system())?;
    let mut health = broker.health();
    tokio::time::timeout(CONNECT, health.wait_for(|health| *health != BrokerHealth::Down))
        .await
        .map_err(|_| "the broker does not answer")??;
    match settings.action {
        Action::List => {
            println!("{} dead letters", broker.dead_count().await?);
            for letter in broker.peek_dead(PEEK).await? {
                let died_at = letter.died_at.map_or("-".to_owned(), |at| at.to_string());
                println!("{died_at}\t{}\t{}", letter.reason, letter.payload.escape_debug());
            }
        }
        Action::Purge => println!("{} dead letters thrown away", broker.purge_dead().await?),
    }
    broker.close().await;
    Ok(())
}
