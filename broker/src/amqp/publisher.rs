//! Publishing jobs with confirms, and events without.

use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::time::{sleep, timeout};

use super::connection::{Link, LiveConnection};
use super::topology;
use crate::contract::PublishError;
use hulak_common::job::{SendJob, StatusEvent, encode_events};

/// From the call to the last confirm.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);
/// Events are hints, and stale ones are worth little.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(2);
const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;

/// What became of one message.
enum Fate {
    Answered(Result<(), PublishError>),
    Returned(Box<BasicReturnMessage>),
}

/// A message for the queue of jobs.
pub(super) struct Post {
    pub(super) payload: Vec<u8>,
    pub(super) headers: FieldTable,
}

/// Publishes the jobs, giving up when the time is over, the connection is gone, or the broker blocks it.
pub(super) async fn publish(link: &Link, jobs: &[SendJob]) -> Vec<Result<(), PublishError>> {
    let pack = |job: &SendJob| Post {
        payload: job.encode(),
        headers: topology::requests_header(job).unwrap_or_default(),
    };
    let posts: Vec<_> = jobs.iter().map(pack).collect();
    post(link, &posts).await
}

/// Publishes messages that are already encoded.
pub(super) async fn post(link: &Link, posts: &[Post]) -> Vec<Result<(), PublishError>> {
    let unavailable = || vec![Err(PublishError::Unavailable); posts.len()];
    let Some(connection) = link.publishable() else { return unavailable() };
    let channels = &connection.channels;
    let mut stop = pin!(async {
        tokio::select! {
            () = sleep(CONFIRM_TIMEOUT) => {}
            () = link.unpublishable() => {}
        }
    });
    let prepared = async {
        let slot = channels.slots.acquire().await.ok()?;
        let channel = channels.confirmed(&connection.amqp).await;
        let channel = channel.inspect_err(|error| tracing::warn!(%error, "no channel to publish on")).ok()?;
        Some((slot, channel))
    };
    let prepared = tokio::select! {
        biased;
        prepared = prepared => prepared,
        () = &mut stop => None,
    };
    let Some((_slot, channel)) = prepared else { return unavailable() };
    let queue = channels.topology.send_queue();
    let outcome = send_all(&channel, &queue, posts, stop).await;
    if outcome.complete {
        // A channel with open confirms is dropped, which closes it.
        channels.give_back(channel);
    }
    if outcome.unroutable {
        tracing::warn!(queue, "a job came back: the queue is missing and will be declared again");
        channels.declare_again();
    }
    outcome.results
}

struct Outcome {
    results: Vec<Result<(), PublishError>>,
    /// Every confirm has come.
    complete: bool,
    /// Some job found no queue.
    unroutable: bool,
}

async fn send_all(
    channel: &Channel,
    queue: &str,
    posts: &[Post],
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Outcome {
    // These are polled in order, and each writes at its first poll: all are written before any confirm is looked at.
    let mut pending: FuturesUnordered<_> = posts
        .iter()
        .enumerate()
        .map(|(index, post)| async move { (index, send(channel, queue, index, post).await) })
        .collect();
    let mut results = vec![Err(PublishError::Unconfirmed); posts.len()];
    let mut returned = Vec::new();
    let complete = loop {
        let next = tokio::select! {
            biased;
            next = pending.next() => next,
            () = &mut stop => break false,
        };
        match next {
            Some((index, Fate::Answered(result))) => results[index] = result,
            Some((index, Fate::Returned(message))) => {
                results[index] = Ok(());
                returned.push((index, message));
            }
            None => break true,
        }
    };
    let unroutable = !returned.is_empty();
    for (carrier_index, message) in returned {
        // A message may come back with the confirm of another one, so each carries its index as its correlation id.
        let own =
            message.delivery.properties.correlation_id().as_ref().and_then(|id| id.as_str().parse().ok());
        if let Some(result) = results.get_mut(own.unwrap_or(carrier_index)) {
            *result = Err(PublishError::Refused);
        }
    }
    Outcome { results, complete, unroutable }
}

async fn send(channel: &Channel, queue: &str, index: usize, post: &Post) -> Fate {
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_headers(post.headers.clone())
        .with_correlation_id(index.to_string().into());
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    // Through the default exchange, where every queue is bound by its name.
    let written = channel.basic_publish("".into(), queue.into(), options, &post.payload, properties).await;
    let Ok(confirm) = written else { return Fate::Answered(Err(PublishError::Unavailable)) };
    match confirm.await {
        Ok(Confirmation::Ack(None)) => Fate::Answered(Ok(())),
        Ok(Confirmation::Ack(Some(message))) => Fate::Returned(Box::new(message)),
        Ok(Confirmation::Nack(_)) => Fate::Answered(Err(PublishError::Refused)),
        Ok(Confirmation::NotRequested) | Err(_) => Fate::Answered(Err(PublishError::Unconfirmed)),
    }
}

/// Publishes events.
pub(super) async fn announce(link: &Link, events: &[StatusEvent]) -> Result<(), PublishError> {
    let connection = link.publishable().ok_or(PublishError::Unavailable)?;
    let announced = tokio::select! {
        biased;
        announced = timeout(ANNOUNCE_TIMEOUT, announce_on(&connection, events)) => announced,
        () = link.unpublishable() => return Err(PublishError::Unavailable),
    };
    match announced {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::debug!(%error, "events were not announced");
            Err(PublishError::Unavailable)
        }
        Err(_) => Err(PublishError::Unavailable),
    }
}

async fn announce_on(connection: &LiveConnection, events: &[StatusEvent]) -> lapin::Result<()> {
    let channels = &connection.channels;
    let channel = channels.announcing(&connection.amqp).await?;
    let exchange = channels.topology.events_exchange();
    for payload in encode_events(events) {
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(TRANSIENT);
        let options = BasicPublishOptions::default();
        let exchange = exchange.as_str().into();
        // Resolved as soon as it is written: the channel has no confirms.
        channel.basic_publish(exchange, "".into(), options, &payload, properties).await?.await?;
    }
    Ok(())
}
