//! What the clients were answered: approvals, and what the APIs show.

use std::collections::HashMap;

use hulak_common::verification::{Delivery, Status};
use uuid::Uuid;

use super::case::Case;
use crate::evidence::Verification;
use crate::load::log::Checked;
use crate::promise::Promise;

impl Case<'_> {
    pub(super) fn codes_are_single_use(&mut self) {
        let mut checks: HashMap<Uuid, Vec<&Checked>> = HashMap::new();
        for check in &self.evidence.checks {
            checks.entry(check.verification).or_default().push(check);
        }
        let max_checks = self.settings.max_checks as usize;
        let mut found = Vec::new();
        for (id, checks) in &checks {
            let Some(row) = self.verifications.get(id) else { continue };
            found.extend(trouble(row, checks, max_checks).map(|what| format!("{id}: {what}")));
        }
        for row in self.evidence.verifications.iter().filter(|row| row.status == Status::Approved) {
            if !checks.contains_key(&row.id) {
                found.push(format!("{} is approved, and no code was checked", row.id));
            }
        }
        for what in found {
            self.report_broken(Promise::Approvals, what);
        }
    }

    pub(super) fn apis_show_what_is(&mut self) {
        let newest: HashMap<(Uuid, i32), Delivery> =
            self.evidence.messages.iter().map(|row| ((row.verification, row.seq), row.state)).collect();
        let shown: HashMap<_, _> = self.evidence.shown.iter().map(|shown| (shown.id, shown)).collect();
        let mut found = Vec::new();
        for row in &self.evidence.verifications {
            let state = newest.get(&(row.id, row.messages)).copied();
            // An approval proves receipt.
            let proven = state == Some(Delivery::Unknown) && row.status == Status::Approved;
            let expected = if proven { Some(Delivery::Sent) } else { state };
            if Some(row.delivery) != expected {
                found.push(format!("{} says {:?}, its message is {state:?}", row.id, row.delivery));
            }
            match shown.get(&row.id) {
                None => found.push(format!("{} is not shown by the API", row.id)),
                Some(shown) => {
                    if shown.delivery != row.delivery.as_str() || shown.messages != i64::from(row.messages) {
                        found.push(format!(
                            "{} is {:?} and is shown as {}",
                            row.id, row.delivery, shown.delivery
                        ));
                    }
                }
            }
        }
        let counted: HashMap<&str, (i64, i64)> =
            self.evidence.counted.iter().map(|(phone, otp, unsure)| (&**phone, (*otp, *unsure))).collect();
        for row in &self.evidence.numbers {
            let shown = counted.get(&*row.phone);
            if shown != Some(&(row.otp_count, row.ambiguous_count)) {
                found.push(format!("…{}: counts are shown as {shown:?}", &row.phone[6..]));
            }
        }
        for what in found {
            self.report_broken(Promise::Shown, what);
        }
    }

    pub(super) fn programs_are_well(&mut self) {
        for line in &self.evidence.leaks {
            // The line contains a number or a code, which must not be printed.
            let place: String = line.chars().map(|c| if c.is_ascii_digit() { '•' } else { c }).collect();
            self.report_broken(Promise::Leaks, place);
        }
        for line in &self.evidence.panics {
            self.report_broken(Promise::Programs, line.clone());
        }
    }
}

/// What is wrong with the checks of one verification, if anything.
fn trouble(row: &Verification, checks: &[&Checked], max_checks: usize) -> Option<String> {
    let right = |check: &&&Checked| row.codes.contains(&check.code);
    let with = |status: u16| checks.iter().filter(move |check| check.status == Some(status));
    let approvals = with(200).count();
    // 422 is also the answer to malformed codes, but the clients send none.
    let wrong = with(422).count();
    let unsure = checks.iter().filter(right).any(|check| check.status.is_none());
    let approved = row.status == Status::Approved;
    if with(200).any(|check| !row.codes.contains(&check.code)) {
        return Some("a wrong code was approved".to_owned());
    }
    if approvals > 1 {
        return Some(format!("approved {approvals} times"));
    }
    if approvals == 1 && !approved {
        return Some(format!("was approved, and is {}", row.status.as_str()));
    }
    if approved && approvals == 0 && !unsure {
        return Some("is approved, and no check was answered so".to_owned());
    }
    if wrong > max_checks {
        return Some(format!("{wrong} wrong codes were checked, {max_checks} are allowed"));
    }
    None
}
