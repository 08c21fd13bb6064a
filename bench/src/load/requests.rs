//! The requests, each built into one reused buffer.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use super::client::member;
use crate::phone_numbers::nth;
use crate::protocol::{Call, Kind, Numbers};

/// The least count of hot numbers, until one in a hundred is more than these.
const HOT_AT_LEAST: u64 = 64;
/// A large prime, coprime to the counts it steps through: so that ids are not read in the order of their creation.
const STRIDE: u64 = 2_147_483_647;
/// Wrong codes for each verification, of its five checks. A wrong code takes half the time of a right one, so that one for each
/// would not last for a whole sample.
const WRONG_CODES: usize = 2;

/// An id as text.
pub(super) type Id = [u8; 36];

/// A verification and its code.
#[derive(Debug, Clone)]
pub(super) struct KnownCode {
    /// The verification.
    pub id: Id,
    /// The right code.
    pub code: Vec<u8>,
}

/// What one command prepares for a later one.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// Verifications that were created.
    pub ids: RefCell<Vec<Id>>,
    /// Verifications with their codes.
    pub codes: RefCell<Vec<KnownCode>>,
    /// How many new numbers were used.
    pub used: Cell<u64>,
    /// How many checks with right codes were made.
    pub checked: Cell<usize>,
}

/// Builds one request after the other.
#[derive(Debug)]
pub(super) struct Requests {
    kind: Kind,
    prepared: Rc<Prepared>,
    head: Vec<u8>,
    made: Cell<u64>,
}

/// What a request was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Made {
    /// The number, if it was a request for a code.
    pub number: Option<u64>,
}

impl Requests {
    /// Requests of this kind.
    #[must_use]
    pub(super) fn new(call: &Call, prepared: Rc<Prepared>) -> Self {
        let Call { server, key, kind } = call;
        Self { head: head(*server, key), kind: kind.clone(), prepared, made: Cell::new(0) }
    }

    /// Writes the next request; `None` when there are no more.
    pub(super) fn next(&self, into: &mut Vec<u8>) -> Option<Made> {
        let n = self.made.replace(self.made.get() + 1);
        into.clear();
        match &self.kind {
            Kind::Bare => {
                self.post(into, b"/", b"", b"{\"phone\":\"9812345678\"}");
                Some(Made { number: None })
            }
            Kind::Create { numbers, .. } => {
                let number = self.number(*numbers, n);
                let mut body = *b"{\"phone\":\"..........\"}";
                body[10..20].copy_from_slice(&digits(number));
                self.post(into, b"/v1/verifications", b"", &body);
                Some(Made { number: Some(number) })
            }
            Kind::Poll { .. } => {
                let ids = self.prepared.ids.borrow();
                let count = u64::try_from(ids.len()).ok().filter(|count| *count > 0)?;
                let at = usize::try_from(n.wrapping_mul(STRIDE) % count).unwrap_or(0);
                get(into, &self.head, &ids[at], b"");
                Some(Made { number: None })
            }
            Kind::Check { wrong } => {
                let codes = self.prepared.codes.borrow();
                let at = if *wrong {
                    wrong_at(n, codes.len())?
                } else {
                    self.prepared.checked.replace(self.prepared.checked.get() + 1)
                };
                let known = codes.get(at)?;
                self.check(into, known, *wrong);
                Some(Made { number: None })
            }
        }
    }

    fn check(&self, into: &mut Vec<u8>, known: &KnownCode, wrong: bool) {
        let mut body = b"{\"code\":\"".to_vec();
        body.extend_from_slice(&known.code);
        if wrong && let Some(last) = body.last_mut() {
            *last = if *last == b'9' { b'0' } else { *last + 1 };
        }
        body.extend_from_slice(b"\"}");
        let mut path = b"/v1/verifications/".to_vec();
        path.extend_from_slice(&known.id);
        self.post(into, &path, b"/check", &body);
    }

    fn number(&self, numbers: Numbers, n: u64) -> u64 {
        let fresh = |first: u64| {
            let used = self.prepared.used.replace(self.prepared.used.get() + 1);
            nth(first + used)
        };
        match numbers {
            Numbers::New { first } => fresh(first),
            // Every second request is for a new number. Of all numbers so far, one in a hundred is hot.
            Numbers::Hot if n % 2 == 1 => fresh(0),
            Numbers::Hot => {
                let hot = (self.prepared.used.get() / 99).max(HOT_AT_LEAST);
                nth(crate::phone_numbers::COUNT - 1 - (n / 2).wrapping_mul(STRIDE) % hot)
            }
            Numbers::Mixed { existing, share, old, .. } if n % 100 < share => {
                nth((old + n / 100 * share + n % 100) % existing.max(1))
            }
            Numbers::Mixed { existing, new, .. } => fresh(existing + new),
        }
    }

    fn post(&self, into: &mut Vec<u8>, path: &[u8], end: &[u8], body: &[u8]) {
        into.extend_from_slice(b"POST ");
        into.extend_from_slice(path);
        into.extend_from_slice(end);
        into.extend_from_slice(&self.head);
        into.extend_from_slice(b"content-type: application/json\r\ncontent-length: ");
        into.extend_from_slice(body.len().to_string().as_bytes());
        into.extend_from_slice(b"\r\n\r\n");
        into.extend_from_slice(body);
    }

    /// Whether this status is expected.
    #[must_use]
    pub(super) fn expects(&self, status: u16) -> bool {
        match &self.kind {
            Kind::Bare | Kind::Poll { .. } | Kind::Check { wrong: false } => status == 200,
            Kind::Create { numbers: Numbers::Hot, .. } => matches!(status, 200 | 202 | 429),
            Kind::Create { .. } => status == 202,
            Kind::Check { wrong: true } => status == 422,
        }
    }

    /// Keeps the id of a new verification, where the command asks for it.
    pub(super) fn remember(&self, body: &[u8]) {
        if let Kind::Create { keep: true, .. } = self.kind
            && let Some(id) = member(body, "id").and_then(|id| Id::try_from(id).ok())
        {
            self.prepared.ids.borrow_mut().push(id);
        }
    }
}

/// The head of a request after its path.
#[must_use]
pub(super) fn head(server: SocketAddr, key: &str) -> Vec<u8> {
    format!(" HTTP/1.1\r\nhost: {server}\r\nauthorization: Bearer {key}\r\n").into_bytes()
}

/// Builds a read of a verification; `more` are headers, each with its end of line.
pub(super) fn get(into: &mut Vec<u8>, head: &[u8], id: &Id, more: &[u8]) {
    without_body(into, b"GET", head, id, b"", more);
}

/// Builds a request about a verification, without a body.
pub(super) fn without_body(
    into: &mut Vec<u8>,
    method: &[u8],
    head: &[u8],
    id: &Id,
    query: &[u8],
    more: &[u8],
) {
    into.clear();
    for piece in [method, b" /v1/verifications/", id, query, head, more, b"\r\n"] {
        into.extend_from_slice(piece);
    }
}

fn digits(number: u64) -> [u8; 10] {
    let mut digits = [b'0'; 10];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    digits
}

/// Which verification the `n`-th wrong code is for; `None` when all have had theirs.
fn wrong_at(n: u64, verifications: usize) -> Option<usize> {
    let n = usize::try_from(n).ok()?;
    (n < WRONG_CODES * verifications).then(|| n % verifications)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn requests(kind: Kind, prepared: &Rc<Prepared>) -> Requests {
        let call = Call { server: ([127, 0, 0, 1], 80).into(), key: "hk_x".to_owned(), kind };
        Requests::new(&call, Rc::clone(prepared))
    }

    fn text(requests: &Requests) -> String {
        let mut buffer = Vec::new();
        requests.next(&mut buffer).unwrap();
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn a_request_for_a_code_is_whole() {
        let prepared = Rc::default();
        let create = requests(Kind::Create { numbers: Numbers::New { first: 0 }, keep: false }, &prepared);
        assert_eq!(
            text(&create),
            "POST /v1/verifications HTTP/1.1\r\nhost: 127.0.0.1:80\r\nauthorization: Bearer hk_x\r\n\
             content-type: application/json\r\ncontent-length: 22\r\n\r\n{\"phone\":\"9840000000\"}"
        );
    }

    #[test]
    fn new_numbers_go_on_where_the_last_work_ended() {
        let prepared = Rc::default();
        let kind = Kind::Create { numbers: Numbers::New { first: 0 }, keep: false };
        let first = text(&requests(kind.clone(), &prepared));
        assert_ne!(first, text(&requests(kind, &prepared)));
    }

    #[test]
    fn one_number_in_a_hundred_takes_half_of_the_requests() {
        let prepared = Rc::default();
        let hot = requests(Kind::Create { numbers: Numbers::Hot, keep: false }, &prepared);
        let mut counts: HashMap<u64, u32> = HashMap::new();
        let mut buffer = Vec::new();
        for _ in 0..100_000 {
            *counts.entry(hot.next(&mut buffer).unwrap().number.unwrap()).or_default() += 1;
        }
        let often: Vec<u32> = counts.values().copied().filter(|count| *count > 1).collect();
        // The newest of the hot ones may have been drawn once so far.
        assert!((49_900..=50_000).contains(&often.iter().sum::<u32>()));
        let share = often.len() as f64 / counts.len() as f64;
        assert!((0.009..=0.0101).contains(&share), "{share}");
    }

    #[test]
    fn a_part_of_mixed_numbers_was_there_before_and_none_comes_twice() {
        let prepared = Rc::default();
        let numbers = Numbers::Mixed { existing: 1_000, share: 30, old: 900, new: 500 };
        let mixed = requests(Kind::Create { numbers, keep: false }, &prepared);
        let before: Vec<u64> = (0..1_000).map(nth).collect();
        let mut buffer = Vec::new();
        let mut drawn: Vec<u64> =
            (0..1_000).map(|_| mixed.next(&mut buffer).unwrap().number.unwrap()).collect();
        assert_eq!(drawn.iter().filter(|number| before.contains(number)).count(), 300);
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 1_000);
    }

    #[test]
    fn wrong_codes_are_wrong_and_right_ones_are_used_once() {
        let prepared: Rc<Prepared> = Rc::default();
        for code in ["000000", "123459"] {
            let known = KnownCode { id: [b'a'; 36], code: code.into() };
            prepared.codes.borrow_mut().push(known);
        }
        let wrong = requests(Kind::Check { wrong: true }, &prepared);
        assert!(text(&wrong).ends_with("{\"code\":\"000001\"}"));
        assert!(text(&wrong).ends_with("{\"code\":\"123450\"}"));
        assert!(text(&wrong).ends_with("{\"code\":\"000001\"}"));
        assert!(text(&wrong).ends_with("{\"code\":\"123450\"}"));
        assert_eq!(wrong.next(&mut Vec::new()), None);
        let right = requests(Kind::Check { wrong: false }, &prepared);
        assert!(text(&right).ends_with("{\"code\":\"000000\"}"));
        let later = requests(Kind::Check { wrong: false }, &prepared);
        assert!(text(&later).ends_with("{\"code\":\"123459\"}"));
        assert_eq!(later.next(&mut Vec::new()), None);
    }
}
