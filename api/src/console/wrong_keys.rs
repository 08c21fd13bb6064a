//! A limit on wrong keys. Keys cannot be guessed; the limit keeps the audit log readable. It never keeps the right key out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hulak_common::time::Timestamp;

use crate::http::problem::{Kind, Problem};

/// Wrong keys in a minute from one address.
const MAX_PER_ADDRESS: u32 = 10;
/// Wrong keys in a minute from all addresses together.
const MAX_IN_ALL: u32 = 100;
const MINUTE: Duration = Duration::from_secs(60);

/// The wrong keys of the current minute.
#[derive(Debug, Default)]
pub(super) struct WrongKeys(Mutex<Minute>);

#[derive(Debug, Default)]
struct Minute {
    began: Timestamp,
    all: u32,
    by_address: HashMap<IpAddr, u32>,
}

impl WrongKeys {
    /// Counts a wrong key.
    ///
    /// # Errors
    /// 429 `rate-limited` until the minute is over, when there have been too many.
    pub(super) fn count(&self, from: IpAddr, now: Timestamp) -> Result<(), Problem> {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= minute.began + MINUTE || now < minute.began {
            *minute = Minute { began: now, ..Minute::default() };
        }
        let from_here = minute.by_address.get(&from).copied().unwrap_or(0);
        if minute.all >= MAX_IN_ALL || from_here >= MAX_PER_ADDRESS {
            let wait = (minute.began + MINUTE).until(now);
            return Err(Problem::new(Kind::RateLimited, "too many wrong keys; wait a minute")
                .with("policy", "address")
                .retry_after(wait));
        }
        minute.all += 1;
        // No more addresses than wrong keys in a minute.
        minute.by_address.insert(from, from_here + 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_keys_are_limited_per_address_and_in_all() {
        let wrong_keys = WrongKeys::default();
        let now = Timestamp::from_millis(1_000_000);
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        for _ in 0..MAX_PER_ADDRESS {
            wrong_keys.count(ip(1), now).unwrap();
        }
        assert_eq!(wrong_keys.count(ip(1), now).unwrap_err().kind(), Kind::RateLimited);
        for n in MAX_PER_ADDRESS..MAX_IN_ALL {
            wrong_keys.count(ip(3 + (n % 50) as u8), now).unwrap();
        }
        assert!(wrong_keys.count(ip(2), now).is_err());
        wrong_keys.count(ip(1), now + MINUTE).unwrap();
    }
}
