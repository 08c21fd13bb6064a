//! Jobs that go wrong themselves.

use hulak_broker::{AmqpBroker, Broker as _};
use hulak_common::rng::Rng;
use hulak_testkit_stack::{Shape, Stack, StackOptions, eventually};
use sqlx::{Connection as _, PgConnection};

use super::*;

/// A job that kills its workers comes back again and again, until the broker has had enough. Its message is in the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_comes_back_too_often_dies_and_its_message_is_sent_all_the_same() {
    let mut stack = Stack::start(StackOptions { workers: 0, ..StackOptions::new(Shape::Production) }).await;
    let url = std::env::var("HULAK_TEST_BROKER_URL").unwrap();
    let broker = AmqpBroker::connect(url.into(), stack.topology().clone(), Rng::system()).unwrap();
    let id = ask(&stack, "9812345678").await;
    let mut database = PgConnection::connect(&stack.database_url()).await.unwrap();
    let mut consumer = broker.consume(1).await.unwrap();
    let mut deliveries = 0;
    // The queue's limit counts what comes after the first delivery.
    while deliveries < 101 {
        let delivery = consumer.next().await.unwrap();
        assert_eq!(delivery.redelivered, deliveries > 0);
        delivery.requeue().await;
        deliveries += 1;
    }
    eventually("its death", || async { (broker.dead_count().await == Ok(1)).then_some(()) }).await;
    assert_eq!(broker.peek_dead(1).await.unwrap()[0].reason, "delivery_limit");
    consumer.close().await;
    broker.close().await;

    // The row is as it was, and the relay publishes it when its time has come.
    let row = "SELECT state, publishes FROM messages";
    eventually("the note of the confirm", || async {
        let mut database = PgConnection::connect(&stack.database_url()).await.unwrap();
        let (state, publishes): (String, i32) = sqlx::query_as(row).fetch_one(&mut database).await.unwrap();
        assert_eq!(state, "queued");
        (publishes == 1).then_some(())
    })
    .await;
    sqlx::raw_sql("UPDATE messages SET publish_at = 0").execute(&mut database).await.unwrap();
    stack.add_worker().await;
    until_delivery(&stack, &id, "sent").await;
    assert_eq!(number(&stack, "9812345678").await["otp_count"], 1);
    stack.stop().await;
}
