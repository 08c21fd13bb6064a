//! The visits: when each client requests a code, and what it does afterwards. All of it is drawn from the seed beforehand.

use std::time::Duration;

use crate::config::Plan;
use crate::random::SeededRandom;
use crate::schedule::APIS;

/// More visits than planned verifications, as some requests meet a limit.
const SURPLUS: f64 = 1.2;
/// How long after the last fault's beginning the visits continue.
const AFTER: Duration = Duration::from_secs(5);
/// Between two extra visits.
const EXTRA: Duration = Duration::from_millis(40);

/// A visit to a site that sends codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// From the beginning of the run.
    pub at: Duration,
    /// The first API that is called.
    pub api: usize,
    /// The client application.
    pub key: usize,
    /// Ten digits.
    pub phone: String,
    /// The web session.
    pub session: String,
    /// Whether it is a sign-in with an unknown number, whose message is not sent.
    pub sign_in: bool,
    /// What happens after the request.
    pub then: FollowUp,
    /// Whether it replaces a request that met a limit.
    pub extra: bool,
}

/// What happens after the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowUp {
    /// Nothing.
    Leave,
    /// The page polls the verification.
    Poll,
    /// Wrong codes, then the right one.
    Check {
        /// How many wrong codes.
        wrong: usize,
    },
    /// Wrong codes until no more are accepted, then the right one.
    Guess,
    /// The right code, this many times at once.
    Stampede(usize),
    /// Canceled after this long.
    Cancel(Duration),
    /// Requested again after this long.
    Again(Duration),
}

/// The `n`-th number that no other visit uses.
#[must_use]
pub fn fresh(seed: u64, n: usize) -> String {
    number(984, seed, n)
}

/// The numbers of requests after the load, as in the tables.
pub const LATE_NUMBERS: (i64, i64) = (9_779_610_000_000, 9_779_619_999_999);

/// One of [`LATE_NUMBERS`].
pub(super) fn late_number(seed: u64, n: usize) -> String {
    number(961, seed, n)
}

/// Multiplied by a factor that is coprime to the modulus, so that no two numbers are equal.
fn number(prefix: u32, seed: u64, n: usize) -> String {
    let shifted = (n as u64).wrapping_add(seed % 1_000_003 * 17) % 10_000_000;
    format!("{prefix}{:07}", shifted * 6_180_343 % 10_000_000)
}

impl Visit {
    /// One more visit, with a number of its own.
    pub(super) fn extra(n: usize, plan: &Plan) -> Self {
        Self {
            at: EXTRA * u32::try_from(n).unwrap_or(0) / 1_000,
            api: n % APIS,
            key: 0,
            phone: fresh(plan.seed, n),
            session: String::new(),
            sign_in: false,
            then: FollowUp::Leave,
            extra: true,
        }
    }
}

/// All visits of a plan, in order.
#[must_use]
pub fn visits(plan: &Plan, keys: usize) -> Vec<Visit> {
    let mut random = SeededRandom::new(plan.seed, "visits");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
    let count = (plan.verifications as f64 * SURPLUS) as usize;
    let last = u64::try_from((plan.length + AFTER).as_millis()).unwrap_or(u64::MAX);
    let mut visits: Vec<_> = (0..count)
        .map(|n| {
            let at = random.millis(0, last);
            visit(&mut random, plan, keys, n, at)
        })
        .collect();
    add_bursts(&mut random, plan, &mut visits);
    visits.sort_by_key(|visit| visit.at);
    visits
}

fn visit(random: &mut SeededRandom, plan: &Plan, keys: usize, n: usize, at: Duration) -> Visit {
    let shared = random.below(100) < 15;
    let pool = (plan.verifications / 60).max(1);
    let phone = if shared { number(974, plan.seed, random.below(pool)) } else { fresh(plan.seed, n) };
    let session = if shared { format!("session {}", random.below(4)) } else { String::new() };
    let sign_in = random.below(100) < 3;
    let then = if sign_in { FollowUp::Poll } else { then(random, shared) };
    let (api, key) = (random.below(APIS), random.below(keys));
    Visit { at, api, key, phone, session, sign_in, then, extra: false }
}

fn then(random: &mut SeededRandom, shared: bool) -> FollowUp {
    match random.below(100) {
        0..25 => FollowUp::Leave,
        25..40 => FollowUp::Poll,
        40..72 => FollowUp::Check { wrong: random.below(3) },
        72..77 if !shared => FollowUp::Guess,
        77..78 if !shared => FollowUp::Stampede(100),
        78..88 => FollowUp::Cancel(random.millis(0, 3_000)),
        _ => FollowUp::Again(random.millis(500, 6_000)),
    }
}

/// Moves some visits to the same moments, a few of them for one number.
fn add_bursts(random: &mut SeededRandom, plan: &Plan, visits: &mut [Visit]) {
    let bursts = (plan.length.as_secs() / 20).max(1);
    let size = visits.len() / 40;
    for burst in 0..bursts {
        let (at, hot) = (
            random.millis(0, plan.length.as_secs() * 1_000),
            number(97, plan.seed, 90_000 + random.below(50)),
        );
        for n in 0..size {
            let index = random.below(visits.len());
            let Some(visit) = visits.get_mut(index) else { continue };
            visit.at = at;
            if n < 8 {
                visit.phone.clone_from(&hot);
                visit.session = format!("crowd {burst} {n}");
                visit.then = FollowUp::Leave;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const PLAN: Plan = Plan { seed: 7, length: Duration::from_secs(60), verifications: 600, kills: 9 };

    #[test]
    fn a_seed_repeats_its_visits() {
        assert_eq!(visits(&PLAN, 3), visits(&PLAN, 3));
        assert_ne!(visits(&PLAN, 3), visits(&Plan { seed: 8, ..PLAN }, 3));
    }

    #[test]
    fn fresh_numbers_are_fresh() {
        let numbers: HashSet<_> = (0..50_000).map(|n| fresh(3, n)).collect();
        assert_eq!(numbers.len(), 50_000);
        assert!(numbers.iter().all(|number| number.len() == 10 && number.starts_with("984")));
    }

    #[test]
    fn there_are_visits_of_every_kind() {
        let visits = visits(&PLAN, 3);
        assert!(visits.len() >= PLAN.verifications);
        let done = |wanted: fn(&Visit) -> bool| visits.iter().filter(|visit| wanted(visit)).count();
        assert!(done(|visit| matches!(visit.then, FollowUp::Check { .. })) > 50);
        assert!(done(|visit| visit.then == FollowUp::Guess) > 0);
        assert!(done(|visit| matches!(visit.then, FollowUp::Stampede(_))) > 0);
        assert!(done(|visit| visit.sign_in) > 0);
    }
}
