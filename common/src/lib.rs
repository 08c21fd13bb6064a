//! What Hulak's programs speak in common: numbers, codes, states, limits, jobs, the store, the broker, and starting and
//! stopping.

pub mod account;
pub mod allowance;
pub mod announcer;
pub mod api_key;
pub mod batch;
pub mod broker;
pub mod client;
pub mod clock;
pub mod code;
pub mod config;
pub mod connect;
pub mod history;
pub mod hosts;
pub mod idempotency;
pub mod job;
pub mod limits;
pub mod look;
pub mod message_config;
pub mod meter;
pub mod number;
pub mod operator;
pub mod outbox;
pub mod page;
pub mod phone;
pub mod rng;
pub mod samples;
pub mod serve;
pub mod shutdown;
pub mod sms;
pub mod store;
pub mod telemetry;
pub mod test_numbers;
pub mod text;
pub mod text_enum;
pub mod time;
pub mod trace;
pub mod verification;
pub mod vitals;
pub mod web;

/// Every program's. Requests and messages are many small allocations on several threads: this one hands out first what was
/// given back last, which is still in the processor's cache.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
