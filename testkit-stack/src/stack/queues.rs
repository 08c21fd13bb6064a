//! A stack's queues on RabbitMQ, reached past Hulak.

use hulak_broker::Topology;
use lapin::options::{BasicPublishOptions, ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};

/// Puts something on the queue of jobs.
pub(super) async fn put(url: &str, topology: &Topology, payload: &[u8]) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("the broker");
    let channel = connection.create_channel().await.expect("a channel");
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let published =
        channel.basic_publish("".into(), topology.send_queue().into(), options, payload, properties);
    published.await.expect("the publishing");
    // Closing comes behind it on the same line, so that it has arrived when that is answered.
    connection.close(200, "done".into()).await.expect("the goodbye");
}

/// Deletes all of a stack.
pub(super) async fn delete(url: &str, topology: &Topology) {
    let Ok(connection) = Connection::connect(url, ConnectionProperties::default()).await else {
        return;
    };
    let Ok(channel) = connection.create_channel().await else { return };
    for queue in [topology.send_queue(), topology.dead()] {
        let _gone = channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
    }
    for exchange in [topology.dead(), topology.events_exchange()] {
        let _gone = channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await;
    }
    let _closed = connection.close(200, "done".into()).await;
}
