//! What every broker has to do.

use super::*;

pub(crate) async fn a_job_goes_through_once(broker: Arc<dyn Broker>) {
    let full =
        SendJob::new((1..=16).map(|seq| MessageId { verification: Uuid::max(), seq }).collect()).unwrap();
    publish(&*broker, std::slice::from_ref(&full)).await;
    let mut consumer = consume(&*broker, 10).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.job, full);
    assert!(!delivery.redelivered);
    delivery.ack().await;
    consumer.close().await;
    let mut consumer = consume(&*broker, 10).await;
    assert!(timeout(SHORT, consumer.next()).await.is_err(), "an acknowledged job came again");
}

pub(crate) async fn what_is_not_acknowledged_comes_again(broker: Arc<dyn Broker>) {
    publish(&*broker, &[job(1), job(2)]).await;
    let mut consumer = consume(&*broker, 2).await;
    let (kept, dropped) = (next(&mut consumer).await, next(&mut consumer).await);
    drop(dropped);
    consumer.close().await;
    // Its consumer is gone: nothing happens.
    kept.ack().await;
    let mut consumer = consume(&*broker, 2).await;
    let again = [next(&mut consumer).await, next(&mut consumer).await];
    assert!(again.iter().all(|delivery| delivery.redelivered));
    assert_eq!(again.each_ref().map(|delivery| number(&delivery.job)).iter().sum::<u128>(), 3);
    // A dropped consumer gives back as well.
    drop(consumer);
    let mut consumer = consume(&*broker, 2).await;
    let first = next(&mut consumer).await;
    assert!(first.redelivered);
    first.requeue().await;
    for _ in 0..2 {
        next(&mut consumer).await.ack().await;
    }
    assert!(timeout(SHORT, consumer.next()).await.is_err());
}

pub(crate) async fn consumers_share(broker: Arc<dyn Broker>) {
    const JOBS: u128 = 200;
    publish(&*broker, &(0..JOBS).map(job).collect::<Vec<_>>()).await;
    let (seen, mut received) = tokio::sync::mpsc::channel(1_000);
    for _ in 0..4 {
        let mut consumer = consume(&*broker, 8).await;
        let seen = seen.clone();
        tokio::spawn(async move {
            while let Some(delivery) = consumer.next().await {
                let n = number(&delivery.job);
                delivery.ack().await;
                if seen.send(n).await.is_err() {
                    break;
                }
            }
        });
    }
    let mut all = HashSet::new();
    while all.len() < JOBS as usize {
        let n = soon("every job", received.recv()).await.unwrap();
        assert!(all.insert(n), "job {n} came twice");
    }
    assert!(timeout(SHORT, received.recv()).await.is_err(), "a job came twice");
}

pub(crate) async fn prefetch_bounds(broker: Arc<dyn Broker>) {
    publish(&*broker, &(0..5).map(job).collect::<Vec<_>>()).await;
    let mut consumer = consume(&*broker, 3).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(next(&mut consumer).await);
    }
    assert!(timeout(SHORT, consumer.next()).await.is_err(), "more than the prefetch came");
    held.pop().unwrap().ack().await;
    held.push(next(&mut consumer).await);
    assert!(timeout(SHORT, consumer.next()).await.is_err(), "more than the prefetch came");
    // What this one holds is not lost for others.
    let mut other = consume(&*broker, 1).await;
    next(&mut other).await.ack().await;
}

pub(crate) async fn everybody_hears_the_news(broker: Arc<dyn Broker>) {
    let events: Vec<_> =
        (0..600).map(|n| StatusEvent { id: Uuid::from_u128(n), version: n as i64 }).collect();
    broker.announce(&events[..1]).await.ok();
    let mut subscriptions = Vec::new();
    for _ in 0..3 {
        subscriptions.push(soon("subscribing", broker.subscribe()).await.unwrap());
    }
    healthy(&*broker, BrokerHealth::Up).await;
    broker.announce(&events).await.unwrap();
    for subscription in &mut subscriptions {
        let mut heard = Vec::new();
        while heard.len() < events.len() {
            heard.extend(soon("the news", subscription.next()).await.unwrap());
        }
        assert_eq!(heard, events);
    }
}

pub(crate) async fn a_thousand_in_one_go(broker: Arc<dyn Broker>) {
    publish(&*broker, &(0..1_000).map(job).collect::<Vec<_>>()).await;
    assert!(broker.publish(&[]).await.is_empty());
    let mut consumer = consume(&*broker, 100).await;
    let mut all = HashSet::new();
    for _ in 0..1_000 {
        let delivery = next(&mut consumer).await;
        all.insert(number(&delivery.job));
        delivery.ack().await;
    }
    assert_eq!(all.len(), 1_000);
}

pub(crate) async fn publishers_do_not_mix(broker: Arc<dyn Broker>) {
    let publishers = (0..12_u128).map(|p| {
        let broker = Arc::clone(&broker);
        tokio::spawn(async move {
            for round in 0..5_u128 {
                let first = (p * 5 + round) * 10;
                publish(&*broker, &(first..first + 10).map(job).collect::<Vec<_>>()).await;
            }
        })
    });
    for publisher in publishers.collect::<Vec<_>>() {
        publisher.await.unwrap();
    }
    let mut consumer = consume(&*broker, 100).await;
    let mut all = HashSet::new();
    for _ in 0..600 {
        let delivery = next(&mut consumer).await;
        all.insert(number(&delivery.job));
        delivery.ack().await;
    }
    assert_eq!(all.len(), 600);
}

pub(crate) async fn the_depth_is_what_nobody_holds(broker: Arc<dyn Broker>) {
    let depth = async |send| {
        eventually(&format!("a depth of {send}"), async || {
            broker.depths().await == Ok(Depths { send, dead: 0 })
        })
        .await;
    };
    healthy(&*broker, BrokerHealth::Up).await;
    depth(0).await;
    publish(&*broker, &[job(1), job(2), job(3)]).await;
    depth(3).await;
    let mut consumer = consume(&*broker, 1).await;
    let held = next(&mut consumer).await;
    depth(2).await;
    held.ack().await;
    consumer.close().await;
    depth(2).await;
}

pub(crate) async fn an_end_is_an_end(broker: Arc<dyn Broker>) {
    let mut consumer = consume(&*broker, 1).await;
    let mut subscription = soon("subscribing", broker.subscribe()).await.unwrap();
    soon("closing", broker.close()).await;
    soon("closing again", broker.close()).await;
    assert!(soon("the consumer's end", consumer.next()).await.is_none());
    assert!(soon("the subscription's end", subscription.next()).await.is_none());
    assert_eq!(broker.publish(&[job(1)]).await, [Err(PublishError::Unavailable)]);
    assert_eq!(broker.announce(&[]).await, Err(PublishError::Unavailable));
    assert_eq!(broker.consume(1).await.err(), Some(BrokerError::Closed));
    assert_eq!(broker.subscribe().await.err(), Some(BrokerError::Closed));
    assert_eq!(*broker.health().borrow(), BrokerHealth::Down);
}
