//! What is asked of clients and their keys.

use uuid::Uuid;

use hulak_common::client::ClientSettings;

/// Who an API key belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOwner {
    /// The client application; also the `aud` of its approval tokens.
    pub client: Uuid,
    /// Its name.
    pub client_name: String,
    /// Whether it is an operator's key.
    pub operator: bool,
    /// What is set for the client.
    pub settings: ClientSettings,
}
