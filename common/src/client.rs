//! Client applications: their settings, and their keys as operators see them.

use uuid::Uuid;

use crate::origin::{Origin, RedirectUri};
use crate::rate_limit::{Amount, Quota};
use crate::rules::Quotas;
use crate::time::Timestamp;

/// The settings of one client application. The program's settings hold for those that are not set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// The name in its messages, in place of `HULAK_APP_NAME`.
    pub app_name: Option<String>,
    /// The origins whose pages may call, besides `HULAK_CORS_ORIGINS`.
    pub cors_origins: Option<Vec<Origin>>,
    /// Where the hosted page may send a browser back to.
    pub redirect_uris: Option<Vec<RedirectUri>>,
    /// Codes a second, in place of `HULAK_CLIENT_RATE`.
    pub rate: Option<Amount>,
    /// Codes an hour for one address, in place of `HULAK_ADDRESS_HOURLY`.
    pub address_hourly: Option<Amount>,
}

impl ClientSettings {
    /// The quotas of this client: its own where it has them.
    #[must_use]
    pub fn quotas(&self, defaults: &Quotas) -> Quotas {
        Quotas {
            client: self.rate.map_or(defaults.client, |amount| amount.0.map(Quota::client)),
            address: self.address_hourly.map_or(defaults.address, |amount| amount.0.map(Quota::address)),
        }
    }
}

/// A change of one setting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays.
    #[default]
    Keep,
    /// The program's setting holds again.
    Reset,
    /// It gets this value.
    To(T),
}

impl<T> Change<T> {
    /// Whether anything changes.
    #[must_use]
    pub const fn is_change(&self) -> bool {
        !matches!(self, Self::Keep)
    }

    /// The new value, if there is one.
    #[must_use]
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::To(value) => Some(value),
            Self::Keep | Self::Reset => None,
        }
    }
}

/// A change of a client's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// See [`ClientSettings::app_name`].
    pub app_name: Change<String>,
    /// See [`ClientSettings::cors_origins`].
    pub cors_origins: Change<Vec<Origin>>,
    /// See [`ClientSettings::redirect_uris`].
    pub redirect_uris: Change<Vec<RedirectUri>>,
    /// See [`ClientSettings::rate`].
    pub rate: Change<Amount>,
    /// See [`ClientSettings::address_hourly`].
    pub address_hourly: Change<Amount>,
}

/// A client application as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRecord {
    /// Its id; also the `aud` of its approval tokens.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its settings.
    pub settings: ClientSettings,
}

/// A stored key, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The name of the client application that it belongs to.
    pub client_name: String,
    /// Its first characters.
    pub prefix: String,
    /// SHA-256 of the whole key.
    pub hash: [u8; 32],
    /// Whether it is an operator's key.
    pub operator: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it is refused.
    pub revoked_at: Option<Timestamp>,
}

/// An API key as it is kept.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The client application, made when there is none of that name.
    pub client_name: String,
    /// The first characters, to tell keys apart.
    pub prefix: String,
    /// SHA-256 of the whole key.
    pub hash: [u8; 32],
    /// Whether it is an operator's key.
    pub operator: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_own_quotas_come_first() {
        let defaults = Quotas { client: Some(Quota::client(5)), address: None };
        assert_eq!(ClientSettings::default().quotas(&defaults), defaults);
        let own = ClientSettings {
            rate: Some(Amount(None)),
            address_hourly: Some(Amount(Some(3))),
            ..ClientSettings::default()
        };
        assert_eq!(own.quotas(&defaults), Quotas { client: None, address: Some(Quota::address(3)) });
    }
}
