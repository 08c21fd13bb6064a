//! Cooldown, quotas, the account's rate, and the end of a verification.

use std::collections::HashMap;

use hulak_common::verification::{Route, Status};

use super::case::{Case, LATE, through_the_gateway};
use crate::fault_log::FaultKind;
use crate::millis::Millis;
use crate::promise::Promise;

/// How far the processes' clocks may differ: each reads whole milliseconds, and corrects only larger offsets.
const CLOCK_TOLERANCE: Millis = 5;
const SECOND: Millis = 1_000;
/// A call comes at most a lease after its claim, without the time of the call and half of the margin. So a claim before the
/// verification's end may lead to a call after it.
const HALF_MARGIN: Millis = 5_000;

impl Case<'_> {
    pub(super) fn limits_hold(&mut self) {
        let mut found = Vec::new();
        let cooldown = Millis::try_from(self.settings.cooldown.as_millis()).unwrap_or(0);
        for (phone, taken) in &self.by_phone {
            for pair in taken.windows(2) {
                let apart = pair[1].at - pair[0].at;
                if apart + CLOCK_TOLERANCE < cooldown
                    && !self.may_be_late(pair[0].at)
                    && !self.may_be_late(pair[1].at)
                {
                    found.push(format!("…{}: {apart} ms apart at {}", &phone[6..], pair[1].at));
                }
            }
        }
        // A run is shorter than an hour, so that all of a number's messages count for one quota.
        let quota = self.settings.hourly.min(self.settings.daily) as usize;
        let mut asked: HashMap<&str, usize> = HashMap::new();
        for message in self.evidence.messages.iter().filter(|message| through_the_gateway(message)) {
            *asked.entry(&message.phone).or_default() += 1;
        }
        for (phone, count) in asked.iter().filter(|(_, count)| **count > quota) {
            found.push(format!("…{}: {count} messages were granted, {quota} are allowed", &phone[6..]));
        }
        for number in &self.evidence.numbers {
            let taken = self.by_phone.get(&*number.phone).map_or(0, Vec::len);
            let unsure = usize::try_from(number.ambiguous_count).unwrap_or(0);
            if taken > quota + unsure {
                found.push(format!(
                    "…{}: the gateway accepted {taken}, {quota} are allowed",
                    &number.phone[6..]
                ));
            }
        }
        for what in found {
            self.report_broken(Promise::OverLimit, what);
        }
    }

    pub(super) fn the_accounts_rate_holds(&mut self) {
        let most = (self.settings.rate + self.settings.rate / 10) as usize;
        let mut moments: Vec<Millis> = self.evidence.taken.iter().map(|taken| taken.at).collect();
        moments.sort_unstable();
        let too_many = moments.iter().enumerate().find_map(|(n, from)| {
            let within = moments[n..].partition_point(|at| *at < from + SECOND);
            (within > most && !self.released_between(*from, from + SECOND)).then_some((*from, within))
        });
        if let Some((from, within)) = too_many {
            let what = format!("the gateway accepted {within} in the second from {from}, {most} are allowed");
            self.report_broken(Promise::OverLimit, what);
        }
    }

    /// Whether a fault that held messages back (a frozen worker, a stalled or slow connection, a slow gateway) may have released
    /// them together in that span. Kills hold nothing back.
    fn released_between(&self, from: Millis, to: Millis) -> bool {
        let holding = |kind| matches!(kind, FaultKind::Holding | FaultKind::Other);
        self.evidence.windows.iter().filter(|window| holding(window.kind)).any(|window| {
            // A fault that lasts longer than the span releases nothing in it.
            window.to.is_some_and(|end| end <= to && from <= end + LATE)
        })
    }

    pub(super) fn nothing_is_sent_after_the_end(&mut self) {
        let lease = Millis::try_from(self.settings.lease.as_millis()).unwrap_or(0);
        let mut found = Vec::new();
        for (code, taken) in &self.taken {
            let Some(row) = self.verifications.get(&code.0) else { continue };
            if let Some(rows) = self.messages.get(code)
                && rows.iter().all(|message| message.route == Route::Null)
            {
                found.push(format!("{} must not be sent and was sent", row.id));
            }
            let expired = matches!(row.status, Status::Pending | Status::Expired);
            let end = if expired { row.expires_at } else { row.ended_at.unwrap_or(row.expires_at) };
            let late = taken.iter().filter(|taken| taken.at > end + lease - HALF_MARGIN + CLOCK_TOLERANCE);
            for taken in late.filter(|taken| !self.may_be_late(taken.at)) {
                let after = taken.at - end;
                found.push(format!("{} was sent {after} ms after it was {}", row.id, row.status.as_str()));
            }
        }
        for what in found {
            self.report_broken(Promise::Unasked, what);
        }
    }
}
