//! The queues and exchanges on RabbitMQ, and its dead letters.
//!
//! Every process declares all of them when it connects: declaring what exists changes nothing.

use lapin::options::{
    BasicGetOptions, BasicNackOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    QueuePurgeOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};

use crate::contract::{DeadLetter, Depths, Topology};
use hulak_common::job::{MAX_IDS, SendJob};
use hulak_common::time::Timestamp;
use hulak_common::trace_context::{TRACEPARENT, TraceContext};

/// Jobs waiting at most; beyond it publishing is refused, and the relay tries later.
const MAX_JOBS: i64 = 1_000_000;
/// Dead letters kept at most; beyond it the broker drops the oldest.
const MAX_DEAD: i64 = 10_000;
/// A job that was delivered this often probably crashes its workers. The broker dead-letters it; the store still has the message.
const DELIVERY_LIMIT: i64 = 100;
/// Reading a dead letter counts as a delivery, and newer brokers drop a message after 20 of those by default.
const DEAD_DELIVERY_LIMIT: i64 = 1_000_000_000;
/// Bytes shown of a dead letter.
const DEAD_PAYLOAD: usize = 512;

/// One thing to declare.
enum Item {
    Exchange(String, ExchangeKind),
    Queue(String, FieldTable),
    Binding { queue: String, exchange: String },
}

fn items(topology: &Topology) -> [Item; 5] {
    let dead = topology.dead();
    [
        // Fan-out, so that a letter finds its queue whatever its routing key was.
        Item::Exchange(dead.clone(), ExchangeKind::Fanout),
        Item::Queue(
            dead.clone(),
            table([
                ("x-queue-type", text("quorum")),
                ("x-max-length", AMQPValue::LongLongInt(MAX_DEAD)),
                ("x-overflow", text("drop-head")),
                ("x-delivery-limit", AMQPValue::LongLongInt(DEAD_DELIVERY_LIMIT)),
            ]),
        ),
        Item::Binding { queue: dead.clone(), exchange: dead.clone() },
        Item::Queue(
            topology.send_queue(),
            table([
                ("x-queue-type", text("quorum")),
                ("x-max-length", AMQPValue::LongLongInt(MAX_JOBS)),
                // A full queue refuses the message, and the relay tries later. At-least-once dead-lettering requires this.
                ("x-overflow", text("reject-publish")),
                ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
                ("x-dead-letter-exchange", text(&dead)),
                ("x-dead-letter-strategy", text("at-least-once")),
            ]),
        ),
        Item::Exchange(topology.events_exchange(), ExchangeKind::Fanout),
    ]
}

/// Makes sure that everything exists.
///
/// What exists with other arguments (declared by another release, or by an operator) is used as it is: arguments of
/// a queue cannot be changed, and a service that runs with them is better than one that does not start.
pub(super) async fn declare(connection: &Connection, topology: &Topology) -> lapin::Result<()> {
    let mut channel = connection.create_channel().await?;
    for item in items(topology) {
        match item.declare(&channel, false).await {
            Err(error) if is_other_arguments(&error) => {
                tracing::warn!(
                    name = item.name(),
                    "exists on the broker with other arguments; used as it is"
                );
                // The refusal closed the channel.
                channel = connection.create_channel().await?;
                item.declare(&channel, true).await?;
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

fn is_other_arguments(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error)
        if *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED))
}

impl Item {
    fn name(&self) -> &str {
        match self {
            Self::Exchange(name, _) | Self::Queue(name, _) | Self::Binding { queue: name, .. } => name,
        }
    }

    /// Declares it; passively, only checks that it exists.
    async fn declare(&self, channel: &Channel, passive: bool) -> lapin::Result<()> {
        match self {
            Self::Exchange(name, kind) => {
                let options = ExchangeDeclareOptions { durable: true, passive, ..Default::default() };
                channel
                    .exchange_declare(name.as_str().into(), kind.clone(), options, FieldTable::default())
                    .await
            }
            Self::Queue(name, arguments) => {
                let options = QueueDeclareOptions { durable: true, passive, ..Default::default() };
                channel.queue_declare(name.as_str().into(), options, arguments.clone()).await.map(drop)
            }
            Self::Binding { queue, exchange } => {
                let (queue, exchange) = (queue.as_str().into(), exchange.as_str().into());
                let options = QueueBindOptions::default();
                channel.queue_bind(queue, exchange, "".into(), options, FieldTable::default()).await
            }
        }
    }
}

pub(super) async fn depths(channel: &Channel, topology: &Topology) -> lapin::Result<Depths> {
    let (send, dead) = (topology.send_queue(), topology.dead());
    Ok(Depths { send: count(channel, send).await?, dead: count(channel, dead).await? })
}

pub(super) async fn dead_count(channel: &Channel, topology: &Topology) -> lapin::Result<u64> {
    count(channel, topology.dead()).await
}

async fn count(channel: &Channel, queue: String) -> lapin::Result<u64> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let queue = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
    Ok(u64::from(queue.message_count()))
}

pub(super) async fn purge_dead(channel: &Channel, topology: &Topology) -> lapin::Result<u64> {
    channel.queue_purge(topology.dead().into(), QueuePurgeOptions::default()).await.map(u64::from)
}

/// Gets dead letters, reads them, and requeues all of them.
pub(super) async fn peek_dead(
    channel: &Channel,
    topology: &Topology,
    limit: usize,
) -> lapin::Result<Vec<DeadLetter>> {
    let mut letters = Vec::new();
    let mut last = None;
    while letters.len() < limit {
        let got = channel.basic_get(topology.dead().into(), BasicGetOptions::default()).await?;
        let Some(message) = got else { break };
        letters.push(dead_letter(&message.delivery.data, message.delivery.properties.headers().as_ref()));
        last = Some(message.delivery.acker);
    }
    if let Some(last) = last {
        last.nack(BasicNackOptions { multiple: true, requeue: true }).await?;
    }
    Ok(letters)
}

fn dead_letter(payload: &[u8], headers: Option<&FieldTable>) -> DeadLetter {
    let death = headers.and_then(|headers| match headers.inner().get("x-death") {
        // The latest comes first.
        Some(AMQPValue::FieldArray(deaths)) => deaths.as_slice().first(),
        _ => None,
    });
    let field = |name: &str| match death {
        Some(AMQPValue::FieldTable(death)) => death.inner().get(name),
        _ => None,
    };
    let shown = &payload[..payload.len().min(DEAD_PAYLOAD)];
    DeadLetter {
        payload: String::from_utf8_lossy(shown).into_owned(),
        reason: match field("reason") {
            Some(AMQPValue::LongString(reason)) => reason.to_string(),
            _ => "unknown".to_owned(),
        },
        died_at: match field("time") {
            Some(AMQPValue::Timestamp(seconds)) => i64::try_from(seconds.saturating_mul(1_000)).ok(),
            _ => None,
        }
        .map(Timestamp::from_millis),
    }
}

/// The requests that asked for a job's messages, as a header: one context as text, as others have it; several as a list in
/// the order of the messages, with an empty text where the request is not known.
pub(super) fn requests_header(job: &SendJob) -> Option<FieldTable> {
    let written = |request: &Option<TraceContext>| {
        text(&request.map(|request| request.to_string()).unwrap_or_default())
    };
    let value = match job.requests() {
        [] => return None,
        [one] => written(one),
        several => AMQPValue::FieldArray(several.iter().map(written).collect::<Vec<_>>().into()),
    };
    Some(table([(TRACEPARENT, value)]))
}

/// Reads the header. The job is sent whatever the header holds: at worst its requests are not known.
pub(super) fn requests(headers: Option<&FieldTable>) -> Vec<Option<TraceContext>> {
    let read = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => TraceContext::parse(std::str::from_utf8(text.as_bytes()).ok()?),
        _ => None,
    };
    match headers.and_then(|headers| headers.inner().get(TRACEPARENT)) {
        None => Vec::new(),
        Some(AMQPValue::FieldArray(several)) => {
            several.as_slice().iter().take(MAX_IDS + 1).map(read).collect()
        }
        Some(one) => vec![read(one)],
    }
}

pub(super) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

pub(super) fn table<const N: usize>(entries: [(&'static str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_is_bounded_and_says_why() {
        let death = table([("reason", text("rejected")), ("time", AMQPValue::Timestamp(1_700_000_000))]);
        let headers = table([("x-death", AMQPValue::FieldArray(vec![AMQPValue::FieldTable(death)].into()))]);
        let letter = dead_letter(&[b'x'; 5_000], Some(&headers));
        assert_eq!(letter.payload.len(), DEAD_PAYLOAD);
        assert_eq!(letter.reason, "rejected");
        assert_eq!(letter.died_at, Some(Timestamp::from_millis(1_700_000_000_000)));
    }

    #[test]
    fn requests_travel_beside_their_job() {
        let request = TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let id = |seq| hulak_common::job::MessageId { verification: uuid::Uuid::nil(), seq };
        let job = |ids: std::ops::Range<i32>| SendJob::new(ids.map(id).collect()).unwrap();
        assert_eq!(requests_header(&job(0..2)), None);
        for known in [vec![request], vec![request, None, request]] {
            let sent = job(0..i32::try_from(known.len()).unwrap()).with_requests(known.clone());
            let header = requests_header(&sent);
            assert_eq!(requests(header.as_ref()), known);
        }
        // Of another job, or not made by Hulak.
        assert_eq!(job(0..2).with_requests(vec![request]).requests(), []);
        let odd = table([(TRACEPARENT, AMQPValue::Boolean(true))]);
        assert_eq!(requests(Some(&odd)), [None]);
        assert_eq!(requests(None), []);
    }

    #[test]
    fn a_letter_without_a_story_is_shown_all_the_same() {
        let letter = dead_letter(b"\xff?", None);
        assert_eq!(
            letter,
            DeadLetter { payload: "\u{fffd}?".to_owned(), reason: "unknown".to_owned(), died_at: None }
        );
    }
}
