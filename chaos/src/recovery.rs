//! How soon Hulak recovered after the faults.

use crate::fault_log::FaultWindow;
use crate::millis::Millis;

/// The spans with at least one active fault, in order and without overlap.
#[must_use]
pub fn disturbed(windows: &[FaultWindow]) -> Vec<(Millis, Millis)> {
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

/// The longest span without any fault between `from` and `to`: its beginning and its end.
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

/// The longest time from the end of a fault to the next of these moments (sorted). Ends that another fault followed before
/// that moment do not count.
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

/// The longest time from the end of a fault until the gateway had accepted the last message that waited then. Ends that another
/// fault followed before that do not count. `waits` are messages: when each was requested, and when the gateway accepted it.
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
    use crate::fault_log::FaultKind;

    fn window(from: Millis, to: Millis) -> FaultWindow {
        FaultWindow { kind: FaultKind::Other, what: String::new(), from, to: Some(to) }
    }

    #[test]
    fn overlapping_faults_are_one_disturbance() {
        let windows = [window(30, 40), window(0, 10), window(5, 20), window(20, 25)];
        assert_eq!(disturbed(&windows), [(0, 25), (30, 40)]);
    }

    #[test]
    fn the_longest_calm_is_between_two_faults() {
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
