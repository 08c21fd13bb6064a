//! The seam to the broker: RabbitMQ in production, memory in the one-process shape.
//!
//! The broker only makes sending fast; the store is the record. Every message row is its own outbox entry, so a
//! job that is lost here is published again, and a job that comes twice is refused by the claim. That is why
//! nothing here waits for a broker to come back before it answers a publisher, and why acks are allowed to get lost.

//!
//! # Layout
//! - [`contract`]: the traits and types that both brokers share.
//! - [`amqp`]: RabbitMQ; [`memory`]: a queue inside the process.

pub mod amqp;
pub mod contract;
pub mod memory;

pub use amqp::AmqpBroker;
pub use contract::{
    Broker, BrokerError, BrokerHealth, Consumer, DeadLetter, Delivery, Depths, PublishError, Subscription,
    Topology,
};
pub use memory::MemoryBroker;
