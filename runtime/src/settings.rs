//! Settings: environment variables, the same names as flags, and secrets from the environment or a file only.

pub mod messages;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, Args, Command, CommandFactory, FromArgMatches};
use secrecy::{ExposeSecret as _, SecretString};

use crate::logging::LogFormat;
use hulak_common::api_key::ApiKey;
use hulak_common::code::{CodeLength, Keyring, Secret};
use hulak_common::limits::{MAX_QUOTA, NumberLimits};
use hulak_common::phone::Carriers;
use hulak_common::rate_limit::{Amount, Quota};
use hulak_common::rules::{AmbiguousPolicy, Quotas, Rules};
use hulak_common::test_numbers::TestNumbers;

/// What `--help` says about secrets, which have no flags: a command line is visible to every user of a machine.
pub const SECRETS_HELP: &str = "\
Secrets come from the environment, or from a file named by the same variable with _FILE at its end:
  HULAK_SECRET            base64 of at least 32 random bytes (openssl rand -base64 32)
  HULAK_SECRET_PREVIOUS   the secret before the last rotation
  HULAK_API_KEY           a key to install for the client `default` (hk_ and at least 24 URL-safe characters)
  HULAK_DATABASE_URL      postgres://user:password@host/database or sqlite:///path/to/file
  HULAK_BROKER_URL        amqp://user:password@host:5672/%2f, amqps://…
  HULAK_SPARROW_TOKEN     the account's token at the SMS gateway";

/// The variables that a program reads, in whichever role. Roles often share one environment, so a variable of another role
/// is no mistake.
#[derive(Debug)]
pub struct Variables(BTreeSet<String>);

impl Variables {
    /// Those of all flags of `program` and of its subcommands, and the secrets.
    #[must_use]
    pub fn of(program: &Command) -> Self {
        let secrets = SECRETS_HELP.split_whitespace().filter(|word| word.starts_with("HULAK_"));
        let mut names: BTreeSet<_> = secrets.map(str::to_owned).collect();
        let mut commands = vec![program];
        while let Some(command) = commands.pop() {
            let variables = command.get_arguments().filter_map(Arg::get_env);
            names.extend(variables.map(|name| name.to_string_lossy().into_owned()));
            commands.extend(command.get_subcommands());
        }
        Self(names)
    }

    /// Variables of the environment that begin with `HULAK_` and that no role reads: most likely misspelt.
    pub fn unknown(&self) -> impl Iterator<Item = String> {
        std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .filter(|name| name.starts_with("HULAK_") && !self.has(name))
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(name) || self.0.contains(name.strip_suffix("_FILE").unwrap_or(name))
    }
}

/// A setting with a value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct SettingError {
    /// The environment variable.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl SettingError {
    /// A bad value of `name`.
    pub fn new(name: &str, reason: impl ToString) -> Self {
        Self { name: name.to_owned(), reason: reason.to_string() }
    }
}

/// Where settings come from; tests pass their own.
#[derive(Debug, Clone, Copy)]
pub struct Environment(fn(&str) -> Option<OsString>);

impl Environment {
    /// The process's own.
    #[must_use]
    pub fn process() -> Self {
        Self(|name| std::env::var_os(name))
    }

    /// A secret from `name`, or from the file that `name_FILE` names. Empty counts as not set.
    ///
    /// # Errors
    /// When both are set, the file cannot be read, or it is not UTF-8.
    pub fn secret(&self, name: &str) -> Result<Option<SecretString>, SettingError> {
        let file_name = format!("{name}_FILE");
        let (value, file) = ((self.0)(name), (self.0)(&file_name));
        let value = value.filter(|value| !value.is_empty());
        match (value, file.filter(|file| !file.is_empty())) {
            (Some(_), Some(_)) => {
                Err(SettingError::new(name, format!("set {name} or {file_name}, not both")))
            }
            (Some(value), None) => {
                let text = value.into_string().map_err(|_| SettingError::new(name, "must be UTF-8"))?;
                Ok(Some(text.into()))
            }
            (None, Some(file)) => {
                let text = std::fs::read_to_string(&file)
                    .map_err(|error| SettingError::new(&file_name, format!("{}: {error}", file.display())))?;
                // Some editors write a byte order mark, which is no space.
                Ok(Some(text.trim_start_matches('\u{FEFF}').trim().to_owned().into()))
            }
            (None, None) => Ok(None),
        }
    }

    /// How a shell with the same settings reads this secret.
    #[must_use]
    pub fn in_shell(&self, name: &str) -> String {
        let file = format!("{name}_FILE");
        let given = (self.0)(&file).is_some_and(|value| !value.is_empty());
        if given { format!("$(cat \"${file}\")") } else { format!("${name}") }
    }

    /// A secret that is required.
    ///
    /// # Errors
    /// When it is not set or cannot be read.
    pub fn required_secret(&self, name: &str, hint: &str) -> Result<SecretString, SettingError> {
        self.secret(name)?.ok_or_else(|| SettingError::new(name, format!("is not set: {hint}")))
    }

    /// The keys derived from `HULAK_SECRET` and `HULAK_SECRET_PREVIOUS`.
    ///
    /// # Errors
    /// When the first is not set, or one of them cannot be used.
    pub fn keyring(&self) -> Result<Keyring, SettingError> {
        self.keyring_or(|| {
            Err(SettingError::new("HULAK_SECRET", "is not set: make one with: openssl rand -base64 32"))
        })
    }

    /// The same, with `kept` in place of `HULAK_SECRET` when that is not set.
    ///
    /// # Errors
    /// When one of them cannot be used, or `kept` fails.
    pub fn keyring_or<E: From<SettingError>>(
        &self,
        kept: impl FnOnce() -> Result<Secret, E>,
    ) -> Result<Keyring, E> {
        let read = |name: &str| {
            let secret = |value: SecretString| {
                Secret::from_base64(value.expose_secret()).map_err(|error| SettingError::new(name, error))
            };
            self.secret(name)?.map(secret).transpose()
        };
        let current = read("HULAK_SECRET")?.map_or_else(kept, Ok)?;
        Ok(Keyring::new(current, read("HULAK_SECRET_PREVIOUS")?))
    }

    /// `HULAK_API_KEY`: the key to install for the client `default`.
    ///
    /// # Errors
    /// When it cannot be used, an operator's key included.
    pub fn api_key(&self) -> Result<Option<ApiKey>, SettingError> {
        let bad = |reason: String| SettingError::new("HULAK_API_KEY", reason);
        let Some(text) = self.secret("HULAK_API_KEY")? else { return Ok(None) };
        let key = ApiKey::parse(text.expose_secret()).map_err(|error| bad(error.to_string()))?;
        if key.is_operator() {
            return Err(bad(
                "is an operator's key (ho_…): callers of the API need one of a client (hk_…)".into()
            ));
        }
        Ok(Some(key))
    }
}

/// Reads the command line and the environment. Help and version are printed; a bad value ends the process with exit code
/// 2 and one line that names it.
#[must_use]
pub fn parse<T: CommandFactory + FromArgMatches>(variables: &Variables) -> T {
    // Files that the program writes are for its own user only.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let parsed = T::command().try_get_matches().and_then(|matches| T::from_arg_matches(&matches));
    match parsed {
        Ok(parsed) => parsed,
        Err(error) if prints_help(error.kind()) => error.exit(),
        Err(error) => fail(&explain(&error, variables)),
    }
}

fn prints_help(kind: ErrorKind) -> bool {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    matches!(kind, DisplayHelp | DisplayHelpOnMissingArgumentOrSubcommand | DisplayVersion)
}

/// Ends the process with one line on stderr.
pub fn fail(reason: &dyn std::fmt::Display) -> ! {
    crate::logging::flush();
    let program = std::env::args_os().next().map(std::path::PathBuf::from);
    let program = program.as_deref().and_then(std::path::Path::file_name).unwrap_or_default();
    eprintln!("{}: {reason}", program.display());
    std::process::exit(2);
}

/// One line in place of clap's several.
fn explain(error: &clap::Error, variables: &Variables) -> String {
    let context = |kind| error.get(kind).map(ToString::to_string);
    let flag = context(ContextKind::InvalidArg);
    let Some(name) = flag.as_deref().and_then(|flag| flag.strip_prefix("--")) else {
        if let (ErrorKind::MissingRequiredArgument, Some(name)) = (error.kind(), flag) {
            return format!("{name} is not given");
        }
        return error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    };
    let word = name.split([' ', '=']).next().unwrap_or_default();
    let name = word.to_uppercase().replace('-', "_");
    let reason = match error.kind() {
        ErrorKind::UnknownArgument => return format!("there is no flag {}", flag.unwrap_or_default()),
        ErrorKind::ArgumentConflict => return format!("{} is given twice", flag.unwrap_or_default()),
        ErrorKind::MissingRequiredArgument => "is not set".to_owned(),
        _ => {
            let value = context(ContextKind::InvalidValue).unwrap_or_default();
            let valid = context(ContextKind::ValidValue).map(|valid| format!("must be one of {valid}"));
            let source = std::error::Error::source(error).map(ToString::to_string);
            let why = source.or(valid).unwrap_or_else(|| "is not valid".to_owned());
            // An address may hold a password, and test numbers come with their codes: neither is repeated.
            let secret = ["_URL", "_ENDPOINT"].iter().any(|end| name.ends_with(end));
            if secret || name == "TEST_NUMBERS" { why } else { format!("{value:?}: {why}") }
        }
    };
    match [format!("HULAK_{name}"), name].into_iter().find(|variable| variables.has(variable)) {
        Some(variable) => format!("{variable}: {reason}"),
        // A flag of a command, such as `keys create --client`, is no setting and has no variable.
        None => format!("--{word}: {reason}"),
    }
}

/// Reads `30s`, `5m`, `1h 30m`.
///
/// # Errors
/// When it is not a duration, or negative.
pub fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.trim().parse().map_err(|_| "write a duration like 30s or 5m".to_owned())?;
    Duration::try_from(span).map_err(|_| "must not be negative".to_owned())
}

/// A duration that is not zero.
///
/// # Errors
/// As [`duration`], and for zero.
pub fn some_duration(text: &str) -> Result<Duration, String> {
    duration(text)
        .and_then(|span| if span.is_zero() { Err("must be longer than zero".into()) } else { Ok(span) })
}

/// An address of the database or the broker on the command line, where every user of the machine would see a password.
///
/// # Errors
/// When it is no URL or has a password.
pub fn public_url(text: &str) -> Result<String, String> {
    if text == "memory" {
        return Ok(text.to_owned());
    }
    let url = url::Url::parse(text).map_err(|error| error.to_string())?;
    if url.password().is_some() {
        return Err(
            "a command line is visible to others: pass an address with a password by environment or file"
                .into(),
        );
    }
    Ok(text.to_owned())
}

fn bounded(text: &str, max: u32) -> Result<u32, String> {
    match text.parse() {
        Ok(number) if (1..=max).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from 1 to {max}")),
    }
}

fn quota(text: &str) -> Result<u32, String> {
    bounded(text, MAX_QUOTA)
}

fn checks(text: &str) -> Result<u32, String> {
    bounded(text, 100)
}

/// Logging.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct TelemetryArgs {
    /// What is logged, for instance `info` or `info,hulak_worker=debug`.
    #[arg(long, env = "HULAK_LOG", default_value = "info,lapin=off", hide_env_values = true)]
    pub log: String,
    /// How log lines look.
    #[arg(long, env = "HULAK_LOG_FORMAT", default_value = "text", hide_env_values = true,
        value_parser = PossibleValuesParser::new(["text", "json"]))]
    pub log_format: String,
    /// Where traces are collected (OTLP over HTTP), for instance http://127.0.0.1:4318; nowhere when not set.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true)]
    pub otel_exporter_otlp_endpoint: Option<url::Url>,
    /// Which share of the requests' traces is collected, 0 to 1; a caller whose trace is not sampled is left out.
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value = "1", hide_env_values = true, value_parser = share)]
    pub otel_traces_sampler_arg: f64,
}

impl TelemetryArgs {
    /// Starts logging, and warns about variables that no role reads.
    ///
    /// # Errors
    /// When the filter cannot be read.
    pub fn init(&self, variables: &Variables) -> Result<(), SettingError> {
        let format = self.log_format.parse().unwrap_or(LogFormat::Text);
        crate::logging::init(&self.log, format).map_err(|reason| SettingError::new("HULAK_LOG", reason))?;
        for name in variables.unknown() {
            tracing::warn!("unknown setting {name}: is it misspelt?");
        }
        Ok(())
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}

/// Numbers, codes and limits: the rules of the API and the workers.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Codes and limits")]
pub struct RulesArgs {
    /// Digits of a code, 4 to 10.
    #[arg(long, env = "HULAK_CODE_LENGTH", default_value = "6", hide_env_values = true)]
    pub code_length: CodeLength,
    /// How long a code lives after its message was asked for.
    #[arg(long, env = "HULAK_CODE_TTL", default_value = "5m", hide_env_values = true, value_parser = some_duration)]
    pub code_ttl: Duration,
    /// Wrong codes after which a verification fails.
    #[arg(long, env = "HULAK_MAX_CHECKS", default_value = "5", hide_env_values = true, value_parser = checks)]
    pub max_checks: u32,
    /// Wrong codes after which a client's number is refused for 24 hours, over all its verifications.
    #[arg(long, env = "HULAK_NUMBER_MAX_FAILED_CHECKS", default_value = "20", hide_env_values = true, value_parser = quota)]
    pub number_max_failed_checks: u32,
    /// The least time between two messages to one number; 0s turns the pace off.
    #[arg(long, env = "HULAK_RESEND_COOLDOWN", default_value = "30s", hide_env_values = true, value_parser = duration)]
    pub resend_cooldown: Duration,
    /// Messages to one number in any hour.
    #[arg(long, env = "HULAK_NUMBER_HOURLY", default_value = "5", hide_env_values = true, value_parser = quota)]
    pub number_hourly: u32,
    /// Messages to one number in any 24 hours.
    #[arg(long, env = "HULAK_NUMBER_DAILY", default_value = "10", hide_env_values = true, value_parser = quota)]
    pub number_daily: u32,
    /// Codes that one client application may ask for in a second, or off.
    #[arg(long, env = "HULAK_CLIENT_RATE", default_value = "off", hide_env_values = true)]
    pub client_rate: Amount,
    /// Codes that may be asked for in an hour from one address (`end_user_ip`; IPv6 by /64), or off.
    #[arg(long, env = "HULAK_ADDRESS_HOURLY", default_value = "off", hide_env_values = true)]
    pub address_hourly: Amount,
    /// Numbers with a fixed code, to which nothing is sent: +977…=123456, separated by commas.
    #[arg(long, env = "HULAK_TEST_NUMBERS", default_value = "", hide_env_values = true)]
    pub test_numbers: TestNumbers,
    /// What the worker does about a send with an unknown outcome: resend-once or never.
    #[arg(long, env = "HULAK_AMBIGUOUS", default_value = "resend-once", hide_env_values = true)]
    pub ambiguous: AmbiguousPolicy,
    /// How long a worker may hold a message; at least the gateway timeout and 10s.
    #[arg(long, env = "HULAK_CLAIM_LEASE", default_value = "30s", hide_env_values = true, value_parser = some_duration)]
    pub claim_lease: Duration,
}

impl RulesArgs {
    /// The rules, with the keys that codes are derived from.
    #[must_use]
    pub fn rules(&self, keyring: Keyring) -> Rules {
        Rules {
            limits: NumberLimits {
                cooldown: self.resend_cooldown.into(),
                hourly: self.number_hourly,
                daily: self.number_daily,
            },
            code_ttl: self.code_ttl,
            code_length: self.code_length,
            max_checks: self.max_checks,
            number_max_failed_checks: self.number_max_failed_checks,
            ambiguous: self.ambiguous,
            claim_lease: self.claim_lease,
            keyring,
            test_numbers: self.test_numbers.clone(),
            quotas: Quotas {
                client: self.client_rate.0.map(Quota::client),
                address: self.address_hourly.0.map(Quota::address),
            },
        }
    }
}

/// Which carrier issued which prefix.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Numbers")]
pub struct CarrierArgs {
    /// A file with the carriers' prefixes, in place of the built-in table.
    #[arg(long, env = "HULAK_OPERATORS_FILE", hide_env_values = true)]
    pub operators_file: Option<PathBuf>,
}

impl CarrierArgs {
    /// The carriers' prefixes.
    ///
    /// # Errors
    /// When the file cannot be read or used.
    pub fn carriers(&self) -> Result<Carriers, SettingError> {
        let Some(path) = &self.operators_file else { return Ok(Carriers::builtin()) };
        let bad = |reason: &dyn std::fmt::Display| {
            SettingError::new("HULAK_OPERATORS_FILE", format!("{}: {reason}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| bad(&error))?;
        Carriers::parse(&text).map_err(|error| bad(&error))
    }
}

/// Where the database is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database and broker")]
pub struct DatabaseArgs {
    /// The database's address, when it has no password (else HULAK_DATABASE_URL).
    #[arg(long, value_parser = public_url)]
    pub database_url: Option<String>,
}

impl DatabaseArgs {
    /// The database's address.
    ///
    /// # Errors
    /// When neither the flag nor the environment gives one.
    pub fn url(&self, environment: Environment) -> Result<SecretString, SettingError> {
        let hint = "for instance postgres://hulak:password@127.0.0.1/hulak";
        match &self.database_url {
            Some(url) => Ok(url.clone().into()),
            None => environment.required_secret("HULAK_DATABASE_URL", hint),
        }
    }
}

/// Where the broker is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database and broker")]
pub struct BrokerArgs {
    /// The broker's address, when it has no password (else HULAK_BROKER_URL).
    #[arg(long, value_parser = public_url)]
    pub broker_url: Option<String>,
}

impl BrokerArgs {
    /// The broker's address.
    ///
    /// # Errors
    /// When neither the flag nor the environment gives one.
    pub fn url(&self, environment: Environment) -> Result<SecretString, SettingError> {
        let hint = "for instance amqp://hulak:password@127.0.0.1:5672/%2f";
        match &self.broker_url {
            Some(url) => Ok(url.clone().into()),
            None => environment.required_secret("HULAK_BROKER_URL", hint),
        }
    }
}

/// Opens a listening socket; its error names the setting to change.
///
/// # Errors
/// When the address is taken, or not an address of this machine.
pub async fn bind(name: &str, address: SocketAddr) -> Result<tokio::net::TcpListener, SettingError> {
    tokio::net::TcpListener::bind(address)
        .await
        .map_err(|error| SettingError::new(name, format!("cannot listen on {address}: {error}")))
}

#[cfg(test)]
mod tests;
