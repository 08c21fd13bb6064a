//! RabbitMQ, by AMQP 0-9-1.

mod channels;
mod connection;
mod consumer;
mod publisher;
mod topology;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use connection::{Health, Link, LiveConnection, Role, Supervisor};

use crate::contract::{
    Broker, BrokerError, BrokerHealth, Consumer, DeadLetter, Depths, PublishError, Subscription, Topology,
};
use hulak_common::job::{SendJob, StatusEvent};
use hulak_common::rng::Rng;

/// Seconds between heartbeats, unless the URL says otherwise. A dead peer is noticed after twice that.
const HEARTBEAT: u16 = 5;
/// Setting up a consumer or a subscription.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);
/// Between attempts to set up a consumer on a connection that seems fine.
const SETUP_PAUSE: f64 = 0.5;
/// Questions about dead letters.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_PEEK: usize = 100;
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// The [`Broker`] on RabbitMQ.
///
/// Over `amqps` it uses rustls with the process's crypto provider, or installs ring's when there is none, and trusts
/// the web's root certificates.
pub struct AmqpBroker {
    topology: Topology,
    rng: Rng,
    publishing: Link,
    consuming: Link,
    health: Arc<Health>,
    closed: CancellationToken,
    tasks: TaskTracker,
    /// Dropping the broker ends its connections.
    _close_on_drop: DropGuard,
}

impl AmqpBroker {
    /// Begins to connect, and goes on trying for as long as it takes. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the URL is not one of `amqp://` or `amqps://`; nothing else is checked here.
    #[expect(clippy::needless_pass_by_value, reason = "the secret is not to outlive its use")]
    pub fn connect(url: SecretString, topology: Topology, rng: Rng) -> Result<Arc<Self>, BrokerError> {
        let uri = parse(url.expose_secret())?;
        let health = Arc::new(Health::new());
        let closed = CancellationToken::new();
        let tasks = TaskTracker::new();
        let start = |role| {
            let (topology, rng) = (topology.clone(), rng.clone());
            let (health, closed) = (Arc::clone(&health), closed.clone());
            let (link, keeping) = Supervisor { uri: uri.clone(), role, topology, rng, health, closed }.link();
            tasks.spawn(keeping);
            link
        };
        let (publishing, consuming) = (start(Role::Publishing), start(Role::Consuming));
        tasks.close();
        let _close_on_drop = closed.clone().drop_guard();
        Ok(Arc::new(Self { topology, rng, publishing, consuming, health, closed, tasks, _close_on_drop }))
    }

    /// Waits for a connection and sets something up on it, until that works.
    async fn set_up<T, F>(
        &self,
        what: &str,
        set_up: impl Fn(Arc<LiveConnection>) -> F + Send,
    ) -> Result<T, BrokerError>
    where
        F: Future<Output = lapin::Result<T>> + Send,
        T: Send,
    {
        loop {
            let connection = self.consuming.up().await?;
            match timeout(SETUP_TIMEOUT, set_up(Arc::clone(&connection))).await {
                Ok(Ok(done)) => return Ok(done),
                // The supervisor has logged its end.
                Ok(Err(_)) if !connection.amqp.status().connected() => {}
                Ok(Err(error)) => tracing::warn!(%error, "cannot {what} yet"),
                Err(_) => tracing::warn!("cannot {what} yet: no answer in time"),
            }
            sleep(Duration::from_secs_f64(SETUP_PAUSE * (0.5 + self.rng.fraction()))).await;
        }
    }

    /// Asks something on a fresh channel. On the consuming connection: the other one may be blocked.
    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Channel) -> lapin::Result<T>,
    ) -> Result<T, BrokerError> {
        let connection = self.consuming.connection().ok_or(BrokerError::Unavailable)?;
        let answer = timeout(ASK_TIMEOUT, ask_on(&connection.amqp, question)).await;
        answer.map_err(|_| BrokerError::Unavailable)?.map_err(|error| BrokerError::Failed(error.to_string()))
    }
}

async fn ask_on<T>(
    connection: &Connection,
    question: impl AsyncFnOnce(&Channel) -> lapin::Result<T>,
) -> lapin::Result<T> {
    let channel = connection.create_channel().await?;
    let answer = question(&channel).await?;
    channel.close(200, "done".into()).await?;
    Ok(answer)
}

impl fmt::Debug for AmqpBroker {
    /// Without the address, which holds a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpBroker")
            .field("topology", &self.topology)
            .field("health", &*self.health.subscribe().borrow())
            .finish_non_exhaustive()
    }
}

/// The address, checked. Errors name a rule and never the address.
fn parse(url: &str) -> Result<AMQPUri, BrokerError> {
    let parsed = url::Url::parse(url).map_err(|_| BrokerError::Url("cannot be read"))?;
    let host = parsed.host().ok_or(BrokerError::Url("names no host"))?;
    let mut uri: AMQPUri = match parsed.scheme() {
        "amqp" | "amqps" => {
            url.parse().map_err(|_| BrokerError::Url("has a parameter that cannot be read"))?
        }
        _ => return Err(BrokerError::Url("must begin with amqp:// or amqps://")),
    };
    if let url::Host::Ipv6(address) = host {
        // lapin takes names only, and would go to localhost instead.
        uri.authority.host = address.to_string();
    }
    if uri.vhost.is_empty() {
        // Strictly, `amqp://host/` names the virtual host with the empty name; people who write it mean the default one.
        "/".clone_into(&mut uri.vhost);
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    Ok(uri)
}

#[async_trait]
impl Broker for AmqpBroker {
    async fn publish(&self, jobs: &[SendJob]) -> Vec<Result<(), PublishError>> {
        publisher::publish(&self.publishing, jobs).await
    }

    async fn consume(&self, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        let consumer = self
            .set_up("consume jobs", |connection| async move {
                consumer::consume(&connection, self.publishing.clone(), &self.topology, prefetch).await
            })
            .await?;
        Ok(Box::new(consumer))
    }

    async fn announce(&self, events: &[StatusEvent]) -> Result<(), PublishError> {
        publisher::announce(&self.publishing, events).await
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, BrokerError> {
        let subscription = self
            .set_up("listen to events", |connection| async move {
                consumer::subscribe(&connection, &self.topology).await
            })
            .await?;
        Ok(Box::new(subscription))
    }

    fn health(&self) -> watch::Receiver<BrokerHealth> {
        self.health.subscribe()
    }

    async fn depths(&self) -> Result<Depths, BrokerError> {
        self.ask(async |channel| topology::depths(channel, &self.topology).await).await
    }

    async fn dead_count(&self) -> Result<u64, BrokerError> {
        self.ask(async |channel| topology::dead_count(channel, &self.topology).await).await
    }

    async fn purge_dead(&self) -> Result<u64, BrokerError> {
        self.ask(async |channel| topology::purge_dead(channel, &self.topology).await).await
    }

    async fn peek_dead(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        let limit = limit.min(MAX_PEEK);
        self.ask(async |channel| topology::peek_dead(channel, &self.topology, limit).await).await
    }

    async fn close(&self) {
        self.closed.cancel();
        if timeout(CLOSE_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("the broker connections did not close in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_completed() {
        let uri = parse("amqp://user:p%40ss@broker.example:5673/jobs").unwrap();
        assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("broker.example", 5673));
        assert_eq!((uri.vhost.as_str(), uri.query.heartbeat), ("jobs", Some(HEARTBEAT)));
        assert_eq!(uri.authority.userinfo.password, "p@ss");
        assert_eq!(parse("amqps://broker.example").unwrap().authority.port, 5671);
        assert_eq!(parse("amqp://broker.example/").unwrap().vhost, "/");
        assert_eq!(parse("amqp://broker.example/%2f?heartbeat=30").unwrap().query.heartbeat, Some(30));
        assert_eq!(parse("amqp://[::1]:5672").unwrap().authority.host, "::1");
    }

    #[test]
    fn a_bad_address_is_refused_without_its_password() {
        for bad in [
            "",
            "hunter2",
            "http://user:hunter2@host",
            "amqp:hunter2",
            "amqp:///hunter2",
            "amqp://user:hunter2@host/?heartbeat=hunter2",
            "amqp://user:hunter2@host:99999",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{bad}");
        }
    }

    #[tokio::test]
    async fn the_password_does_not_show() {
        let url = "amqp://user:hunter2@127.0.0.1:1".to_owned().into();
        let broker = AmqpBroker::connect(url, Topology::default(), Rng::seeded(1)).unwrap();
        assert!(!format!("{broker:?}").contains("hunter2"));
        broker.close().await;
    }
}
