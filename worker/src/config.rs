//! The worker's own settings.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use hulak_runtime::settings::{Environment, SettingError, some_duration};

use crate::gateway::Gateway;
use crate::gateways::sparrow::{Sparrow, SparrowArgs, SparrowConfig};

/// How much longer a claim must hold than a call may take: the outcome is recorded after the call.
pub const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// The gateway, and how much is sent through it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Gateway")]
pub struct GatewayArgs {
    /// The account.
    #[command(flatten)]
    pub sparrow: SparrowArgs,
    /// How long a call may take.
    #[arg(long, env = "HULAK_GATEWAY_TIMEOUT", default_value = "10s", hide_env_values = true, value_parser = some_duration)]
    pub gateway_timeout: Duration,
    /// Messages a second for the whole account, shared out among the live workers.
    #[arg(long, env = "HULAK_GATEWAY_RATE", default_value = "50", hide_env_values = true, value_parser = rate)]
    pub gateway_rate: f64,
    /// Calls to the gateway at a time, in one worker.
    #[arg(long, env = "HULAK_GATEWAY_CONCURRENCY", default_value = "64", hide_env_values = true, value_parser = concurrency)]
    pub gateway_concurrency: u16,
}

/// Why there is no client for the gateway.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A setting is missing or wrong.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The TLS backend cannot be set up.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
}

/// Where the worker listens.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Addresses")]
pub struct AddressArgs {
    /// Where operators reach /healthz and /readyz.
    #[arg(long, env = "HULAK_ADMIN_ADDR", default_value = "127.0.0.1:9091", hide_env_values = true)]
    pub admin_addr: SocketAddr,
}

impl GatewayArgs {
    /// A client of the gateway that the settings name.
    ///
    /// # Errors
    /// When a setting is missing or wrong, the lease is too short for the timeout, or TLS cannot be set up.
    pub fn client(
        &self,
        environment: Environment,
        lease: Duration,
    ) -> Result<Arc<dyn Gateway>, GatewayError> {
        self.check(lease)?;
        let config = self.sparrow.config(environment, self.gateway_timeout, self.connections())?;
        Ok(Arc::new(Sparrow::new(config)?))
    }

    /// A client of the simulator at this address.
    ///
    /// # Errors
    /// When the lease is too short for the timeout, or TLS cannot be set up.
    pub fn simulated(
        &self,
        simulator: SocketAddr,
        lease: Duration,
    ) -> Result<Arc<dyn Gateway>, GatewayError> {
        self.check(lease)?;
        let config = SparrowConfig::simulated(simulator, self.gateway_timeout, self.connections())?;
        Ok(Arc::new(Sparrow::new(config)?))
    }

    fn check(&self, lease: Duration) -> Result<(), SettingError> {
        let least = self.gateway_timeout + LEASE_MARGIN;
        if lease >= least {
            return Ok(());
        }
        let problem = format!("must be at least {}s: HULAK_GATEWAY_TIMEOUT and 10s", least.as_secs());
        Err(SettingError::new("HULAK_CLAIM_LEASE", problem))
    }

    fn connections(&self) -> usize {
        usize::from(self.gateway_concurrency)
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("must be a number of messages a second, from 0.1 to 100000".to_owned()),
    }
}

fn concurrency(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(number) if (1..=10_000).contains(&number) => Ok(number),
        _ => Err("must be a whole number from 1 to 10000".to_owned()),
    }
}
