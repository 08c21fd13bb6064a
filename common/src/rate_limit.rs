//! Quotas that refill evenly, for clients and addresses: the generic cell rate algorithm (ITU-T I.371), whose whole state
//! is one point in time.

use std::net::IpAddr;
use std::time::Duration;

use uuid::Uuid;

use crate::limits::{LimitReached, Policy};
use crate::time::Timestamp;

/// `amount` at once, and then one more each `window / amount`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The policy that a refusal names.
    pub policy: Policy,
    /// How many; at least one.
    pub amount: u32,
    /// The time in which all of it refills.
    pub window: Duration,
}

impl Quota {
    /// What a client application may ask for in a second.
    #[must_use]
    pub const fn client(amount: u32) -> Self {
        Self { policy: Policy::Client, amount, window: Duration::from_secs(1) }
    }

    /// What may be asked for from one address in an hour.
    #[must_use]
    pub const fn address(amount: u32) -> Self {
        Self { policy: Policy::Address, amount, window: Duration::from_secs(3_600) }
    }

    fn interval(&self) -> i64 {
        (micros(self.window) / i64::from(self.amount.max(1))).max(1)
    }
}

/// A number of requests, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(pub Option<u32>);

impl Amount {
    /// The most that may be set.
    pub const MAX: u32 = 1_000_000;
}

impl std::str::FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(amount) if (1..=Self::MAX).contains(&amount) => Ok(Self(Some(amount))),
            _ if text == "off" => Ok(Self(None)),
            _ => Err(format!("must be a whole number from 1 to {}, or off", Self::MAX)),
        }
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(amount) => amount.fmt(f),
            None => f.write_str("off"),
        }
    }
}

/// The client or address that a quota belongs to, as the stores keep it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AllowanceKey(String);

impl AllowanceKey {
    /// A client application's.
    #[must_use]
    pub fn client(client: Uuid) -> Self {
        Self(format!("client:{client}"))
    }

    /// An address's within a client: addresses that one client reports must not limit another client. IPv6 counts by /64,
    /// which one household or machine is given.
    #[must_use]
    pub fn address(client: Uuid, address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(format!("address:{client}:{address}")),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(format!("address:{client}:{a:x}:{b:x}:{c:x}:{d:x}"))
            }
        }
    }

    /// The text in the store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From a store.
    #[must_use]
    pub fn from_store(text: String) -> Self {
        Self(text)
    }
}

/// The state of a quota: it is full from `full_at` on, in microseconds since 1970. A key without a row has a full quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// The client or address.
    pub key: AllowanceKey,
    /// When it is full again.
    pub full_at: i64,
}

impl Allowance {
    /// A full quota.
    #[must_use]
    pub fn full(key: AllowanceKey) -> Self {
        Self { key, full_at: 0 }
    }

    /// Whether one more request fits.
    ///
    /// # Errors
    /// The limit, and when it opens.
    pub fn admit(&self, quota: &Quota, now: Timestamp) -> Result<(), LimitReached> {
        let opens = self.full_at + quota.interval() - micros(quota.window);
        if opens <= now.as_millis() * 1_000 {
            return Ok(());
        }
        Err(LimitReached {
            policy: quota.policy,
            quota: quota.amount,
            window: quota.window,
            retry_at: Timestamp::from_millis(opens.div_euclid(1_000) + 1),
        })
    }

    /// Spends one request.
    pub fn charge(&mut self, quota: &Quota, now: Timestamp) {
        self.full_at = self.full_at.max(now.as_millis() * 1_000) + quota.interval();
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quota(amount: u32, seconds: u64) -> Quota {
        Quota { policy: Policy::Client, amount, window: Duration::from_secs(seconds) }
    }

    fn take(allowance: &mut Allowance, quota: &Quota, ms: i64) -> bool {
        let now = Timestamp::from_millis(ms);
        let fits = allowance.admit(quota, now).is_ok();
        if fits {
            allowance.charge(quota, now);
        }
        fits
    }

    #[test]
    fn all_of_it_at_once_and_then_one_each_interval() {
        let (quota, mut left) = (quota(5, 1), Allowance::full(AllowanceKey::client(Uuid::nil())));
        assert_eq!((0..7).filter(|_| take(&mut left, &quota, 10_000)).count(), 5);
        let opens = left.admit(&quota, Timestamp::from_millis(10_000)).unwrap_err().retry_at;
        assert_eq!(opens, Timestamp::from_millis(10_201));
        assert!(!take(&mut left, &quota, 10_199));
        assert!(take(&mut left, &quota, 10_201) && !take(&mut left, &quota, 10_201));
        assert_eq!((0..9).filter(|_| take(&mut left, &quota, 20_000)).count(), 5);
    }

    #[test]
    fn an_address_is_told_by_what_one_household_has() {
        let key = |text: &str| AllowanceKey::address(Uuid::nil(), text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2:3::4"), key("2001:db8:1:2:ffff::"));
        assert_ne!(key("2001:db8:1:2::"), key("2001:db8:1:3::"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_ne!(key("192.0.2.1"), AllowanceKey::address(Uuid::from_u128(1), "192.0.2.1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn no_span_sees_more_than_its_share_and_one_burst(
            amount in 1_u32..50, seconds in 1_u64..100, steps in prop::collection::vec(0_i64..5_000, 1..300)
        ) {
            let (quota, mut left) = (quota(amount, seconds), Allowance::full(AllowanceKey::client(Uuid::nil())));
            let (mut now, mut taken) = (1_000_000, Vec::new());
            for step in steps {
                now += step;
                if take(&mut left, &quota, now) {
                    taken.push(now);
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, until) in taken.iter().enumerate().skip(first) {
                    let refilled = (until - from) * i64::from(amount) / (seconds as i64 * 1_000);
                    prop_assert!((last - first + 1) as i64 <= i64::from(amount) + refilled + 1);
                }
            }
        }
    }
}
