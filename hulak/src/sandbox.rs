//! The simulator as a program.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Parser;
use hulak_common::clock::DatabaseClock;
use hulak_common::rng::Rng;
use hulak_runtime::settings::{TelemetryArgs, bind, fail, parse};
use hulak_runtime::shutdown::Shutdown;
use hulak_sandbox::{Sandbox, SandboxConfig, run};

/// A simulator of the Sparrow SMS gateway, with an inbox and faults on demand.
#[derive(Debug, Parser)]
#[command(name = "hulak-sandbox", version)]
struct Settings {
    /// Where it listens
    #[arg(
        long,
        hide_env_values = true,
        env = "HULAK_SANDBOX_ADDR",
        value_name = "HULAK_SANDBOX_ADDR",
        default_value = "127.0.0.1:8081"
    )]
    sandbox_addr: SocketAddr,
    /// Credits on the simulated account
    #[arg(
        long,
        hide_env_values = true,
        env = "HULAK_SANDBOX_CREDITS",
        value_name = "HULAK_SANDBOX_CREDITS",
        default_value = "1000000"
    )]
    sandbox_credits: u64,
    /// Host names, separated by commas, under which the pages may be visited besides the loopback ones
    #[arg(
        long,
        hide_env_values = true,
        env = "HULAK_SANDBOX_HOSTS",
        value_name = "HULAK_SANDBOX_HOSTS",
        value_delimiter = ','
    )]
    sandbox_hosts: Vec<String>,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

fn main() {
    let settings: Settings = parse();
    if let Err(error) = settings.telemetry.init() {
        fail(&error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => fail(&error),
    };
    if let Err(error) = runtime.block_on(start(settings)) {
        fail(&error);
    }
    hulak_runtime::logging::flush();
}

async fn start(settings: Settings) -> Result<(), Box<dyn std::error::Error>> {
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let listener = bind("HULAK_SANDBOX_ADDR", settings.sandbox_addr).await?;
    let config = SandboxConfig {
        credits: settings.sandbox_credits,
        allowed_hosts: settings.sandbox_hosts,
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::new(config, Arc::new(DatabaseClock::new()), Rng::system());
    println!("SMS simulator: http://{}/inbox", listener.local_addr()?);
    Ok(run(listener, sandbox, shutdown).await?)
}
