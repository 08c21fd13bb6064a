//! The simulator as a program.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use hulak_common::clock::DatabaseClock;
use hulak_common::rng::Rng;
use hulak_common::shutdown::Shutdown;
use hulak_sandbox::{Sandbox, SandboxConfig, run};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

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
    /// What is logged
    #[arg(
        long,
        hide_env_values = true,
        env = "HULAK_LOG",
        value_name = "HULAK_LOG",
        default_value = "info",
        value_parser = filter
    )]
    log: EnvFilter,
}

/// By way of its `From` a filter would pass over what it cannot read.
fn filter(directives: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::try_new(directives)
}

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match Settings::try_parse() {
        Ok(settings) => settings,
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            // The first line says it all; the rest is advice.
            let error = error.to_string();
            return failure(error.lines().next().unwrap_or("bad settings"));
        }
    };
    match start(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&format!("error: {error}")),
    }
}

fn failure(line: &str) -> ExitCode {
    eprintln!("{line}");
    ExitCode::FAILURE
}

async fn start(settings: Settings) -> std::io::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(settings.log)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let addr = settings.sandbox_addr;
    let listener = TcpListener::bind(addr).await.map_err(|error| {
        std::io::Error::new(error.kind(), format!("HULAK_SANDBOX_ADDR {addr} cannot be listened on: {error}"))
    })?;
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let config = SandboxConfig {
        credits: settings.sandbox_credits,
        allowed_hosts: settings.sandbox_hosts,
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::new(config, Arc::new(DatabaseClock::new()), Rng::system());
    println!("SMS simulator: http://{}/inbox", listener.local_addr()?);
    run(listener, sandbox, shutdown).await
}
