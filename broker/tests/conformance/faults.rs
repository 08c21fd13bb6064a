//! What only RabbitMQ can do wrong.

use hulak_testkit::proxy::Proxy;

use futures_util::StreamExt as _;

use super::*;

/// How often a job was put off, as the broker keeps it.
const PUT_OFFS: &str = "x-hulak-put-offs";

/// A corner of the test broker for one test, with names of its own.
pub(crate) struct House {
    url: String,
    topology: Topology,
}

impl House {
    pub(crate) fn new() -> Self {
        let url = std::env::var("HULAK_TEST_BROKER_URL").unwrap_or_default();
        assert!(
            !url.is_empty(),
            "HULAK_TEST_BROKER_URL is not set: these tests need a RabbitMQ, which `make test` provides"
        );
        Self { url, topology: Topology::new(format!("test-{}", Rng::system().uuid())) }
    }

    fn broker_at(&self, url: &str) -> Arc<AmqpBroker> {
        AmqpBroker::connect(url.to_owned().into(), self.topology.clone(), Rng::seeded(7)).unwrap()
    }

    /// Runs a test with a connected broker, and cleans up.
    pub(crate) async fn visit(&self, test: impl AsyncFnOnce(Arc<AmqpBroker>)) {
        let broker = self.broker_at(&self.url);
        healthy(&*broker, BrokerHealth::Up).await;
        test(Arc::clone(&broker)).await;
        broker.close().await;
        self.tidy().await;
    }

    /// A connection that knows nothing of ours.
    async fn stranger(&self) -> (Connection, lapin::Channel) {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }

    async fn delete_send_queue(&self) {
        let (_connection, channel) = self.stranger().await;
        channel.queue_delete(self.topology.send_queue().into(), QueueDeleteOptions::default()).await.unwrap();
    }

    async fn delete_events_exchange(&self) {
        let (_connection, channel) = self.stranger().await;
        let name = self.topology.events_exchange().into();
        channel.exchange_delete(name, ExchangeDeleteOptions::default()).await.unwrap();
    }

    async fn tidy(&self) {
        let (_connection, channel) = self.stranger().await;
        for queue in [self.topology.send_queue(), self.topology.dead()] {
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
        }
        for exchange in [self.topology.dead(), self.topology.events_exchange()] {
            channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await.unwrap();
        }
    }

    /// Puts anything on the queue of jobs.
    async fn post(&self, payload: &[u8]) {
        self.post_with(payload, FieldTable::default()).await;
    }

    async fn post_with(&self, payload: &[u8], headers: FieldTable) {
        let (_connection, channel) = self.stranger().await;
        channel.confirm_select(Default::default()).await.unwrap();
        let queue = self.topology.send_queue().into();
        let options = BasicPublishOptions::default();
        let posted = channel
            .basic_publish(
                "".into(),
                queue,
                options,
                payload,
                BasicProperties::default().with_headers(headers),
            )
            .await;
        assert!(posted.unwrap().await.unwrap().is_ack());
    }
}

/// A line to the broker that can be cut.
struct Line(Proxy);

impl Line {
    async fn to(url: &str) -> Self {
        let target = url::Url::parse(url).unwrap();
        let address = format!("{}:{}", target.host_str().unwrap(), target.port().unwrap_or(5672));
        Self(Proxy::start(address.parse().unwrap()).await.unwrap())
    }

    fn url(&self, url: &str) -> String {
        let mut url = url::Url::parse(url).unwrap();
        url.set_host(Some(&self.0.addr().ip().to_string())).unwrap();
        url.set_port(Some(self.0.addr().port())).unwrap();
        url.into()
    }

    /// Ends every connection. While not `open`, new ones end at once.
    async fn cut(&self, open: bool) {
        self.0.cut().await.unwrap();
        if open {
            self.0.heal().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_ends_among_the_dead_letters() {
    let house = House::new();
    house
        .visit(async |broker| {
            let mut consumer = consume(&*broker, 5).await;
            house.post(b"rubbish").await;
            publish(&*broker, &[job(1)]).await;
            next(&mut consumer).await.ack().await;
            eventually("a dead letter", async || broker.dead_count().await == Ok(1)).await;
            for _ in 0..3 {
                let letters = broker.peek_dead(10).await.unwrap();
                assert_eq!((letters.len(), letters[0].payload.as_str()), (1, "rubbish"));
                assert_eq!(letters[0].reason, "rejected");
                assert!(letters[0].died_at.is_some());
                eventually("the letter is put back", async || broker.dead_count().await == Ok(1)).await;
            }
            assert_eq!(broker.peek_dead(0).await, Ok(vec![]));
            assert_eq!(broker.purge_dead().await, Ok(1));
            assert_eq!(broker.dead_count().await, Ok(0));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_job_waits_for_a_newer_worker_and_holds_up_nobody() {
    let house = House::new();
    house
        .visit(async |broker| {
            let mut consumer = consume(&*broker, 2).await;
            house.post(br#"{"v":9,"what":"ever"}"#).await;
            publish(&*broker, &[job(1), job(2), job(3)]).await;
            for _ in 0..3 {
                next(&mut consumer).await.ack().await;
            }
            assert!(timeout(SHORT, consumer.next()).await.is_err());
            // A newer worker comes, and gets it as a new job: no count has brought it nearer its death.
            let (_connection, channel) = house.stranger().await;
            let queue = house.topology.send_queue();
            let newer =
                channel.basic_consume(queue.into(), "".into(), Default::default(), FieldTable::default());
            let mut newer = newer.await.unwrap();
            let got = tokio::select! {
                got = soon("the newer job", newer.next()) => got,
                other = consumer.next() => panic!("not for this worker: {other:?}"),
            };
            let got = got.unwrap().unwrap();
            assert_eq!((got.data.as_slice(), got.redelivered), (&br#"{"v":9,"what":"ever"}"#[..], false));
            let headers = got.properties.headers().clone().unwrap_or_default();
            assert!(headers.inner().get(PUT_OFFS).is_some(), "{headers:?}");
            assert!(
                headers
                    .inner()
                    .get("x-delivery-count")
                    .is_none_or(|count| *count == AMQPValue::LongLongInt(0))
            );
            got.acker.ack(Default::default()).await.unwrap();
            assert_eq!(broker.dead_count().await, Ok(0));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_worker_is_not_waited_for_without_end() {
    let house = House::new();
    house
        .visit(async |broker| {
            let mut consumer = consume(&*broker, 1).await;
            let mut headers = FieldTable::default();
            headers.insert(PUT_OFFS.into(), AMQPValue::LongUInt(3_600));
            house.post_with(br#"{"v":9}"#, headers).await;
            assert!(timeout(SHORT, consumer.next()).await.is_err());
            eventually("a dead letter", async || broker.dead_count().await == Ok(1)).await;
            assert_eq!(broker.peek_dead(1).await.unwrap()[0].payload, r#"{"v":9}"#);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_line_heals() {
    let house = House::new();
    let line = Line::to(&house.url).await;
    let broker = house.broker_at(&line.url(&house.url));
    for round in 0..3 {
        healthy(&*broker, BrokerHealth::Up).await;
        publish(&*broker, &[job(round)]).await;
        let mut consumer = consume(&*broker, 5).await;
        let mut subscription = soon("subscribing", broker.subscribe()).await.unwrap();
        let delivery = next(&mut consumer).await;
        line.cut(true).await;
        assert!(soon("the consumer's end", consumer.next()).await.is_none());
        assert!(soon("the subscription's end", subscription.next()).await.is_none());
        // Too late, and harmless.
        soon("a late ack", delivery.ack()).await;
        let mut consumer = consume(&*broker, 5).await;
        let delivery = next(&mut consumer).await;
        assert_eq!((number(&delivery.job), delivery.redelivered), (round, true));
        delivery.ack().await;
        consumer.close().await;
    }
    healthy(&*broker, BrokerHealth::Up).await;
    publish(&*broker, &[job(9)]).await;
    broker.close().await;
    house.tidy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_over_a_line_that_is_cut_ends_and_loses_no_confirmed_job() {
    let house = House::new();
    let line = Line::to(&house.url).await;
    let broker = house.broker_at(&line.url(&house.url));
    healthy(&*broker, BrokerHealth::Up).await;
    let mut confirmed = HashSet::new();
    for round in 0..10_u128 {
        let jobs: Vec<_> = (round * 200..round * 200 + 200).map(job).collect();
        let (results, ()) = tokio::join!(soon("publishing", broker.publish(&jobs)), async {
            if round % 3 == 1 {
                line.cut(true).await;
            }
        });
        let ok = jobs.iter().zip(&results).filter(|(_, result)| result.is_ok());
        confirmed.extend(ok.map(|(job, _)| number(job)));
        healthy(&*broker, BrokerHealth::Up).await;
    }
    let mut consumer = consume(&*broker, 100).await;
    while !confirmed.is_empty() {
        let delivery = next(&mut consumer).await;
        confirmed.remove(&number(&delivery.job));
        delivery.ack().await;
    }
    broker.close().await;
    house.tidy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_broker_is_answered_for_at_once_and_waited_for() {
    let house = House::new();
    let line = Line::to(&house.url).await;
    line.cut(false).await;
    let broker = house.broker_at(&line.url(&house.url));
    // No connection: the answer takes no time.
    let answer = timeout(SHORT, broker.publish(&[job(1), job(2)])).await.unwrap();
    assert_eq!(answer, [Err(PublishError::Unavailable); 2]);
    let announced = timeout(SHORT, broker.announce(&[])).await.unwrap();
    assert_eq!(announced, Err(PublishError::Unavailable));
    assert_eq!(broker.dead_count().await, Err(BrokerError::Unavailable));
    assert_eq!(*broker.health().borrow(), BrokerHealth::Down);
    let waiting = tokio::spawn({
        let broker = Arc::clone(&broker);
        async move { broker.consume(1).await.unwrap() }
    });
    line.cut(true).await;
    let mut consumer = soon("waiting for the broker", waiting).await.unwrap();
    healthy(&*broker, BrokerHealth::Up).await;
    publish(&*broker, &[job(1)]).await;
    next(&mut consumer).await.ack().await;
    // And gone again.
    line.cut(false).await;
    healthy(&*broker, BrokerHealth::Down).await;
    // Either of the two connections may be the first to notice.
    eventually("both have noticed", async || {
        timeout(SHORT, broker.publish(&[job(1)])).await.unwrap() == [Err(PublishError::Unavailable)]
    })
    .await;
    line.cut(true).await;
    healthy(&*broker, BrokerHealth::Up).await;
    broker.close().await;
    house.tidy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_is_refused_and_made_again() {
    let house = House::new();
    house
        .visit(async |broker| {
            publish(&*broker, &[job(0)]).await;
            let mut consumer = consume(&*broker, 1).await;
            let _held = next(&mut consumer).await;
            house.delete_send_queue().await;
            assert!(soon("the consumer's end", consumer.next()).await.is_none());
            let jobs: Vec<_> = (0..20).map(job).collect();
            let refused = soon("publishing", broker.publish(&jobs)).await;
            assert_eq!(refused, [Err(PublishError::Refused); 20]);
            publish(&*broker, &jobs).await;
            let mut consumer = consume(&*broker, 1).await;
            next(&mut consumer).await.ack().await;
            // The consumer may be the one to make it again as well.
            house.delete_send_queue().await;
            soon("the consumer's end", async { while consumer.next().await.is_some() {} }).await;
            let mut consumer = consume(&*broker, 1).await;
            publish(&*broker, &jobs).await;
            next(&mut consumer).await.ack().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_channel_heals() {
    let house = House::new();
    house
        .visit(async |broker| {
            let event = StatusEvent { id: Uuid::nil(), version: 1 };
            broker.announce(&[event]).await.unwrap();
            // Publishing to an exchange that is not there closes the channel.
            house.delete_events_exchange().await;
            let _ = broker.announce(&[event]).await;
            let mut subscription = soon("subscribing", broker.subscribe()).await.unwrap();
            eventually("events flow again", async || {
                let _ = broker.announce(&[event]).await;
                timeout(SHORT, subscription.next()).await.is_ok_and(|events| events == Some(vec![event]))
            })
            .await;
            // And the other channels did not notice.
            publish(&*broker, &[job(1)]).await;
            assert_eq!(*broker.health().borrow(), BrokerHealth::Up);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_other_arguments_is_used_as_it_is_and_refuses_when_full() {
    let house = House::new();
    let (_connection, channel) = house.stranger().await;
    let mut small = FieldTable::default();
    small.insert("x-max-length".into(), AMQPValue::LongInt(1));
    small.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(house.topology.send_queue().into(), options, small).await.unwrap();
    house
        .visit(async |broker| {
            publish(&*broker, &[job(1)]).await;
            let full = soon("publishing", broker.publish(&[job(2), job(3)])).await;
            assert_eq!(full, [Err(PublishError::Refused); 2]);
            let mut consumer = consume(&*broker, 1).await;
            next(&mut consumer).await.ack().await;
            eventually("room again", async || broker.publish(&[job(4)]).await == [Ok(())]).await;
        })
        .await;
}
