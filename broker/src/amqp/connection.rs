//! One connection to RabbitMQ, kept alive.
//!
//! lapin can recover connections by itself. It is not used: a recovered channel keeps unacknowledged
//! deliveries and open confirms of the lost one, which are hard to reason about. Here a lost connection is dropped with
//! its channels, and the next one starts empty.

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::tcp::{AMQPUriTcpExt, TLSConfig};
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::channels::Channels;
use super::topology;
use crate::contract::{BrokerError, BrokerHealth, Topology};
use hulak_common::rng::Rng;

/// From the first packet until the broker has accepted the connection. TCP and TLS may take half of it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Declaring everything.
const DECLARE_TIMEOUT: Duration = Duration::from_secs(10);
/// Closing a connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Events of the connection only wake the supervisor, which looks this often in case one is missed.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// A connection that lives shorter than this counts as another failure, so that a broker which closes connections right
/// after the handshake is not flooded with new ones.
const STABLE_AFTER: Duration = Duration::from_secs(5);
const SHORTEST_PAUSE: f64 = 0.1;
const LONGEST_PAUSE: f64 = 5.0;

/// What a connection is for.
///
/// There are two: RabbitMQ stops reading from a connection that publishes while it is short of memory or disk, and
/// acks on that connection would then not reach it either. Consuming is what gets it out of such trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Publishing,
    Consuming,
}

/// A live connection and its publishing channels.
#[derive(Debug)]
pub(super) struct LiveConnection {
    pub(super) amqp: Connection,
    pub(super) channels: Channels,
}

#[derive(Debug, Clone)]
enum State {
    Down,
    Up { connection: Arc<LiveConnection>, blocked: bool },
}

/// The current connection of one role.
#[derive(Debug, Clone)]
pub(super) struct Link {
    state: watch::Receiver<State>,
}

impl Link {
    /// The connection, unless there is none.
    pub(super) fn connection(&self) -> Option<Arc<LiveConnection>> {
        match &*self.state.borrow() {
            State::Up { connection, .. } => Some(Arc::clone(connection)),
            State::Down => None,
        }
    }

    /// The connection, if the broker takes messages on it now.
    pub(super) fn publishable(&self) -> Option<Arc<LiveConnection>> {
        match &*self.state.borrow() {
            State::Up { connection, blocked: false } => Some(Arc::clone(connection)),
            _ => None,
        }
    }

    /// Waits until [`publishable`](Self::publishable) answers `None`.
    pub(super) async fn unpublishable(&self) {
        // An error means that the supervisor has ended: there is no connection then, either.
        let _ = self.state.clone().wait_for(|state| !matches!(state, State::Up { blocked: false, .. })).await;
    }

    /// Waits for a connection.
    pub(super) async fn up(&self) -> Result<Arc<LiveConnection>, BrokerError> {
        let mut state = self.state.clone();
        let up = state.wait_for(|state| matches!(state, State::Up { .. })).await;
        match up.as_deref() {
            Ok(State::Up { connection, .. }) => Ok(Arc::clone(connection)),
            _ => Err(BrokerError::Closed),
        }
    }
}

/// The state of both connections together.
#[derive(Debug)]
pub(super) struct Health {
    links: Mutex<[BrokerHealth; 2]>,
    together: watch::Sender<BrokerHealth>,
}

impl Health {
    pub(super) fn new() -> Self {
        Self { links: Mutex::new([BrokerHealth::Down; 2]), together: watch::Sender::new(BrokerHealth::Down) }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<BrokerHealth> {
        self.together.subscribe()
    }

    fn set(&self, role: Role, health: BrokerHealth) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links[role as usize] = health;
        let together = match *links {
            [BrokerHealth::Up, BrokerHealth::Up] => BrokerHealth::Up,
            [BrokerHealth::Down, _] | [_, BrokerHealth::Down] => BrokerHealth::Down,
            _ => BrokerHealth::Blocked,
        };
        // Under the lock, so that the later of two changes is also the later one seen.
        self.together.send_if_modified(|known| std::mem::replace(known, together) != together);
    }
}

/// Connects, and connects again whenever the connection is lost.
pub(super) struct Supervisor {
    pub(super) uri: AMQPUri,
    pub(super) role: Role,
    pub(super) topology: Topology,
    pub(super) rng: Rng,
    pub(super) health: Arc<Health>,
    pub(super) closed: CancellationToken,
}

impl Supervisor {
    /// The link, and the task that keeps it up until `closed`.
    pub(super) fn link(self) -> (Link, impl Future<Output = ()> + Send) {
        let (sender, state) = watch::channel(State::Down);
        (Link { state }, self.run(sender))
    }

    async fn run(self, state: watch::Sender<State>) {
        let closed = self.closed.clone();
        let mut failures = 0_u32;
        // Dropping the attempt, and the connection with it, interrupts everything in here.
        while let Some(outcome) = closed.run_until_cancelled(self.connect()).await {
            match outcome {
                Ok(connection) => {
                    tracing::info!(role = ?self.role, host = self.uri.authority.host, "connected to the broker");
                    let was_stable = self.hold(&connection, &state).await;
                    self.down(&state);
                    if closed.is_cancelled() {
                        say_goodbye(&connection.amqp).await;
                        break;
                    }
                    tracing::warn!(role = ?self.role, "lost the connection to the broker");
                    failures = if was_stable { 0 } else { failures.saturating_add(1) };
                }
                Err(error) => {
                    // One line a minute or so tells an operator enough.
                    if failures.is_multiple_of(16) {
                        tracing::warn!(role = ?self.role, failures, %error, "cannot reach the broker");
                    }
                    failures = failures.saturating_add(1);
                }
            }
            let pause = pause(failures, self.rng.fraction());
            if closed.run_until_cancelled(sleep(pause)).await.is_none() {
                break;
            }
        }
    }

    async fn connect(&self) -> Result<Arc<LiveConnection>, ConnectError> {
        let connection = dial(&self.uri, self.role, CONNECT_TIMEOUT).await?;
        timeout(DECLARE_TIMEOUT, topology::declare(&connection, &self.topology))
            .await
            .map_err(|_| ConnectError::Timeout)??;
        Ok(Arc::new(LiveConnection { amqp: connection, channels: Channels::new(self.topology.clone()) }))
    }

    /// Publishes the connection in `state` until it ends or is closed. Answers whether it lived longer than [`STABLE_AFTER`].
    async fn hold(&self, connection: &Arc<LiveConnection>, state: &watch::Sender<State>) -> bool {
        let mut stable = pin!(sleep(STABLE_AFTER));
        let mut events = pin!(connection.amqp.events_listener());
        let mut was_stable = false;
        let mut shown = None;
        loop {
            let status = connection.amqp.status();
            if !status.connected() {
                return was_stable;
            }
            let blocked = status.blocked();
            if shown.replace(blocked) != Some(blocked) {
                self.show(connection, blocked, state);
            }
            tokio::select! {
                () = self.closed.cancelled() => return was_stable,
                () = &mut stable, if !was_stable => was_stable = true,
                event = events.next() => if event.is_none() { return was_stable },
                () = sleep(CHECK_EVERY) => {}
            }
        }
    }

    fn show(&self, connection: &Arc<LiveConnection>, blocked: bool, state: &watch::Sender<State>) {
        if blocked {
            tracing::warn!(role = ?self.role, "the broker is short of memory or disk and takes no messages");
        }
        state.send_replace(State::Up { connection: Arc::clone(connection), blocked });
        self.health.set(self.role, if blocked { BrokerHealth::Blocked } else { BrokerHealth::Up });
    }

    fn down(&self, state: &watch::Sender<State>) {
        state.send_replace(State::Down);
        self.health.set(self.role, BrokerHealth::Down);
    }
}

async fn say_goodbye(connection: &Connection) {
    if timeout(CLOSE_TIMEOUT, connection.close(200, "goodbye".into())).await.is_err() {
        tracing::debug!("the broker did not answer the goodbye");
    }
}

/// From 0.1 s to 5 s, growing, with jitter, so that many processes do not reconnect at the same moment.
fn pause(failures: u32, fraction: f64) -> Duration {
    let doublings = i32::try_from(failures.min(10)).unwrap_or(10);
    let longest = (SHORTEST_PAUSE * 2_f64.powi(doublings)).min(LONGEST_PAUSE);
    Duration::from_secs_f64(SHORTEST_PAUSE + (longest - SHORTEST_PAUSE) * fraction.clamp(0.0, 1.0))
}

/// Why there is no connection. lapin's errors name addresses, never credentials.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("no answer in time")]
    Timeout,
    #[error(transparent)]
    Amqp(#[from] lapin::Error),
}

/// Connects, in bounded time.
///
/// lapin runs each connection on a thread of its own, which waits for the socket. If a broker accepts the
/// connection and then stays silent, that thread waits for ever, and every further attempt adds one. So this function
/// keeps a handle to the socket until the handshake is over, and shuts the socket down after the time limit.
async fn dial(uri: &AMQPUri, role: Role, within: Duration) -> Result<Connection, ConnectError> {
    let socket = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&socket);
    let name = format!("hulak {role:?}").to_lowercase();
    let connecting = Connection::connector(
        uri.clone(),
        lapin::runtime::default_runtime()?,
        async move |uri, runtime| {
            let connecting = uri.connect_with_config_async(TLSConfig::default(), &runtime);
            let stream = timeout(within / 2, connecting).await.map_err(std::io::Error::from)??;
            let handle = match &stream {
                AsyncTcpStream::Plain(plain) => Some(plain.get_ref().as_fd()),
                AsyncTcpStream::Rustls(tls) => Some(tls.get_ref().0.get_ref().as_fd()),
                _ => None,
            };
            let handle = handle.map(|fd| fd.try_clone_to_owned()).transpose()?.map(TcpStream::from);
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = handle;
            Ok(stream)
        },
        ConnectionProperties::default().with_connection_name(name.into()),
    );
    let outcome = timeout(within, connecting).await;
    // Dropped in any case: a second handle would keep the socket open beyond its connection.
    let socket = socket.lock().unwrap_or_else(PoisonError::into_inner).take();
    match outcome {
        Ok(connected) => Ok(connected?),
        Err(_) => {
            if let Some(socket) = socket {
                let _ = socket.shutdown(Shutdown::Both);
            }
            Err(ConnectError::Timeout)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_their_bounds() {
        assert_eq!(pause(0, 0.99), Duration::from_millis(100));
        assert_eq!(pause(3, 0.0), Duration::from_millis(100));
        assert_eq!(pause(3, 1.0), Duration::from_millis(800));
        assert_eq!(pause(u32::MAX, 1.0), Duration::from_secs(5));
    }

    #[test]
    fn the_worse_of_two_links_counts() {
        let health = Health::new();
        let together = health.subscribe();
        health.set(Role::Consuming, BrokerHealth::Up);
        assert_eq!(*together.borrow(), BrokerHealth::Down);
        health.set(Role::Publishing, BrokerHealth::Up);
        assert_eq!(*together.borrow(), BrokerHealth::Up);
        health.set(Role::Publishing, BrokerHealth::Blocked);
        assert_eq!(*together.borrow(), BrokerHealth::Blocked);
        health.set(Role::Consuming, BrokerHealth::Down);
        assert_eq!(*together.borrow(), BrokerHealth::Down);
    }

    /// A broker that accepts and then stays silent must cost neither time nor threads.
    #[tokio::test]
    async fn a_silent_broker_is_given_up_and_hung_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut uri: AMQPUri = "amqp://127.0.0.1".parse().unwrap();
        uri.authority.port = listener.local_addr().unwrap().port();
        let silent = tokio::task::spawn_blocking(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = Vec::new();
            // Ends when the client closes the socket.
            std::io::Read::read_to_end(&mut stream, &mut heard).unwrap();
            heard
        });
        let dialled = dial(&uri, Role::Publishing, Duration::from_millis(200)).await;
        assert!(matches!(dialled, Err(ConnectError::Timeout)));
        assert!(silent.await.unwrap().starts_with(b"AMQP"));
    }
}
