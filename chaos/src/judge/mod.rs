//! Checks the evidence against every promise. Pure: the result depends on its arguments alone.

mod answers;
mod case;
mod limits;
mod messages;
#[cfg(test)]
mod tests;
mod totals;

use crate::config::Settings;
use crate::evidence::Evidence;
use crate::promise::Broken;
use case::Case;
pub use totals::Totals;

/// The result.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// The totals.
    pub totals: Totals,
    /// The broken promises.
    pub broken: Vec<Broken>,
}

/// Checks all promises.
#[must_use]
pub fn judge(evidence: &Evidence, settings: &Settings) -> Judgement {
    let mut case = Case::open(evidence, settings);
    case.nothing_is_lost();
    case.nothing_is_doubled();
    case.nothing_is_sent_after_the_end();
    case.limits_hold();
    case.the_accounts_rate_holds();
    case.counts_agree();
    case.codes_are_single_use();
    case.apis_show_what_is();
    case.programs_are_well();
    let totals = case.totals();
    let mut broken = case.broken;
    broken.sort_by_key(|broken| broken.promise);
    Judgement { totals, broken }
}
