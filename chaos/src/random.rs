//! Repeatable randomness.

use std::time::Duration;

use hulak_common::rng::Rng;

/// Random values that a seed repeats.
#[derive(Debug)]
pub struct SeededRandom {
    rng: Rng,
}

impl SeededRandom {
    /// Its own sequence for each purpose, so that more values for one leave the others as they are.
    #[must_use]
    pub fn new(seed: u64, purpose: &str) -> Self {
        let salt = purpose.bytes().fold(seed, |mixed, byte| mixed.wrapping_mul(31).wrapping_add(byte.into()));
        Self { rng: Rng::seeded(salt) }
    }

    /// A whole number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let drawn = u64::from_be_bytes(self.rng.bytes()) % (bound.max(1) as u64);
        usize::try_from(drawn).unwrap_or(0)
    }

    /// A span of milliseconds, both ends included.
    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        let drawn = u64::from_be_bytes(self.rng.bytes()) % (most - least + 1);
        Duration::from_millis(least + drawn)
    }

    /// A fraction from 0 up to 1.
    pub fn fraction(&mut self) -> f64 {
        self.rng.fraction()
    }
}
