//! What Hulak's tests share: throwaway services, a proxy that breaks connections, databases of their own, and Hulak as a
//! whole inside the test's process.
#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

pub mod answer;
pub mod collector;
pub mod database;
pub mod metrics;
pub mod personal;
pub mod proxy;
pub mod services;
pub mod stack;
pub mod stalls;
