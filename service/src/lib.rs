//! What the API and the workers share above the database and the broker.
//!
//! # Layout
//! - [`connect`]: opens the database and the broker that the settings name.
//! - [`outbox`]: publishes messages and notes the broker's confirms; [`event_publisher`]: tells pollers of changes.
//! - [`health`], [`gauges`], [`admin`]: `/healthz`, `/readyz` and `/metrics`.
//! - [`metrics_history`]: the counters of every process over the last day, for the console.

pub mod admin;
pub mod connect;
pub mod event_publisher;
pub mod gauges;
pub mod health;
pub mod metrics_history;
pub mod outbox;
