//! `hulak health`: whether a running role is ready, for the health checks of containers, whose image has no HTTP client.

use std::net::SocketAddr;

use clap::Args;
use hulak_runtime::settings::TelemetryArgs;
use hulak_service::health::ask_ready;

use crate::launch::Done;

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// The admin address of the role. The API's default is port 9090, the worker's 9091.
    #[arg(long, env = "HULAK_ADMIN_ADDR", default_value = "127.0.0.1:9090", hide_env_values = true)]
    admin_addr: SocketAddr,
    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,
}

pub(crate) async fn run(settings: &Settings) -> Done {
    Ok(ask_ready(settings.admin_addr).await?)
}
