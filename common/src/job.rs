//! What travels over the broker: the ids of messages to send, and status events for pollers.
//!
//! Ids only. No number, no text and no code ever reaches the broker, so that its disks, its console and its dead
//! letters hold nothing worth stealing. The worker reads the rest from the store when it claims the message.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::trace_context::TraceContext;

/// The job format this program writes.
pub const VERSION: u32 = 1;
/// Ids in one job at most: a worker takes a job as one unit, so a large one would delay others.
pub const MAX_IDS: usize = 32;
/// Events in one AMQP message at most.
pub const MAX_EVENTS: usize = 256;
/// Bytes of an encoded job at most. A full job takes under 2 KiB; the rest is room for later versions.
const MAX_JOB_BYTES: usize = 16 * 1024;
/// Bytes of an encoded batch of events at most. A full batch takes under 24 KiB.
const MAX_EVENTS_BYTES: usize = 64 * 1024;

/// Why bytes from the broker are not a job, or ids do not make one.
///
/// No error repeats the payload: it must not reach the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// Not made by Hulak.
    #[error("not a job: {0}")]
    Garbage(&'static str),
    /// Made by a newer release, whose workers can read it.
    #[error("a job of version {version}, newer than this program")]
    Newer {
        /// The version it names.
        version: u32,
    },
    /// More bytes or more entries than a job may have.
    #[error("too large for a job")]
    TooLarge,
}

/// One SMS of a verification. Written `<uuid>/<seq>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The verification it belongs to.
    pub verification: Uuid,
    /// Its number among the verification's messages, from 1.
    pub seq: i32,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.verification.as_hyphenated(), self.seq)
    }
}

impl FromStr for MessageId {
    type Err = JobError;

    fn from_str(text: &str) -> Result<Self, JobError> {
        const WRONG: JobError = JobError::Garbage("a message id is <uuid>/<seq>");
        let (verification, seq) = text.split_once('/').ok_or(WRONG)?;
        let id = Self {
            verification: Uuid::try_parse(verification).map_err(|_| WRONG)?,
            seq: seq.parse().map_err(|_| WRONG)?,
        };
        // One spelling per id, so that ids may be compared as text: no braces, no capitals, no `+1` or `01`.
        if id.to_string() == text { Ok(id) } else { Err(WRONG) }
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A message to send, and the request that asked for it when that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    /// The message.
    pub id: MessageId,
    /// The request's trace context.
    pub request: Option<TraceContext>,
}

impl From<MessageId> for Outgoing {
    fn from(id: MessageId) -> Self {
        Self { id, request: None }
    }
}

/// A job for a worker: one to [`MAX_IDS`] messages to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendJob {
    ids: Vec<MessageId>,
    /// The requests that asked for the messages, in their order; empty when none is known. They travel in a header
    /// beside the job, which older releases ignore.
    requests: Vec<Option<TraceContext>>,
}

/// Version 1 on the wire. Unknown fields are let through, so that a later release may add one that may be ignored
/// without a new version; what may not be ignored takes a new version.
#[derive(Serialize, Deserialize)]
struct WireV1<'a> {
    v: u32,
    ids: std::borrow::Cow<'a, [MessageId]>,
}

/// The field that every version has.
#[derive(Deserialize)]
struct WireVersion {
    v: u32,
}

impl SendJob {
    /// A job of these messages.
    ///
    /// # Errors
    /// [`JobError::Garbage`] without any id, [`JobError::TooLarge`] with more than [`MAX_IDS`].
    pub fn new(ids: Vec<MessageId>) -> Result<Self, JobError> {
        match ids.len() {
            0 => Err(JobError::Garbage("no ids")),
            1..=MAX_IDS => Ok(Self { ids, requests: Vec::new() }),
            _ => Err(JobError::TooLarge),
        }
    }

    /// A job of one message.
    #[must_use]
    pub fn one(id: MessageId) -> Self {
        Self { ids: vec![id], requests: Vec::new() }
    }

    /// As many jobs as these messages need, `per_job` in each (bounded to 1..=[`MAX_IDS`]), in order.
    #[must_use]
    pub fn pack(messages: &[Outgoing], per_job: usize) -> Vec<Self> {
        let pack = |messages: &[Outgoing]| {
            let known = messages.iter().any(|message| message.request.is_some());
            let requests = if known { messages } else { &[] };
            Self {
                ids: messages.iter().map(|message| message.id).collect(),
                requests: requests.iter().map(|message| message.request).collect(),
            }
        };
        messages.chunks(per_job.clamp(1, MAX_IDS)).map(pack).collect()
    }

    /// With the requests that asked for the messages, in their order. If their number differs from that of the
    /// messages, they belong to another job and are ignored.
    #[must_use]
    pub fn with_requests(self, requests: Vec<Option<TraceContext>>) -> Self {
        let theirs = requests.len() == self.ids.len();
        Self { requests: if theirs { requests } else { Vec::new() }, ..self }
    }

    /// The requests that asked for the messages, in their order; empty when none is known.
    #[must_use]
    pub fn requests(&self) -> &[Option<TraceContext>] {
        &self.requests
    }

    /// The messages with their requests.
    pub fn messages(&self) -> impl Iterator<Item = Outgoing> + '_ {
        let requests = self.requests.iter().copied().chain(std::iter::repeat(None));
        self.ids.iter().zip(requests).map(|(id, request)| Outgoing { id: *id, request })
    }

    /// The messages: at least one.
    #[must_use]
    pub fn ids(&self) -> &[MessageId] {
        &self.ids
    }

    /// The payload for the broker.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        to_json(&WireV1 { v: VERSION, ids: self.ids.as_slice().into() })
    }

    /// Reads a payload from the broker.
    ///
    /// # Errors
    /// When it is not a job that this program knows; see [`JobError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, JobError> {
        if bytes.len() > MAX_JOB_BYTES {
            return Err(JobError::TooLarge);
        }
        // The version first: a newer job may differ in every other field.
        let WireVersion { v } = from_json(bytes)?;
        match v {
            VERSION => Self::new(from_json::<WireV1<'_>>(bytes)?.ids.into_owned()),
            0 => Err(JobError::Garbage("no such version")),
            version => Err(JobError::Newer { version }),
        }
    }
}

/// An event for pollers: this verification now has this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StatusEvent {
    /// The verification.
    pub id: Uuid,
    /// Its version after the change.
    pub version: i64,
}

/// Encodes events: one payload for every [`MAX_EVENTS`], in order.
#[must_use]
pub fn encode_events(events: &[StatusEvent]) -> Vec<Vec<u8>> {
    events.chunks(MAX_EVENTS).map(to_json).collect()
}

/// The events of one payload.
///
/// # Errors
/// When it is not one that [`encode_events`] could have made.
pub fn decode_events(bytes: &[u8]) -> Result<Vec<StatusEvent>, JobError> {
    if bytes.len() > MAX_EVENTS_BYTES {
        return Err(JobError::TooLarge);
    }
    let events: Vec<StatusEvent> = from_json(bytes)?;
    if events.len() > MAX_EVENTS { Err(JobError::TooLarge) } else { Ok(events) }
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "numbers, texts and lists in memory always have a JSON form")]
    serde_json::to_vec(value).expect("plain data has a JSON form")
}

/// serde's own message would quote the payload.
fn from_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, JobError> {
    serde_json::from_slice(bytes).map_err(|error| {
        JobError::Garbage(if error.is_data() { "fields missing or of the wrong kind" } else { "not JSON" })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(seq: i32) -> MessageId {
        MessageId { verification: Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001), seq }
    }

    #[test]
    fn the_wire_form_stays_what_it_is() {
        let job = SendJob::new(vec![id(1), id(2)]).unwrap();
        let wire = br#"{"v":1,"ids":["01990000-0000-7000-8000-000000000001/1","01990000-0000-7000-8000-000000000001/2"]}"#;
        assert_eq!(job.encode(), wire);
        assert_eq!(SendJob::decode(wire), Ok(job));
    }

    #[test]
    fn a_job_holds_one_to_thirty_two_ids() {
        assert_eq!(SendJob::new(vec![]), Err(JobError::Garbage("no ids")));
        assert!(SendJob::new(vec![id(1); MAX_IDS]).is_ok());
        assert_eq!(SendJob::new(vec![id(1); MAX_IDS + 1]), Err(JobError::TooLarge));
        assert_eq!(SendJob::decode(br#"{"v":1,"ids":[]}"#), Err(JobError::Garbage("no ids")));
    }

    #[test]
    fn packing_keeps_order_and_bounds() {
        let ids: Vec<_> = (1..=40).map(id).collect();
        let messages: Vec<_> = ids.iter().copied().map(Outgoing::from).collect();
        let jobs = SendJob::pack(&messages, 100);
        assert_eq!(jobs.iter().map(|job| job.ids().len()).collect::<Vec<_>>(), [32, 8]);
        assert_eq!(jobs.iter().flat_map(SendJob::ids).copied().collect::<Vec<_>>(), ids);
        assert_eq!(SendJob::pack(&messages, 0).len(), 40);
    }

    #[test]
    fn a_newer_version_is_recognised_whatever_else_it_says() {
        let newer = br#"{"batch":{"ids":7},"v":2,"ids":"elsewhere"}"#;
        assert_eq!(SendJob::decode(newer), Err(JobError::Newer { version: 2 }));
        assert!(
            SendJob::decode(br#"{"v":1,"ids":["01990000-0000-7000-8000-000000000001/1"],"hint":3}"#).is_ok()
        );
    }

    #[test]
    fn garbage_is_told_without_being_repeated() {
        for bytes in [
            &b""[..],
            b"9812345678",
            b"{}",
            br#"{"v":-1}"#,
            br#"{"v":0}"#,
            br#"{"v":"1"}"#,
            b"\xff\xfe",
            br#"{"v":1,"ids":["9812345678"]}"#,
            br#"{"v":1,"ids":[1]}"#,
            br#"{"v":1,"v":1,"ids":[]}"#,
        ] {
            match SendJob::decode(bytes) {
                Err(error @ JobError::Garbage(_)) => assert!(!error.to_string().contains("98123")),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(SendJob::decode(&vec![b' '; MAX_JOB_BYTES + 1]), Err(JobError::TooLarge));
    }

    #[test]
    fn an_id_has_one_spelling() {
        let good = "01990000-0000-7000-8000-000000000001/1";
        assert_eq!(good.parse(), Ok(id(1)));
        for bad in [
            "",
            "/",
            "01990000-0000-7000-8000-000000000001",
            "01990000-0000-7000-8000-000000000001/",
            "01990000-0000-7000-8000-000000000001/+1",
            "01990000-0000-7000-8000-000000000001/01",
            "01990000-0000-7000-8000-000000000001/1/1",
            "{01990000-0000-7000-8000-000000000001}/1",
            "01990000000070008000000000000001/1",
            "01990000-0000-7000-8000-000000000001/9999999999",
        ] {
            assert!(bad.parse::<MessageId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn events_are_cut_into_payloads() {
        let events: Vec<_> =
            (0..600).map(|n| StatusEvent { id: Uuid::from_u128(n), version: i64::MAX }).collect();
        let payloads = encode_events(&events);
        assert_eq!(payloads.len(), 3);
        assert!(payloads.iter().all(|payload| payload.len() < MAX_EVENTS_BYTES / 2));
        let back: Vec<_> = payloads.iter().flat_map(|payload| decode_events(payload).unwrap()).collect();
        assert_eq!(back, events);
        assert_eq!(decode_events(&to_json(&events)), Err(JobError::TooLarge));
        assert!(encode_events(&[]).is_empty());
    }

    prop_compose! {
        fn any_id()(verification in any::<u128>(), seq in any::<i32>()) -> MessageId {
            MessageId { verification: Uuid::from_u128(verification), seq }
        }
    }

    proptest! {
        #[test]
        fn a_job_survives_its_travels(ids in prop::collection::vec(any_id(), 1..=MAX_IDS)) {
            let job = SendJob::new(ids).unwrap();
            prop_assert_eq!(SendJob::decode(&job.encode()), Ok(job));
        }

        #[test]
        fn an_id_survives_as_text(id in any_id()) {
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn decoding_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
            let _ = SendJob::decode(&bytes);
            let _ = decode_events(&bytes);
        }

        #[test]
        fn decoding_almost_jobs_never_panics(text in r#"\{"v":[0-9]{1,11},"ids":\[("[0-9a-f/-]{0,50}",?){0,20}\]\}"#) {
            let _ = SendJob::decode(text.as_bytes());
        }
    }
}
