//! One suite for both brokers, and what only RabbitMQ can do wrong.
//!
//! The RabbitMQ half needs a broker at `HULAK_TEST_BROKER_URL`; `make test` starts one. Every test names its own
//! queues, and deletes them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may end where its expectation does")]

mod faults;
mod suite;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hulak_broker::{
    AmqpBroker, Broker, BrokerError, BrokerHealth, Consumer, Delivery, Depths, MemoryBroker, PublishError,
    Topology,
};
use hulak_common::job::{MessageId, SendJob, StatusEvent};
use hulak_common::rng::Rng;
use lapin::options::{BasicPublishOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use faults::House;

/// Longer than anything takes that works.
const LONG: Duration = Duration::from_secs(30);
/// Long enough for what must not come to have come.
const SHORT: Duration = Duration::from_millis(300);

fn job(n: u128) -> SendJob {
    SendJob::one(MessageId { verification: Uuid::from_u128(n), seq: 1 })
}

fn number(job: &SendJob) -> u128 {
    job.ids()[0].verification.as_u128()
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.unwrap_or_else(|_| panic!("too late: {what}"))
}

/// Waits for a condition that nothing announces.
async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !condition().await {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

async fn healthy(broker: &dyn Broker, health: BrokerHealth) {
    let mut watched = broker.health();
    soon("health", watched.wait_for(|now| *now == health)).await.unwrap();
}

async fn publish(broker: &dyn Broker, jobs: &[SendJob]) {
    let results = soon("publishing", broker.publish(jobs)).await;
    assert_eq!(results.len(), jobs.len());
    assert!(results.iter().all(Result::is_ok), "{:?}", results.iter().find(|result| result.is_err()));
}

async fn consume(broker: &dyn Broker, prefetch: u16) -> Box<dyn Consumer> {
    soon("consuming", broker.consume(prefetch)).await.unwrap()
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    soon("a delivery", consumer.next()).await.expect("the consumer goes on")
}

macro_rules! conformance {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                suite::$test(MemoryBroker::new()).await;
            })+
        }

        mod rabbitmq {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let house = House::new();
                house.visit(async |broker: Arc<AmqpBroker>| suite::$test(broker).await).await;
            })+
        }
    };
}

conformance!(
    a_job_goes_through_once,
    what_is_not_acknowledged_comes_again,
    consumers_share,
    prefetch_bounds,
    everybody_hears_the_news,
    a_thousand_in_one_go,
    the_depth_is_what_nobody_holds,
    publishers_do_not_mix,
    an_end_is_an_end,
);

#[tokio::test]
async fn a_full_memory_refuses_and_giving_back_always_finds_room() {
    let broker = MemoryBroker::with_capacity(2);
    publish(&*broker, &[job(1)]).await;
    let mut consumer = consume(&*broker, 1).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(broker.publish(&[job(2), job(3)]).await, [Ok(()), Err(PublishError::Refused)]);
    // In memory, at once.
    drop(delivery);
    let delivery = next(&mut consumer).await;
    assert_eq!((number(&delivery.job), delivery.redelivered), (1, true));
    delivery.ack().await;
    publish(&*broker, &[job(3)]).await;
}

#[tokio::test]
async fn a_slow_listener_in_memory_misses_the_oldest() {
    let broker = MemoryBroker::new();
    let mut subscription = broker.subscribe().await.unwrap();
    for version in 0..5_000 {
        broker.announce(&[StatusEvent { id: Uuid::nil(), version }]).await.unwrap();
    }
    let first = subscription.next().await.unwrap()[0].version;
    assert!(first > 3_000, "{first}");
}
