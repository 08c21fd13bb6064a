//! The only place that makes randomness.
//!
//! Production draws from the operating system; tests pass a seeded generator and get the same ids, salts and jitter
//! each time.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::{StdRng, SysRng};
use rand::{Rng as _, SeedableRng, TryRng as _};
use uuid::Uuid;

use crate::time::Timestamp;

/// Shared randomness: the operating system's, or a seeded stream for tests.
#[derive(Clone)]
pub struct Rng(Source);

#[derive(Clone)]
enum Source {
    System,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Rng {
    /// The operating system's randomness, fit for salts and keys.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A reproducible stream, for tests.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// Fills `bytes`.
    ///
    /// # Panics
    /// When the operating system has no randomness: without it no secret can be made, so the process must not go on.
    pub fn fill(&self, bytes: &mut [u8]) {
        match &self.0 {
            #[expect(clippy::expect_used, reason = "without randomness no salt, key or id may be made")]
            Source::System => SysRng.try_fill_bytes(bytes).expect("the operating system gives randomness"),
            Source::Seeded(rng) => rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes),
        }
    }

    /// `N` random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A fraction from 0 up to but not including 1, for jitter.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        // 53 bits: as many as an f64 holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
        let numerator = (u64::from_be_bytes(self.bytes()) >> 11) as f64;
        numerator / (1_u64 << 53) as f64
    }

    /// A version 7 UUID (RFC 9562) for this time: ids sort by creation, so index pages fill one after another.
    #[must_use]
    pub fn uuid_v7(&self, now: Timestamp) -> Uuid {
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes()).into_uuid()
    }

    /// A random identifier without a time in it, for claims and processes.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }
}

impl std::fmt::Debug for Rng {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rng")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_stream() {
        assert_eq!(Rng::seeded(7).bytes::<20>(), Rng::seeded(7).bytes::<20>());
        assert_ne!(Rng::system().bytes::<20>(), Rng::system().bytes::<20>());
    }

    #[test]
    fn ids_sort_by_time() {
        let rng = Rng::seeded(1);
        let early = rng.uuid_v7(Timestamp::from_millis(1_000));
        let late = rng.uuid_v7(Timestamp::from_millis(2_000));
        assert!(early < late);
        assert_eq!(early.get_version_num(), 7);
    }

    #[test]
    fn a_fraction_stays_below_one() {
        let rng = Rng::seeded(3);
        assert!((0..1000).map(|_| rng.fraction()).all(|f| (0.0..1.0).contains(&f)));
    }
}
