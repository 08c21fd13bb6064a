//! The services that other tests stand on: what was committed or confirmed survives a SIGKILL.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{env, time::Duration};

use hulak_testkit::services::{Durability, Postgres, PostgresOptions, RabbitMq};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use sqlx::{Connection as _, PgConnection};
use tokio::time::{sleep, timeout};

const QUEUE: &str = "kept";
/// Writes the directory of the quorum queues to the disk.
const WRITE_DIRECTORY: &str =
    "#{names := #{directory_rev := Table}} = ra_system:fetch(quorum_queues), ok = dets:sync(Table).";
const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn postgres_keeps_commits_through_kill9_and_stop() {
    let options = PostgresOptions { durability: Durability::Real, ..PostgresOptions::default() };
    let mut postgres = Postgres::start_with(&env::temp_dir(), options).await.unwrap();
    let url = postgres.url("postgres");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query("CREATE TABLE kept (n int)").execute(&mut connection).await.unwrap();
    sqlx::query("INSERT INTO kept VALUES (1)").execute(&mut connection).await.unwrap();

    postgres.kill9();
    let cut = sqlx::query("INSERT INTO kept VALUES (2)").execute(&mut connection).await;
    assert!(cut.is_err());
    assert!(PgConnection::connect(&url).await.is_err());

    postgres.restart().await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query("INSERT INTO kept VALUES (3)").execute(&mut connection).await.unwrap();
    postgres.stop().await.unwrap();
    postgres.restart().await.unwrap();
    // And while it runs.
    postgres.restart().await.unwrap();

    let mut connection = PgConnection::connect(&url).await.unwrap();
    let kept: Vec<i32> =
        sqlx::query_scalar("SELECT n FROM kept ORDER BY n").fetch_all(&mut connection).await.unwrap();
    assert_eq!(kept, [1, 3]);
}

#[tokio::test]
async fn rabbitmq_keeps_confirmed_messages_through_kill9() {
    let mut rabbit = RabbitMq::start(&env::temp_dir()).await.unwrap();
    let channel = open(&rabbit).await;
    publish(&channel, b"one").await;

    // RabbitMQ 3.10 writes a new quorum queue's entry in its directory within half a second, not at once. Killed
    // before, it comes back with a queue that never has a leader.
    rabbit.ctl(&["eval", WRITE_DIRECTORY]).await.unwrap();
    rabbit.kill9();
    let refused = Connection::connect(&rabbit.url(), ConnectionProperties::default()).await;
    assert!(refused.is_err());

    rabbit.restart().await.unwrap();
    let channel = open(&rabbit).await;
    assert_eq!(take(&channel).await, b"one");

    let said = rabbit.ctl(&["list_queues", "name"]).await.unwrap();
    assert!(said.contains(QUEUE), "{said}");
    let refused = rabbit.ctl(&["no_such_command"]).await.unwrap_err();
    assert!(refused.to_string().contains("no_such_command"), "{refused}");

    publish(&channel, b"two").await;
    rabbit.stop().await.unwrap();
    rabbit.restart().await.unwrap();
    assert_eq!(take(&open(&rabbit).await).await, b"two");
}

async fn open(rabbit: &RabbitMq) -> Channel {
    let connected = Connection::connect(&rabbit.url(), ConnectionProperties::default()).await;
    let channel = connected.unwrap().create_channel().await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    channel.queue_declare(QUEUE.into(), durable, quorum).await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    channel
}

async fn publish(channel: &Channel, payload: &[u8]) {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let published = channel.basic_publish("".into(), QUEUE.into(), options, payload, persistent).await;
    assert!(matches!(published.unwrap().await.unwrap(), Confirmation::Ack(None)));
}

/// The next message. A queue that has just recovered may need a moment before it hands one out.
async fn take(channel: &Channel) -> Vec<u8> {
    let taken = timeout(LONG, async {
        loop {
            let got = channel.basic_get(QUEUE.into(), BasicGetOptions { no_ack: true }).await.unwrap();
            if let Some(message) = got {
                return message.delivery.data;
            }
            sleep(Duration::from_millis(100)).await;
        }
    });
    taken.await.unwrap()
}
