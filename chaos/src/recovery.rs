//! When which fault was on, and how soon things went on again afterwards.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hulak_common::clock::SharedClock;

use crate::Millis;

/// What a fault does to messages that are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A SIGKILL.
    Kill,
    /// A stop in order.
    Stop,
    /// It may hold a message back and let it arrive long after its sender has given up on it.
    Holding,
    /// Anything else.
    Other,
}

/// A fault, from when to when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Its kind.
    pub kind: Kind,
    /// What it was.
    pub what: String,
    /// Its beginning.
    pub from: Millis,
    /// Its end; `None` while it lasts.
    pub to: Option<Millis>,
}

impl Window {
    /// Whether it was on at this moment, or ended less than `after` before.
    #[must_use]
    pub fn covers(&self, at: Millis, after: Millis) -> bool {
        self.from <= at && self.to.is_none_or(|to| at <= to + after)
    }
}

/// Keeps the windows.
#[derive(Debug)]
pub struct Journal {
    clock: SharedClock,
    windows: Mutex<Vec<Window>>,
}

/// A fault that is on; dropping it ends its window.
#[derive(Debug)]
pub struct Open<'a> {
    journal: &'a Journal,
    index: usize,
}

impl Journal {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, windows: Mutex::default() }
    }

    /// A fault begins.
    pub fn open(&self, kind: Kind, what: impl Into<String>) -> Open<'_> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.push(Window { kind, what: what.into(), from: self.clock.now().as_millis(), to: None });
        Open { journal: self, index: windows.len() - 1 }
    }

    /// A fault has ended that took this long.
    pub fn past(&self, kind: Kind, what: impl Into<String>, took: Duration) {
        let to = self.clock.now();
        let from = (to - took).as_millis();
        let window = Window { kind, what: what.into(), from, to: Some(to.as_millis()) };
        self.windows.lock().unwrap_or_else(PoisonError::into_inner).push(window);
    }

    /// All windows so far.
    #[must_use]
    pub fn windows(&self) -> Vec<Window> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let now = self.journal.clock.now().as_millis();
        let mut windows = self.journal.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.get_mut(self.index) {
            window.to = Some(now);
        }
    }
}

/// The times in which at least one fault was on, in order and apart from each other.
#[must_use]
pub fn disturbed(windows: &[Window]) -> Vec<(Millis, Millis)> {
    let mut spans: Vec<_> = windows.iter().map(|w| (w.from, w.to.unwrap_or(Millis::MAX))).collect();
    spans.sort_unstable();
    let mut merged: Vec<(Millis, Millis)> = Vec::new();
    for (from, to) in spans {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// The longest time without any fault between `from` and `to`: its beginning and its end.
#[must_use]
pub fn longest_calm(disturbed: &[(Millis, Millis)], from: Millis, to: Millis) -> (Millis, Millis) {
    let longer = |best: (Millis, Millis), next: (Millis, Millis)| {
        if next.1 - next.0 > best.1 - best.0 { next } else { best }
    };
    let (mut begin, mut best) = (from, (from, from));
    for (disturbed_from, disturbed_to) in disturbed {
        best = longer(best, (begin, (*disturbed_from).min(to)));
        begin = begin.max(*disturbed_to);
    }
    longer(best, (begin, to))
}

/// The longest time from the end of a fault to the next of these moments (sorted), leaving out the ends that another
/// fault followed before anything could recover.
#[must_use]
pub fn longest_wait(disturbed: &[(Millis, Millis)], moments: &[Millis]) -> Option<Millis> {
    let next = |at: Millis| moments.get(moments.partition_point(|moment| *moment < at)).copied();
    let waits = disturbed.iter().enumerate().filter_map(|(n, (_, end))| {
        let again = next(*end)?;
        let interrupted = disturbed.get(n + 1).is_some_and(|(begin, _)| *begin < again);
        (!interrupted).then_some(again - end)
    });
    waits.max()
}

/// The longest time from the end of a fault until the last of the messages that waited then was taken, leaving out the
/// ends that another fault followed before that. `waits` are messages: when each was asked for, and when it was taken.
#[must_use]
pub fn longest_backlog(disturbed: &[(Millis, Millis)], waits: &[(Millis, Millis)]) -> Option<Millis> {
    let drained = disturbed.iter().enumerate().filter_map(|(n, (_, end))| {
        let waiting = waits.iter().filter(|(asked, taken)| asked <= end && end < taken);
        let last = waiting.map(|(_, taken)| *taken).max().unwrap_or(*end);
        let interrupted = disturbed.get(n + 1).is_some_and(|(begin, _)| *begin < last);
        (!interrupted).then_some(last - end)
    });
    drained.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: Millis, to: Millis) -> Window {
        Window { kind: Kind::Other, what: String::new(), from, to: Some(to) }
    }

    #[test]
    fn overlapping_faults_are_one_disturbance() {
        let windows = [window(30, 40), window(0, 10), window(5, 20), window(20, 25)];
        assert_eq!(disturbed(&windows), [(0, 25), (30, 40)]);
    }

    #[test]
    fn calm_is_what_lies_between() {
        let disturbed = [(10, 20), (50, 60)];
        assert_eq!(longest_calm(&disturbed, 0, 100), (60, 100));
        assert_eq!(longest_calm(&disturbed, 15, 55), (20, 50));
        assert_eq!(longest_calm(&disturbed, 12, 18), (12, 12));
        assert_eq!(longest_calm(&disturbed, 70, 75), (70, 75));
        assert_eq!(longest_calm(&[], 70, 75), (70, 75));
    }

    #[test]
    fn a_recovery_that_another_fault_interrupts_is_not_measured() {
        let disturbed = [(0, 10), (15, 20), (40, 50)];
        assert_eq!(longest_wait(&disturbed, &[30, 53]), Some(10));
        assert_eq!(longest_wait(&disturbed, &[]), None);
    }

    #[test]
    fn a_backlog_is_over_when_its_last_message_is_taken() {
        let disturbed = [(0, 10), (15, 20), (40, 50)];
        assert_eq!(longest_backlog(&disturbed, &[(5, 18), (12, 27), (30, 53)]), Some(7));
        assert_eq!(longest_backlog(&disturbed, &[(5, 60)]), Some(10));
        assert_eq!(longest_backlog(&[], &[(5, 60)]), None);
    }
}
