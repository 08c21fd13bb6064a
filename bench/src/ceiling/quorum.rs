//! Messages through a quorum queue: persistent, confirmed, consumed and acknowledged, a thousand in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use hulak_common::clock::Stopwatch;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;

use crate::error::BenchError;
use crate::options::Options;
use crate::services::Services;
use crate::usage::{self, Cpu};

const QUEUE: &str = "ceiling";
const CONSUMER: &str = "ceiling";
const IN_FLIGHT: usize = 1_000;
const BODY: [u8; 64] = [b'x'; 64];
const PERSISTENT: u8 = 2;

/// Messages a second from the publisher to the acknowledging consumer, and the processor time of a thousand messages.
///
/// # Errors
/// When it cannot be measured.
pub async fn quorum(services: &Services, options: &Options) -> Result<(f64, Cpu), BenchError> {
    let connection = Connection::connect(&services.rabbit().url(), ConnectionProperties::default()).await?;
    let (out, back) = (connection.create_channel().await?, connection.create_channel().await?);
    let mut arguments = FieldTable::default();
    arguments.insert(ShortString::from("x-queue-type"), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    out.queue_declare(QUEUE.into(), durable, arguments).await?;

    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let consumed = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let consuming = tokio::spawn(consume(back.clone(), Arc::clone(&room), Arc::clone(&consumed)));
    let publishing = tokio::spawn(publish(out.clone(), room, Arc::clone(&stop)));

    sleep(Duration::from_secs_f64(options.warmup)).await;
    let (watch, first, before) =
        (Stopwatch::start(), consumed.load(Ordering::Relaxed), usage::cpu(&services.counted()));
    sleep(Duration::from_secs_f64(options.seconds)).await;
    let done = (consumed.load(Ordering::Relaxed) - first) as f64;
    let rate = done / watch.elapsed().as_secs_f64();
    let used = usage::between(&before, &usage::cpu(&services.counted()));
    stop.store(true, Ordering::Relaxed);
    let panicked =
        |error: tokio::task::JoinError| BenchError::Setup(format!("a task of the ceiling panicked: {error}"));
    publishing.await.map_err(panicked)??;
    // Canceled before the queue is deleted: otherwise the broker would cancel the consumer, too.
    back.basic_cancel(CONSUMER.into(), BasicCancelOptions::default()).await?;
    consuming.await.map_err(panicked)??;
    out.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await?;
    connection.close(200, "done".into()).await?;
    let used = used.into_iter().filter(|(name, _)| name == "rabbitmq");
    Ok((rate, used.map(|(name, seconds)| (name, seconds * 1_000.0 / done.max(1.0))).collect()))
}

/// The consumer gives the permits back. A second task awaits the confirms in order.
async fn publish(channel: Channel, room: Arc<Semaphore>, stop: Arc<AtomicBool>) -> Result<(), BenchError> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let (sender, mut confirms) = mpsc::channel(IN_FLIGHT);
    let confirming = tokio::spawn(async move {
        while let Some(confirm) = confirms.recv().await {
            if !matches!(confirm.await?, Confirmation::Ack(None)) {
                return Err(BenchError::Invalid("a message was not confirmed".to_owned()));
            }
        }
        Ok(())
    });
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    while !stop.load(Ordering::Relaxed) {
        let Ok(Ok(permit)) = tokio::time::timeout(Duration::from_secs(10), room.acquire()).await else {
            return Err(BenchError::Invalid("nothing is consumed any more".to_owned()));
        };
        permit.forget();
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirm =
            channel.basic_publish("".into(), QUEUE.into(), options, &BODY, properties.clone()).await?;
        if sender.send(confirm).await.is_err() {
            break;
        }
    }
    drop(sender);
    confirming.await.map_err(|error| BenchError::Setup(format!("a task of the ceiling panicked: {error}")))?
}

async fn consume(channel: Channel, room: Arc<Semaphore>, consumed: Arc<AtomicU64>) -> Result<(), BenchError> {
    channel.basic_qos(u16::try_from(IN_FLIGHT).unwrap_or(u16::MAX), BasicQosOptions::default()).await?;
    let mut consumer = channel
        .basic_consume(QUEUE.into(), CONSUMER.into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?;
    while let Some(delivery) = consumer.next().await {
        delivery?.ack(BasicAckOptions::default()).await?;
        consumed.fetch_add(1, Ordering::Relaxed);
        room.add_permits(1);
    }
    Ok(())
}
