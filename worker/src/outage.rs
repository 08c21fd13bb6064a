//! An outage of the gateway in the log: a line when it begins, one each minute, and one when it ends, instead of a warning for each
//! call that fails.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hulak_common::time::Timestamp;

use crate::gateway::SendResult;

/// As many failed calls in a row are an outage, and no accident.
const OUTAGE: u64 = 3;
/// From one line about an outage to the next.
const REMINDER: Duration = Duration::from_secs(60);

/// The calls that failed in a row.
#[derive(Debug, Default)]
pub struct Outage(Mutex<FailedCalls>);

#[derive(Debug, Default, Clone, Copy)]
struct FailedCalls {
    count: u64,
    since: Timestamp,
    told_at: Option<Timestamp>,
}

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Began { calls: u64 },
    GoesOn { calls: u64, lasting: Duration },
    Ended { calls: u64, lasting: Duration },
}

impl Outage {
    /// Notes how a call ended, and logs what there is to tell of it.
    pub fn note(&self, result: SendResult, now: Timestamp) {
        match self.news(result, now) {
            Some(News::Began { calls }) => {
                let answer = result.call().as_str();
                tracing::warn!(calls, answer, "every call to the gateway fails; messages are retried");
            }
            Some(News::GoesOn { calls, lasting }) => {
                tracing::warn!(calls, seconds = lasting.as_secs(), "every call to the gateway still fails");
            }
            Some(News::Ended { calls, lasting }) => {
                tracing::info!(calls, seconds = lasting.as_secs(), "the gateway takes messages again");
            }
            None => {}
        }
    }

    fn news(&self, result: SendResult, now: Timestamp) -> Option<News> {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            SendResult::NotNow { .. } | SendResult::Unknown => {}
            // The circuit tells of these.
            SendResult::AccountRefused { .. } => return None,
            SendResult::Accepted | SendResult::Refused(_) => {
                let FailedCalls { count, since, told_at } = std::mem::take(&mut *failed);
                return told_at.map(|_| News::Ended { calls: count, lasting: now - since });
            }
        }
        if failed.count == 0 {
            failed.since = now;
        }
        failed.count += 1;
        let calls = failed.count;
        let news = match failed.told_at {
            None if calls >= OUTAGE => News::Began { calls },
            Some(told_at) if now >= told_at + REMINDER => News::GoesOn { calls, lasting: now - failed.since },
            _ => return None,
        };
        failed.told_at = Some(now);
        Some(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_at_its_beginning_each_minute_and_at_its_end() {
        let outage = Outage::default();
        let at = |seconds: i64| Timestamp::from_millis(1_800_000_000_000 + seconds * 1_000);
        let fails = |seconds| outage.news(SendResult::NotNow { retry_after: None }, at(seconds));
        let works = |seconds| outage.news(SendResult::Accepted, at(seconds));
        assert_eq!([fails(0), fails(1), works(2)], [None, None, None], "an accident");
        assert_eq!([fails(3), fails(4)], [None, None]);
        assert_eq!(outage.news(SendResult::Unknown, at(5)), Some(News::Began { calls: 3 }));
        assert_eq!([fails(6), fails(64)], [None, None]);
        let lasting = Duration::from_secs(62);
        assert_eq!(fails(65), Some(News::GoesOn { calls: 6, lasting }));
        assert_eq!(fails(66), None);
        let lasting = Duration::from_secs(67);
        assert_eq!(works(70), Some(News::Ended { calls: 7, lasting }));
        assert_eq!(works(71), None);
    }
}
