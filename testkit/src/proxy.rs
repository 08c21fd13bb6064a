//! A small TCP proxy that misbehaves on demand: tests put it between a program and its database or broker.
//!
//! Every buffer is bounded: a peer that stops reading is felt by the one that writes, as on a real wire.

use std::{future, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Sleep, sleep},
};

use crate::services::free_port;

/// What one read takes at most.
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks under way in one direction of one connection.
const CHUNKS_UNDER_WAY: usize = 64;
/// Connections beyond this wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 1024;

/// How the wire behaves at the moment.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    stalled: bool,
    delay: Duration,
}

/// What only the task that owns the listener can do, each answered once it is done.
enum Order {
    Cut(oneshot::Sender<io::Result<()>>),
    Heal(oneshot::Sender<io::Result<()>>),
}

/// A proxy on a loopback port in front of `upstream`. Dropping it closes the port and every connection.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    orders: mpsc::Sender<Order>,
    weather: Arc<watch::Sender<Weather>>,
}

impl Proxy {
    /// Listens on a free loopback port and forwards to `upstream`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let listener = TcpListener::bind(addr).await?;
        let (orders, inbox) = mpsc::channel(1);
        let weather = Arc::new(watch::Sender::new(Weather::default()));
        let keeper = Keeper { addr, upstream, weather: Arc::clone(&weather), connections: JoinSet::new() };
        tokio::spawn(keeper.run(listener, inbox));
        Ok(Self { addr, orders, weather })
    }

    /// Where to connect instead of the upstream. It stays the same through [`cut`](Self::cut) and [`heal`](Self::heal).
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Resets every connection and refuses new ones until [`heal`](Self::heal). Done when it returns.
    ///
    /// # Errors
    /// When the runtime that the proxy was started on is gone.
    pub async fn cut(&self) -> io::Result<()> {
        self.order(Order::Cut).await
    }

    /// Keeps connections open, and accepts new ones, but forwards nothing: a silent partition.
    /// What is under way is delivered after [`heal`](Self::heal).
    pub fn stall(&self) {
        self.weather.send_modify(|w| w.stalled = true);
    }

    /// Delivers whatever is read from now on `delay` later, in each direction. The throughput stays.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|w| w.delay = delay);
    }

    /// Ends a cut, a stall and a delay.
    ///
    /// # Errors
    /// When somebody else has taken the port during a cut.
    pub async fn heal(&self) -> io::Result<()> {
        self.weather.send_replace(Weather::default());
        self.order(Order::Heal).await
    }

    async fn order(&self, order: fn(oneshot::Sender<io::Result<()>>) -> Order) -> io::Result<()> {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the proxy's task is gone");
        let (done, answer) = oneshot::channel();
        self.orders.send(order(done)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// The task that owns the listener and every connection.
struct Keeper {
    addr: SocketAddr,
    upstream: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
    connections: JoinSet<()>,
}

impl Keeper {
    async fn run(mut self, listener: TcpListener, mut inbox: mpsc::Receiver<Order>) {
        let mut listener = Some(listener);
        loop {
            let may_accept = self.connections.len() < MAX_CONNECTIONS;
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(order) => self.obey(order, &mut listener).await,
                    None => return,
                },
                Some(_) = self.connections.join_next() => {}
                client = accept(listener.as_ref()), if may_accept => self.connect(client),
            }
        }
    }

    async fn obey(&mut self, order: Order, listener: &mut Option<TcpListener>) {
        // A caller that no longer waits for the answer needs none.
        match order {
            Order::Cut(done) => {
                *listener = None;
                self.connections.shutdown().await;
                let _ = done.send(Ok(()));
            }
            Order::Heal(done) => {
                let healed = self.listen_again(listener).await;
                let _ = done.send(healed);
            }
        }
    }

    async fn listen_again(&self, listener: &mut Option<TcpListener>) -> io::Result<()> {
        if listener.is_none() {
            *listener = Some(TcpListener::bind(self.addr).await?);
        }
        Ok(())
    }

    fn connect(&mut self, client: TcpStream) {
        let (upstream, weather) = (self.upstream, self.weather.subscribe());
        self.connections.spawn(async move {
            let client = Wire::new(client);
            // An absent upstream is what the client sees too: its connection is reset.
            if let Ok(server) = TcpStream::connect(upstream).await {
                join(client, Wire::new(server), weather).await;
            }
        });
    }
}

/// The next client, or nothing ever while there is no listener.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return future::pending().await };
    loop {
        match listener.accept().await {
            Ok((client, _)) => return client,
            // Out of descriptors, or a client that left at once: neither ends the proxy.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

/// A socket that is reset when it is dropped before its conversation is over, so that a cut does not look like an
/// orderly goodbye.
struct Wire {
    socket: TcpStream,
    over: bool,
}

impl Wire {
    fn new(socket: TcpStream) -> Self {
        // Without this, small messages wait for Nagle.
        let _ = socket.set_nodelay(true);
        Self { socket, over: false }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if !self.over {
            let _ = self.socket.set_zero_linger();
        }
    }
}

/// Forwards both ways until both have ended.
async fn join(mut client: Wire, mut server: Wire, weather: watch::Receiver<Weather>) {
    let (from_client, to_client) = client.socket.split();
    let (from_server, to_server) = server.socket.split();
    let there = forward(from_client, to_server, weather.clone());
    let back = forward(from_server, to_client, weather);
    tokio::join!(there, back);
    client.over = true;
    server.over = true;
}

/// What was read, and when it is due.
type Chunk = (Option<Pin<Box<Sleep>>>, Vec<u8>);

/// One direction. Reading and writing are apart so that a delay costs time, not throughput.
async fn forward(from: ReadHalf<'_>, to: WriteHalf<'_>, weather: watch::Receiver<Weather>) {
    let (sender, receiver) = mpsc::channel(CHUNKS_UNDER_WAY);
    let reading = read_all(from, sender, weather.clone());
    let writing = write_all(to, receiver, weather);
    tokio::join!(reading, writing);
}

async fn read_all(mut from: ReadHalf<'_>, out: mpsc::Sender<Chunk>, mut weather: watch::Receiver<Weather>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        if until_moving(&mut weather).await.is_none() {
            return;
        }
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(n) => buffer[..n].to_vec(),
        };
        let delay = weather.borrow().delay;
        // Even a sleep of nothing waits for the timer's next tick.
        let due = (!delay.is_zero()).then(|| Box::pin(sleep(delay)));
        if out.send((due, read)).await.is_err() {
            return;
        }
    }
}

async fn write_all(
    mut to: WriteHalf<'_>,
    mut chunks: mpsc::Receiver<Chunk>,
    mut weather: watch::Receiver<Weather>,
) {
    while let Some((due, bytes)) = chunks.recv().await {
        if let Some(due) = due {
            due.await;
        }
        if until_moving(&mut weather).await.is_none() || to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    // The other side has said that it sends no more: this is news too, and a stall holds it back as well.
    if until_moving(&mut weather).await.is_some() {
        let _ = to.shutdown().await;
    }
}

/// Waits while the wire is stalled. `None` when the proxy is gone.
async fn until_moving(weather: &mut watch::Receiver<Weather>) -> Option<()> {
    weather.wait_for(|w| !w.stalled).await.ok().map(drop)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(150);
    const LONG: Duration = Duration::from_secs(10);

    /// A server that answers every byte with the same byte.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = socket.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                    let _ = to.shutdown().await;
                });
            }
        });
        addr
    }

    async fn say(socket: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        socket.write_all(text).await?;
        hear(socket, text.len()).await
    }

    async fn hear(socket: &mut TcpStream, len: usize) -> io::Result<Vec<u8>> {
        let mut answer = vec![0; len];
        timeout(LONG, socket.read_exact(&mut answer)).await??;
        Ok(answer)
    }

    #[tokio::test]
    async fn forwards_both_ways_and_passes_the_end_on() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(say(&mut socket, b"namaste").await.unwrap(), b"namaste");

        let (mut from, mut to) = socket.into_split();
        let much = vec![7_u8; 5 * CHUNK_BYTES * CHUNKS_UNDER_WAY];
        let expected = much.len();
        tokio::spawn(async move {
            to.write_all(&much).await.unwrap();
            to.shutdown().await.unwrap();
        });
        let mut back = Vec::new();
        timeout(LONG, from.read_to_end(&mut back)).await.unwrap().unwrap();
        assert_eq!(back.len(), expected);
    }

    #[tokio::test]
    async fn a_cut_resets_and_refuses_until_healed() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
        say(&mut socket, b"x").await.unwrap();

        proxy.cut().await.unwrap();
        proxy.cut().await.unwrap();
        assert!(say(&mut socket, b"x").await.is_err());
        let refused = TcpStream::connect(proxy.addr()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

        proxy.heal().await.unwrap();
        let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(say(&mut socket, b"again").await.unwrap(), b"again");
    }

    #[tokio::test]
    async fn a_stall_holds_old_and_new_connections_and_loses_nothing() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut old = TcpStream::connect(proxy.addr()).await.unwrap();
        say(&mut old, b"x").await.unwrap();

        proxy.stall();
        let mut new = TcpStream::connect(proxy.addr()).await.unwrap();
        for socket in [&mut old, &mut new] {
            socket.write_all(b"held").await.unwrap();
            let mut byte = [0];
            assert!(timeout(SOON, socket.read(&mut byte)).await.is_err(), "a stalled wire delivered");
        }

        proxy.heal().await.unwrap();
        assert_eq!(hear(&mut old, 4).await.unwrap(), b"held");
        assert_eq!(hear(&mut new, 4).await.unwrap(), b"held");
    }

    #[tokio::test]
    async fn a_delay_is_paid_each_way_and_ends() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
        say(&mut socket, b"x").await.unwrap();

        proxy.delay(SOON);
        let early = timeout(SOON + SOON / 2, say(&mut socket, b"slow")).await;
        assert!(early.is_err(), "delivered before both delays were over");
        assert_eq!(hear(&mut socket, 4).await.unwrap(), b"slow");

        proxy.heal().await.unwrap();
        assert_eq!(say(&mut socket, b"fast").await.unwrap(), b"fast");
    }

    #[tokio::test]
    async fn an_absent_upstream_ends_the_connection() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let proxy = Proxy::start(gone).await.unwrap();
        let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
        let mut byte = [0];
        let ended = timeout(LONG, socket.read(&mut byte)).await.unwrap();
        assert!(matches!(ended, Ok(0) | Err(_)));
    }

    #[tokio::test]
    async fn dropping_the_proxy_closes_everything() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
        say(&mut socket, b"x").await.unwrap();
        drop(proxy);
        let mut byte = [0];
        let ended = timeout(LONG, socket.read(&mut byte)).await.unwrap();
        assert!(matches!(ended, Ok(0) | Err(_)));
    }
}
