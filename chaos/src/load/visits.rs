//! Who calls when, and what for: drawn from the seed before anything runs.

use std::time::Duration;

use crate::Plan;
use crate::schedule::{APIS, Dice};

/// Asked for beyond what is planned: some requests meet a limit.
const SURPLUS: f64 = 1.2;
/// The calls go on a little after the last fault has begun.
const AFTER: Duration = Duration::from_secs(5);
/// The pause between calls that make up for requests that met a limit.
const EXTRA: Duration = Duration::from_millis(40);

/// A visit to a site that sends codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// From the beginning of the run.
    pub at: Duration,
    /// The API that is asked first.
    pub api: usize,
    /// The client application.
    pub key: usize,
    /// Ten digits.
    pub phone: String,
    /// The web session.
    pub session: String,
    /// Whether it is a stranger's sign-in, whose message goes nowhere.
    pub sign_in: bool,
    /// What comes after the request.
    pub then: Then,
    /// Made up for another one.
    pub extra: bool,
}

/// What comes after the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Leave,
    /// The page looks what became of it.
    Poll,
    /// So many wrong codes, then the right one.
    Check {
        /// Wrong codes first.
        wrong: usize,
    },
    /// Wrong codes until no more are taken, and then the right one.
    Guess,
    /// The right code, so many times at once.
    Stampede(usize),
    /// Taken back after this long.
    Cancel(Duration),
    /// Asked again after this long.
    Again(Duration),
}

/// A number that no other visit uses.
#[must_use]
pub fn fresh(seed: u64, n: usize) -> String {
    number(98, seed, n)
}

/// The numbers of requests that are made when the load is over, as the tables keep them.
pub const LATE_NUMBERS: (i64, i64) = (9_779_600_000_000, 9_779_699_999_999);

/// One of [`LATE_NUMBERS`].
pub(super) fn late_number(seed: u64, n: usize) -> String {
    number(96, seed, n)
}

/// Spread out by a multiplication that never gives two the same (the factor shares no divisor with the modulus).
fn number(prefix: u32, seed: u64, n: usize) -> String {
    let shifted = (n as u64).wrapping_add(seed % 1_000_003 * 17) % 100_000_000;
    format!("{prefix}{:08}", shifted * 61_803_399 % 100_000_000)
}

impl Visit {
    /// One more, with a fresh number.
    pub(super) fn extra(n: usize, plan: &Plan) -> Self {
        Self {
            at: EXTRA * u32::try_from(n).unwrap_or(0) / 1_000,
            api: n % APIS,
            key: 0,
            phone: fresh(plan.seed, n),
            session: String::new(),
            sign_in: false,
            then: Then::Leave,
            extra: true,
        }
    }
}

/// All visits of a plan, in order.
#[must_use]
pub fn visits(plan: &Plan, keys: usize) -> Vec<Visit> {
    let mut dice = Dice::new(plan.seed, "visits");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
    let count = (plan.verifications as f64 * SURPLUS) as usize;
    let last = u64::try_from((plan.length + AFTER).as_millis()).unwrap_or(u64::MAX);
    let mut visits: Vec<_> = (0..count)
        .map(|n| {
            let at = dice.millis(0, last);
            visit(&mut dice, plan, keys, n, at)
        })
        .collect();
    crowd(&mut dice, plan, &mut visits);
    visits.sort_by_key(|visit| visit.at);
    visits
}

fn visit(dice: &mut Dice, plan: &Plan, keys: usize, n: usize, at: Duration) -> Visit {
    let shared = dice.below(100) < 15;
    let pool = (plan.verifications / 60).max(1);
    let phone = if shared { number(97, plan.seed, dice.below(pool)) } else { fresh(plan.seed, n) };
    let session = if shared { format!("session {}", dice.below(4)) } else { String::new() };
    let sign_in = dice.below(100) < 3;
    let then = if sign_in { Then::Poll } else { then(dice, shared) };
    let (api, key) = (dice.below(APIS), dice.below(keys));
    Visit { at, api, key, phone, session, sign_in, then, extra: false }
}

fn then(dice: &mut Dice, shared: bool) -> Then {
    match dice.below(100) {
        0..25 => Then::Leave,
        25..40 => Then::Poll,
        40..72 => Then::Check { wrong: dice.below(3) },
        72..77 if !shared => Then::Guess,
        77..78 if !shared => Then::Stampede(100),
        78..88 => Then::Cancel(dice.millis(0, 3_000)),
        _ => Then::Again(dice.millis(500, 6_000)),
    }
}

/// Now and then many come at once, some of them for one number.
fn crowd(dice: &mut Dice, plan: &Plan, visits: &mut [Visit]) {
    let bursts = (plan.length.as_secs() / 20).max(1);
    let size = visits.len() / 40;
    for burst in 0..bursts {
        let (at, hot) =
            (dice.millis(0, plan.length.as_secs() * 1_000), number(97, plan.seed, 90_000 + dice.below(50)));
        for n in 0..size {
            let index = dice.below(visits.len());
            let Some(visit) = visits.get_mut(index) else { continue };
            visit.at = at;
            if n < 8 {
                visit.phone.clone_from(&hot);
                visit.session = format!("crowd {burst} {n}");
                visit.then = Then::Leave;
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
        assert!(numbers.iter().all(|number| number.len() == 10 && number.starts_with("98")));
    }

    #[test]
    fn everything_is_done_by_somebody() {
        let visits = visits(&PLAN, 3);
        assert!(visits.len() >= PLAN.verifications);
        let done = |wanted: fn(&Visit) -> bool| visits.iter().filter(|visit| wanted(visit)).count();
        assert!(done(|visit| matches!(visit.then, Then::Check { .. })) > 50);
        assert!(done(|visit| visit.then == Then::Guess) > 0);
        assert!(done(|visit| matches!(visit.then, Then::Stampede(_))) > 0);
        assert!(done(|visit| visit.sign_in) > 0);
    }
}
