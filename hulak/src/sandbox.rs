//! `hulak sandbox`: the gateway's simulator as a process of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use hulak_common::clock::DatabaseClock;
use hulak_common::rng::Rng;
use hulak_runtime::settings::{TelemetryArgs, bind};
use hulak_runtime::shutdown::Shutdown;
use hulak_sandbox::{Sandbox, SandboxConfig};

use crate::launch::Done;

#[derive(Debug, Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    address: SandboxArgs,
    /// Credits on the simulated account.
    #[arg(long, env = "HULAK_SANDBOX_CREDITS", default_value = "1000000", hide_env_values = true)]
    sandbox_credits: u64,
    /// Host names, separated by commas, under which the pages may be visited besides the loopback ones.
    #[arg(long, env = "HULAK_SANDBOX_HOSTS", value_delimiter = ',', hide_env_values = true)]
    sandbox_hosts: Vec<String>,
    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,
}

/// The simulator's address, in both shapes.
#[derive(Debug, Args)]
pub(crate) struct SandboxArgs {
    /// Where the SMS simulator and its inbox are reached.
    #[arg(long, env = "HULAK_SANDBOX_ADDR", default_value = "127.0.0.1:8081", hide_env_values = true)]
    pub(crate) sandbox_addr: SocketAddr,
}

pub(crate) async fn run(settings: &Settings) -> Done {
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let listener = bind("HULAK_SANDBOX_ADDR", settings.address.sandbox_addr).await?;
    let config = SandboxConfig {
        credits: settings.sandbox_credits,
        allowed_hosts: settings.sandbox_hosts.clone(),
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::new(config, Arc::new(DatabaseClock::new()), Rng::system());
    println!("SMS simulator: http://{}/inbox", listener.local_addr()?);
    Ok(hulak_sandbox::run(listener, sandbox, shutdown).await?)
}
