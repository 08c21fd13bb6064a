//! The gateways that a worker can call: one file each.

pub mod sparrow;
