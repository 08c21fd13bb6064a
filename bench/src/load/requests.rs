//! The requests: built into one buffer, without a copy more than needed.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use crate::load::client::member;
use crate::numbers::nth;
use crate::protocol::{Call, Kind, Numbers};

/// Numbers that take half of the requests from the start, until one in a hundred is more than these.
const FEW: u64 = 64;
/// Coprime to whatever it steps through, as it is a large prime: so ids are not read in the order of their making.
const STRIDE: u64 = 2_147_483_647;
/// Wrong codes for each verification, of the five checks that it bears: once was too few for a whole sample, as they take half the
/// time of right ones.
const WRONG: usize = 2;

/// An id as it is written.
pub(super) type Id = [u8; 36];

/// A verification and its code.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// The verification.
    pub id: Id,
    /// The right code.
    pub code: Vec<u8>,
}

/// What this process remembers between two pieces of work.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Verifications that were created.
    pub ids: RefCell<Vec<Id>>,
    /// Verifications with their codes.
    pub codes: RefCell<Vec<Known>>,
    /// How many new numbers were used.
    pub used: Cell<u64>,
    /// How many checks with right codes were made.
    pub checked: Cell<usize>,
}

/// Makes one request after another.
#[derive(Debug)]
pub(super) struct Requests {
    kind: Kind,
    memory: Rc<Memory>,
    head: Vec<u8>,
    made: Cell<u64>,
}

/// What a request was about, for those who look for it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Made {
    /// The number, if it was a request for a code.
    pub number: Option<u64>,
}

impl Requests {
    /// Requests of this kind.
    #[must_use]
    pub(super) fn new(call: &Call, memory: Rc<Memory>) -> Self {
        let Call { server, key, kind } = call;
        Self { head: head(*server, key), kind: kind.clone(), memory, made: Cell::new(0) }
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
                let ids = self.memory.ids.borrow();
                let count = u64::try_from(ids.len()).ok().filter(|count| *count > 0)?;
                let at = usize::try_from(n.wrapping_mul(STRIDE) % count).unwrap_or(0);
                get(into, &self.head, &ids[at], b"");
                Some(Made { number: None })
            }
            Kind::Check { wrong } => {
                let codes = self.memory.codes.borrow();
                let at = if *wrong {
                    wrong_at(n, codes.len())?
                } else {
                    self.memory.checked.replace(self.memory.checked.get() + 1)
                };
                let known = codes.get(at)?;
                self.check(into, known, *wrong);
                Some(Made { number: None })
            }
        }
    }

    fn check(&self, into: &mut Vec<u8>, known: &Known, wrong: bool) {
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
            let used = self.memory.used.replace(self.memory.used.get() + 1);
            nth(first + used)
        };
        match numbers {
            Numbers::New { first } => fresh(first),
            // Odd ones are new. Of all numbers seen so far one in a hundred is hot.
            Numbers::Hot if n % 2 == 1 => fresh(0),
            Numbers::Hot => {
                let hot = (self.memory.used.get() / 99).max(FEW);
                nth(crate::numbers::COUNT - 1 - (n / 2).wrapping_mul(STRIDE) % hot)
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

    /// Whether an answer with this status is one that is measured here.
    #[must_use]
    pub(super) fn expects(&self, status: u16) -> bool {
        match &self.kind {
            Kind::Bare | Kind::Poll { .. } | Kind::Check { wrong: false } => status == 200,
            Kind::Create { numbers: Numbers::Hot, .. } => matches!(status, 200 | 202 | 429),
            Kind::Create { .. } => status == 202,
            Kind::Check { wrong: true } => status == 422,
        }
    }

    /// Takes note of an answer.
    pub(super) fn remember(&self, body: &[u8]) {
        if let Kind::Create { keep: true, .. } = self.kind
            && let Some(id) = member(body, "id").and_then(|id| Id::try_from(id).ok())
        {
            self.memory.ids.borrow_mut().push(id);
        }
    }
}

/// What stands between the address and the end of a request without a body.
#[must_use]
pub(super) fn head(server: SocketAddr, key: &str) -> Vec<u8> {
    format!(" HTTP/1.1\r\nhost: {server}\r\nauthorization: Bearer {key}\r\n").into_bytes()
}

/// A look at a verification; `more` are headers, each with its end of line.
pub(super) fn get(into: &mut Vec<u8>, head: &[u8], id: &Id, more: &[u8]) {
    without_body(into, b"GET", head, id, b"", more);
}

/// Any request about a verification that has no body.
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

/// Which verification the wrong code number `n` is for; `None` when all have had theirs.
fn wrong_at(n: u64, verifications: usize) -> Option<usize> {
    let n = usize::try_from(n).ok()?;
    (n < WRONG * verifications).then(|| n % verifications)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn requests(kind: Kind, memory: &Rc<Memory>) -> Requests {
        let call = Call { server: ([127, 0, 0, 1], 80).into(), key: "hk_x".to_owned(), kind };
        Requests::new(&call, Rc::clone(memory))
    }

    fn text(requests: &Requests) -> String {
        let mut buffer = Vec::new();
        requests.next(&mut buffer).unwrap();
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn a_request_for_a_code_is_whole() {
        let memory = Rc::default();
        let create = requests(Kind::Create { numbers: Numbers::New { first: 0 }, keep: false }, &memory);
        assert_eq!(
            text(&create),
            "POST /v1/verifications HTTP/1.1\r\nhost: 127.0.0.1:80\r\nauthorization: Bearer hk_x\r\n\
             content-type: application/json\r\ncontent-length: 22\r\n\r\n{\"phone\":\"9840000000\"}"
        );
    }

    #[test]
    fn new_numbers_go_on_where_the_last_work_ended() {
        let memory = Rc::default();
        let kind = Kind::Create { numbers: Numbers::New { first: 0 }, keep: false };
        let first = text(&requests(kind.clone(), &memory));
        assert_ne!(first, text(&requests(kind, &memory)));
    }

    #[test]
    fn one_number_in_a_hundred_takes_half_of_the_requests() {
        let memory = Rc::default();
        let hot = requests(Kind::Create { numbers: Numbers::Hot, keep: false }, &memory);
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
        let memory = Rc::default();
        let numbers = Numbers::Mixed { existing: 1_000, share: 30, old: 900, new: 500 };
        let mixed = requests(Kind::Create { numbers, keep: false }, &memory);
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
        let memory: Rc<Memory> = Rc::default();
        for code in ["000000", "123459"] {
            let known = Known { id: [b'a'; 36], code: code.into() };
            memory.codes.borrow_mut().push(known);
        }
        let wrong = requests(Kind::Check { wrong: true }, &memory);
        assert!(text(&wrong).ends_with("{\"code\":\"000001\"}"));
        assert!(text(&wrong).ends_with("{\"code\":\"123450\"}"));
        assert!(text(&wrong).ends_with("{\"code\":\"000001\"}"));
        assert!(text(&wrong).ends_with("{\"code\":\"123450\"}"));
        assert_eq!(wrong.next(&mut Vec::new()), None);
        let right = requests(Kind::Check { wrong: false }, &memory);
        assert!(text(&right).ends_with("{\"code\":\"000000\"}"));
        let later = requests(Kind::Check { wrong: false }, &memory);
        assert!(text(&later).ends_with("{\"code\":\"123459\"}"));
        assert_eq!(later.next(&mut Vec::new()), None);
    }
}
