//! The worker's own settings.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use hulak_runtime::settings::{Environment, SettingError, some_duration};
use url::Url;

use crate::gateways::sparrow::SparrowConfig;

/// A claim has to outlast the call made under it, and the writing down after it.
pub const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// The gateway, and what is sent through it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Gateway")]
pub struct GatewayArgs {
    /// The gateway's base address.
    #[arg(long, env = "HULAK_SPARROW_URL", hide_env_values = true)]
    pub sparrow_url: Option<Url>,
    /// The sender identity given by the gateway.
    #[arg(long, env = "HULAK_SPARROW_FROM", hide_env_values = true)]
    pub sparrow_from: Option<String>,
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

/// Where the worker listens.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Addresses")]
pub struct AddressArgs {
    /// Where operators reach /healthz and /readyz.
    #[arg(long, env = "HULAK_ADMIN_ADDR", default_value = "127.0.0.1:9091", hide_env_values = true)]
    pub admin_addr: SocketAddr,
}

/// The gateway's address unless another one is set.
const SPARROW: &str = "https://api.sparrowsms.com/v2";

impl GatewayArgs {
    /// The gateway as the settings have it.
    ///
    /// # Errors
    /// When the token or the sender is missing, the address is no http address, or the lease is too short for the timeout.
    pub fn sparrow(&self, environment: Environment, lease: Duration) -> Result<SparrowConfig, SettingError> {
        let token =
            environment.required_secret("HULAK_SPARROW_TOKEN", "the account's token at the SMS gateway")?;
        let from = self.sparrow_from.clone().filter(|from| !from.is_empty());
        let from = from.ok_or_else(|| {
            SettingError::new("HULAK_SPARROW_FROM", "is not set: the sender identity given by the gateway")
        })?;
        self.with_credentials(token, from, lease)
    }

    /// The gateway with these credentials.
    ///
    /// # Errors
    /// When the address is no http address, or the lease is too short for the timeout.
    pub fn with_credentials(
        &self,
        token: secrecy::SecretString,
        from: String,
        lease: Duration,
    ) -> Result<SparrowConfig, SettingError> {
        if lease < self.gateway_timeout + LEASE_MARGIN {
            let least = self.gateway_timeout + LEASE_MARGIN;
            return Err(SettingError::new(
                "HULAK_CLAIM_LEASE",
                format!("must be at least {}s: HULAK_GATEWAY_TIMEOUT and 10s", least.as_secs()),
            ));
        }
        let base = match &self.sparrow_url {
            Some(url) => url.clone(),
            None => Url::parse(SPARROW).map_err(|error| SettingError::new("HULAK_SPARROW_URL", error))?,
        };
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(SettingError::new("HULAK_SPARROW_URL", "must begin with https:// (or http://)"));
        }
        Ok(SparrowConfig {
            base,
            token,
            from,
            timeout: self.gateway_timeout,
            connections: usize::from(self.gateway_concurrency),
        })
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
