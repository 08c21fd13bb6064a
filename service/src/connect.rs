//! Opens the database and the broker that the settings name. It does not wait for them: both may be absent at the start.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use hulak_broker::{AmqpBroker, Broker, Topology};
use hulak_common::rng::Rng;
use hulak_common::rules::Rules;
use hulak_runtime::settings::SettingError;
use hulak_store::Store;

/// Refuses an address whose user name or password holds a `/`, `?` or `#` as it is: such a character ends the part before it, so
/// that the address would be read as one with another host (RFC 3986, section 3.2).
fn require_encoded_password(url: &str) -> Result<(), &'static str> {
    let (_, rest) = url.split_once("://").unwrap_or_default();
    let (authority, beyond) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port.trim_end_matches(']'));
    let odd_port = !port.bytes().all(|byte| byte.is_ascii_hexdigit());
    // A parameter may well have an `@`.
    let path = beyond.split('?').next().unwrap_or_default();
    if !authority.contains('@') && (path.contains('@') || odd_port && beyond.contains('@')) {
        return Err(
            "the password is not encoded: write / as %2F, ? as %3F, # as %23, @ as %40, : as %3A and % as %25",
        );
    }
    Ok(())
}

/// The database at `url`.
///
/// # Errors
/// When the address cannot be used.
pub fn store(
    url: &SecretString,
    rules: Rules,
    connections: u32,
    application: &str,
) -> Result<Arc<Store>, SettingError> {
    let bad = |reason: &dyn std::fmt::Display| SettingError::new("HULAK_DATABASE_URL", reason);
    let text = url.expose_secret();
    if let Some(path) = text.strip_prefix("sqlite://") {
        return Ok(Arc::new(Store::sqlite(path.as_ref(), rules).map_err(|error| bad(&error))?));
    }
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        require_encoded_password(text).map_err(|error| bad(&error))?;
        let store = Store::postgres(url, connections, application, rules);
        return Ok(Arc::new(store.map_err(|error| bad(&error))?));
    }
    Err(bad(&"must begin with postgres:// or sqlite://"))
}

/// The broker at `url`.
///
/// # Errors
/// When the address cannot be used, or is `memory`, which joins the parts of one process only.
pub fn broker(url: &SecretString, rng: Rng) -> Result<Arc<dyn Broker>, SettingError> {
    let bad = |reason: &dyn std::fmt::Display| SettingError::new("HULAK_BROKER_URL", reason);
    let text = url.expose_secret();
    if text == "memory" {
        return Err(bad(
            &"`memory` joins the parts of one process (run `hulak`); programs of their own need amqp://",
        ));
    }
    if !text.starts_with("amqp://") && !text.starts_with("amqps://") {
        return Err(bad(&"must begin with amqp:// or amqps://"));
    }
    require_encoded_password(text).map_err(|error| bad(&error))?;
    let broker = AmqpBroker::connect(url.clone(), Topology::default(), rng).map_err(|error| bad(&error))?;
    Ok(broker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_is_not_encoded_is_told() {
        for wrong in [
            "postgres://u:pa/ss@h/db",
            "postgres://u:12/ss@h/db",
            "amqp://u:p#s@h",
            "amqp://u:p?s@h:5672/%2f",
        ] {
            assert!(require_encoded_password(wrong).is_err(), "{wrong}");
        }
        for right in [
            "postgres://u:p%2Fs@h:5432/db?application_name=a@b",
            "postgres://h/db?user=a@b",
            "postgres://h?user=a@b&password=x/y",
            "postgres://[::1]:5432/db",
            "postgres:///db",
            "amqp://u:p@ss@h:5672/%2f",
            "amqps://h",
        ] {
            assert_eq!(require_encoded_password(right), Ok(()), "{right}");
        }
    }
}
