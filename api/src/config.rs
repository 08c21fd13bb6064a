//! The API's own settings.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use hulak_common::phone::PhonePattern;
use hulak_runtime::host_guard::KnownHosts;
use hulak_runtime::settings::{CarrierArgs, some_duration};
use url::Url;

use crate::http::client_ip::TrustedProxies;
use crate::http::cors::CorsOrigins;

/// Addresses.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Addresses")]
pub struct AddressArgs {
    /// Where callers reach the API.
    #[arg(long, env = "HULAK_HTTP_ADDR", default_value = "127.0.0.1:8080", hide_env_values = true)]
    pub http_addr: SocketAddr,
    /// Where operators reach /healthz and /readyz.
    #[arg(long, env = "HULAK_ADMIN_ADDR", default_value = "127.0.0.1:9090", hide_env_values = true)]
    pub admin_addr: SocketAddr,
    /// Names that the console answers to besides its address, separated by commas: those of a reverse proxy.
    #[arg(long, env = "HULAK_ADMIN_HOSTS", default_value = "", hide_env_values = true)]
    pub admin_hosts: KnownHosts,
    /// The address that callers know this service by; http://HTTP_ADDR when not set.
    #[arg(long, env = "HULAK_PUBLIC_URL", hide_env_values = true, value_parser = public_url)]
    pub public_url: Option<Url>,
    /// Proxies whose X-Forwarded-For is believed: addresses and networks, separated by commas.
    #[arg(long, env = "HULAK_TRUSTED_PROXIES", default_value = "", hide_env_values = true)]
    pub trusted_proxies: TrustedProxies,
    /// Origins whose pages may call, separated by commas, or * for all; clients may have more of their own.
    #[arg(long, env = "HULAK_CORS_ORIGINS", default_value = "", hide_env_values = true)]
    pub cors_origins: CorsOrigins,
}

impl AddressArgs {
    /// The public address without a slash at its end; `bound` is where we listen.
    #[must_use]
    pub fn public_url(&self, bound: SocketAddr) -> String {
        let url = self.public_url.as_ref().map_or_else(|| format!("http://{bound}"), ToString::to_string);
        url.trim_end_matches('/').to_owned()
    }
}

/// What tokens name as their issuer, and what the addresses of problems begin with.
fn public_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let plain = url.username().is_empty() && url.query().is_none() && url.fragment().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && plain && url.password().is_none() {
        Ok(url)
    } else {
        Err("must be like https://verify.example.com, without a user, a query or a fragment".to_owned())
    }
}

/// Whether hosted pages are served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HostedPages {
    /// Not served.
    #[default]
    Off,
    /// Served for the pages that client applications create.
    On,
    /// As `On`, and a visitor without a page gets a demonstration. Only for a simulated gateway: with a real one
    /// strangers could send messages to any number.
    Demonstration {
        /// The address of the inbox with the demonstration's messages.
        inbox: String,
    },
}

impl HostedPages {
    /// The address of the inbox with the messages of demonstrations.
    pub(crate) fn inbox(&self) -> Option<&str> {
        match self {
            Self::Demonstration { inbox } => Some(inbox),
            Self::Off | Self::On => None,
        }
    }
}

/// The hosted page.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Hosted page")]
pub struct HostedArgs {
    /// Whether the hosted page is served at /verify: on or off. By default it is in one process, and is not elsewhere.
    #[arg(long, env = "HULAK_HOSTED_PAGE", hide_env_values = true, value_parser = switch)]
    pub hosted_page: Option<bool>,
}

impl HostedArgs {
    /// Whether it is served; `default` decides where nothing is set.
    #[must_use]
    pub fn pages(&self, default: bool) -> HostedPages {
        if self.hosted_page.unwrap_or(default) { HostedPages::On } else { HostedPages::Off }
    }
}

fn switch(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off"),
    }
}

/// When the API refuses work.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Load")]
pub struct LoadArgs {
    /// Requests are refused (503) while a message has waited longer than this for a worker.
    #[arg(long, env = "HULAK_MAX_BACKLOG_AGE", default_value = "60s", hide_env_values = true, value_parser = some_duration)]
    pub max_backlog_age: Duration,
}

/// Which numbers are served.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Numbers")]
pub struct NumberArgs {
    /// A regular expression on the ten national digits.
    #[arg(long, env = "HULAK_PHONE_PATTERN", default_value = r"^9[678]\d{8}$", hide_env_values = true)]
    pub phone_pattern: PhonePattern,
    /// Who issued which prefix.
    #[command(flatten)]
    pub carriers: CarrierArgs,
}
