//! Consuming jobs, and receiving events.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, Channel};
use tokio::time::{sleep, timeout};

use super::connection::{Link, LiveConnection};
use super::publisher::{self, Post};
use super::topology::{self, requests, table, text};
use crate::contract::{Consumer, Delivery, Settle, Subscription, Topology};
use hulak_common::job::{JobError, SendJob, StatusEvent, decode_events};
use hulak_common::trace_context::TRACEPARENT;

/// How long a worker holds a job of a newer release before it publishes the job again: a release is rolled out over
/// minutes, and without a pause the job would go back and forth between queue and worker.
const NEWER_PAUSE: Duration = Duration::from_secs(1);
/// How often a job has been put off in this way.
const PUT_OFFS: &str = "x-hulak-put-offs";
/// How often it may be: for about an hour, which is longer than any code lives. So the jobs of a release that was rolled
/// back do not stay for ever.
const MAX_PUT_OFFS: u32 = 3_600;
/// Time limit for writing an ack.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Batches of events the broker keeps for a subscriber that is slow; beyond it the oldest go.
const MAX_EVENT_BATCHES: i64 = 1_000;
/// Batches of events on their way to a subscriber.
const EVENT_PREFETCH: u16 = 64;

/// A consumer on a channel of its own.
pub(super) struct AmqpConsumer {
    channel: Channel,
    deliveries: lapin::Consumer,
    publishing: Link,
}

/// Starts consuming jobs.
pub(super) async fn consume(
    connection: &LiveConnection,
    publishing: Link,
    topology: &Topology,
    prefetch: u16,
) -> lapin::Result<AmqpConsumer> {
    // The queue may have been deleted: consuming ends then, and the connection does not.
    topology::declare(&connection.amqp, topology).await?;
    let channel = connection.amqp.create_channel().await?;
    // 0 would mean "no bound".
    channel.basic_qos(prefetch.max(1), BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let queue = topology.send_queue().into();
    let deliveries = channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?;
    Ok(AmqpConsumer { channel, deliveries, publishing })
}

#[async_trait]
impl Consumer for AmqpConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            let delivery = match self.deliveries.next().await? {
                Ok(delivery) => delivery,
                Err(error) => {
                    tracing::debug!(%error, "consuming ended");
                    return None;
                }
            };
            // No await from here on: a dropped call must not take a delivery with it.
            match SendJob::decode(&delivery.data) {
                Ok(job) => {
                    let job = job.with_requests(requests(delivery.properties.headers().as_ref()));
                    let handle = Box::new(AmqpHandle(delivery.acker));
                    return Some(Delivery { job, redelivered: delivery.redelivered, handle });
                }
                Err(JobError::Newer { version }) => put_off(delivery, version, self.publishing.clone()),
                Err(error) => bury(&delivery.acker, delivery.data.len(), error),
            }
        }
    }

    async fn close(self: Box<Self>) {
        // Closing the channel returns all jobs; canceling first would only take another round trip.
        let _ = timeout(CLOSE_TIMEOUT, self.channel.close(200, "done".into())).await;
    }
}

/// Publishes a job for a newer worker again after a while, as a new one: a requeued one would reach the queue's delivery
/// limit. Meanwhile it counts towards the prefetch, which also bounds the number of these tasks.
fn put_off(delivery: lapin::message::Delivery, version: u32, publishing: Link) {
    let lapin::message::Delivery { acker, data, properties, .. } = delivery;
    let times = put_offs(properties.headers().as_ref()) + 1;
    if times > MAX_PUT_OFFS {
        tracing::warn!(
            version,
            "a job is from a newer release that did not come, and goes to the dead letters"
        );
        return reject(&acker);
    }
    if times == 1 {
        tracing::info!(version, "a job is from a newer release and is left for a newer worker");
    }
    let mut headers = table([(PUT_OFFS, AMQPValue::LongUInt(times))]);
    if let Some(requests) = properties.headers().as_ref().and_then(|old| old.inner().get(TRACEPARENT)) {
        headers.insert(TRACEPARENT.into(), requests.clone());
    }
    let again = [Post { payload: data, headers }];
    tokio::spawn(async move {
        // While the broker is blocked or away, the worker keeps the job; the broker delivers it again if the channel
        // ends before the ack.
        while acker.usable() {
            sleep(NEWER_PAUSE).await;
            if publisher::post(&publishing, &again).await == [Ok(())] {
                return Box::new(AmqpHandle(acker)).ack().await;
            }
        }
    });
}

fn put_offs(headers: Option<&FieldTable>) -> u32 {
    match headers.and_then(|headers| headers.inner().get(PUT_OFFS)) {
        Some(AMQPValue::LongUInt(times)) => *times,
        _ => 0,
    }
}

/// Rejects a payload that is no job: the broker moves it to the dead letters.
fn bury(acker: &Acker, bytes: usize, error: JobError) {
    tracing::warn!(%error, bytes, "something on the queue is not a job and goes to the dead letters");
    reject(acker);
}

fn reject(acker: &Acker) {
    // The first poll writes it; if it is lost, the broker delivers the payload again.
    let _ = acker.reject(BasicRejectOptions { requeue: false }).now_or_never();
}

/// Acknowledges or requeues a delivery from RabbitMQ.
#[derive(Debug)]
struct AmqpHandle(Acker);

#[async_trait]
impl Settle for AmqpHandle {
    /// Answers when the ack is written, so that closing the consumer afterwards does not overtake it.
    async fn ack(self: Box<Self>) {
        settled(timeout(ACK_TIMEOUT, self.0.ack(BasicAckOptions::default())).await);
    }

    async fn requeue(self: Box<Self>) {
        let options = BasicNackOptions { requeue: true, ..Default::default() };
        settled(timeout(ACK_TIMEOUT, self.0.nack(options)).await);
    }
}

/// A lost ack is harmless: the job comes again, and its claim says that it is done.
fn settled(outcome: Result<lapin::Result<bool>, tokio::time::error::Elapsed>) {
    match outcome {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => tracing::debug!("the channel of a delivery is gone; the job comes again"),
        Ok(Err(error)) => tracing::debug!(%error, "a delivery was not settled; the job comes again"),
        Err(_) => tracing::debug!("settling a delivery took too long"),
    }
}

/// A subscription on a channel and a queue of its own.
pub(super) struct AmqpSubscription {
    /// Keeps the channel open.
    _channel: Channel,
    deliveries: lapin::Consumer,
}

/// Starts receiving events.
pub(super) async fn subscribe(
    connection: &LiveConnection,
    topology: &Topology,
) -> lapin::Result<AmqpSubscription> {
    topology::declare(&connection.amqp, topology).await?;
    let channel = connection.amqp.create_channel().await?;
    channel.basic_qos(EVENT_PREFETCH, BasicQosOptions::default()).await?;
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
    let bounds = table([
        ("x-max-length", AMQPValue::LongLongInt(MAX_EVENT_BATCHES)),
        ("x-overflow", text("drop-head")),
    ]);
    let queue = channel.queue_declare("".into(), options, bounds).await?.name().clone();
    let exchange = topology.events_exchange().into();
    let bind = QueueBindOptions::default();
    channel.queue_bind(queue.clone(), exchange, "".into(), bind, FieldTable::default()).await?;
    // With acks, although events may be lost: the prefetch, which needs acks, bounds what waits in this process.
    let options = BasicConsumeOptions { exclusive: true, ..Default::default() };
    let deliveries = channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?;
    Ok(AmqpSubscription { _channel: channel, deliveries })
}

#[async_trait]
impl Subscription for AmqpSubscription {
    async fn next(&mut self) -> Option<Vec<StatusEvent>> {
        loop {
            let delivery = self.deliveries.next().await?.ok()?;
            let _ = delivery.acker.ack(BasicAckOptions::default()).now_or_never();
            match decode_events(&delivery.data) {
                Ok(events) => return Some(events),
                Err(error) => tracing::debug!(%error, "something on the events exchange is not an event"),
            }
        }
    }
}
