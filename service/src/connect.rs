//! Opens the database and the broker that the settings name. It does not wait for them: both may be absent at the start.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use hulak_broker::{AmqpBroker, Broker, Topology};
use hulak_common::rng::Rng;
use hulak_common::rules::Rules;
use hulak_runtime::settings::SettingError;
use hulak_store::Store;

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
    let broker = AmqpBroker::connect(url.clone(), Topology::default(), rng).map_err(|error| bad(&error))?;
    Ok(broker)
}
