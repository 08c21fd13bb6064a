//! One loop that serves HTTP/1.1, for every program.
//!
//! It bounds the connections, in all and from one network, the size of a header and the time to send one, and the time that a
//! request may take until its answer begins, its body included. It answers for a handler that panics or takes too long, passes the
//! caller's address to the service, closes a connection without an answer when the service fails, and stops in two steps with
//! [`Shutdown`]. The service bounds what a request may contain.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tower::{Service, ServiceExt};

use crate::networks::{Networks, Peers, Place};
use crate::shutdown::{DRAIN, Shutdown};

/// The largest header, in bytes: a browser's cookies and a tracing library's `baggage` fit. It bounds what a connection buffers.
const MAX_HEADER: usize = 16 * 1024;

/// How long accepting pauses when the system has no file handles or memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The address a request came from, as the socket says: an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// The bounds of [`serve`].
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Connections open at once; those beyond wait in the system's queue.
    pub max_connections: usize,
    /// Which peers share a bound on their connections.
    pub peers: Peers,
    /// How long a new connection may take until the head of its first request is there.
    pub first_header_timeout: Duration,
    /// How long a connection may take until the head of its next request is there. This bounds idle connections
    /// too: keep it above the idle time of the clients' pools, so that the client closes first.
    pub header_timeout: Duration,
    /// How long a request may take until its answer begins, its body included. Then it is answered 503.
    pub handler_timeout: Duration,
    /// How long a write of an answer may make no progress.
    pub write_timeout: Duration,
    /// How long requests in flight may take to finish after a stop has begun.
    pub drain: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        // Proxies commonly keep idle connections for 60 s.
        Self {
            max_connections: 4096,
            peers: Peers::Unbounded,
            first_header_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(75),
            handler_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            drain: DRAIN,
        }
    }
}

/// Serves until a stop begins, then lets requests in flight finish and returns.
///
/// An error of the service closes its connection without a response. A stop ends idle connections at once; endless
/// responses (event streams) must watch the shutdown themselves, or they last until the drain is over. Dropping the
/// future drops every connection.
///
/// # Errors
/// When the listener itself is broken; requests in flight finish first. Failures of single connections, and a lack of file
/// handles, do not end it.
pub async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    options: ServeOptions,
    shutdown: Shutdown,
) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + 'static,
    B: Body + From<&'static str> + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let options = Arc::new(options);
    let networks = Networks::new(options.peers.clone());
    let permits = Arc::new(Semaphore::new(options.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    let result = loop {
        // The permit comes first: without one no connection is accepted, and callers queue in the kernel.
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await.map_err(io::Error::other)?;
            listener.accept().await.map(|(stream, peer)| (permit, stream, peer))
        };
        let accepted = tokio::select! {
            biased;
            () = shutdown.begun() => break Ok(()),
            accepted = next => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((permit, stream, peer)) => {
                let Some(place) = networks.enter(peer.ip()) else {
                    // Closed: one network must not take the places of all others.
                    tracing::debug!("a network has all the connections that it may have");
                    continue;
                };
                // As it is: a block around it would hold it twice, before and after its first poll.
                connections.spawn(connection(
                    stream,
                    peer,
                    service.clone(),
                    Arc::clone(&options),
                    shutdown.clone(),
                    (permit, place),
                ));
            }
            Err(error) if is_of_the_listener(&error) => break Err(error),
            Err(error) => after_failed_accept(&error).await,
        }
    };
    // From here on connecting is refused instead of left waiting.
    drop(listener);
    drain(connections, options.drain, &shutdown).await;
    result
}

/// Whether accepting can never work again; every other error of accept(2) is temporary.
fn is_of_the_listener(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Other)
}

async fn after_failed_accept(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    // A caller that closed before it was accepted does not delay the next one.
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "cannot accept connections, trying again");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn connection<S, B>(
    stream: TcpStream,
    peer: SocketAddr,
    service: S,
    options: Arc<ServeOptions>,
    shutdown: Shutdown,
    _places: (OwnedSemaphorePermit, Place),
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body + From<&'static str> + 'static,
    B::Error: Into<BoxError>,
{
    // Fails only for a closed socket, which reading reports.
    let _ = stream.set_nodelay(true);
    let (asked, handler_timeout) = (Arc::new(AtomicBool::new(false)), options.handler_timeout);
    let note = Arc::clone(&asked);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        note.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(PeerAddr(peer));
        answer(service.clone(), request, handler_timeout)
    });
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(options.write_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(MAX_HEADER)
        .header_read_timeout(options.header_timeout)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = pin!(connection);
    let idle = async {
        tokio::time::sleep(options.first_header_timeout).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        // A request that has arrived is served before the stop is checked.
        biased;
        ended = connection.as_mut() => ended,
        () = idle => return,
        () = shutdown.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// The service's answer, or ours when it panics or takes too long.
async fn answer<S, B>(
    service: S,
    request: Request<Incoming>,
    limit: Duration,
) -> Result<Response<B>, S::Error>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    B: From<&'static str>,
{
    let answering = AssertUnwindSafe(service.oneshot(request)).catch_unwind();
    match tokio::time::timeout(limit, answering).await {
        Ok(Ok(answered)) => answered.map(typed),
        Ok(Err(panic)) => Ok(panicked(&*panic)),
        Err(_) => Ok(failure(StatusCode::SERVICE_UNAVAILABLE, "the request took too long\n")),
    }
}

/// An answer that browsers take for what its media type says, not for what it looks like.
fn typed<B>(mut answer: Response<B>) -> Response<B> {
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

fn panicked<B: From<&'static str>>(panic: &(dyn Any + Send)) -> Response<B> {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or_default(), "a handler panicked");
    failure(StatusCode::INTERNAL_SERVER_ERROR, "the request could not be handled\n")
}

fn failure<B: From<&'static str>>(status: StatusCode, text: &'static str) -> Response<B> {
    let mut answer = Response::new(B::from(text));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    typed(answer)
}

async fn drain(mut connections: JoinSet<()>, limit: Duration, shutdown: &Shutdown) {
    let finished = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        biased;
        () = finished => {}
        () = shutdown.aborted() => {}
        () = tokio::time::sleep(limit) => {}
    }
    if !connections.is_empty() {
        tracing::warn!(count = connections.len(), "closing connections in flight");
    }
    connections.shutdown().await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);
    const A_WHILE: Duration = Duration::from_millis(150);
    const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    #[derive(Debug, thiserror::Error)]
    #[error("no answer")]
    struct NoAnswer;

    struct Running {
        addr: SocketAddr,
        shutdown: Shutdown,
        task: JoinHandle<io::Result<()>>,
        /// Notified when a call of `/held` has begun.
        begun: Arc<Notify>,
        /// Lets one such call go on.
        release: Arc<Notify>,
    }

    /// `/` answers with the caller's address, `/held` waits to be released, `/large` is larger than any buffer, `/fail` fails, `/panic` panics.
    async fn respond(
        request: Request<Incoming>,
        begun: Arc<Notify>,
        release: Arc<Notify>,
    ) -> Result<Response<String>, NoAnswer> {
        let peer = request.extensions().get::<PeerAddr>().unwrap().0;
        match request.uri().path() {
            "/fail" => return Err(NoAnswer),
            "/held" => {
                begun.notify_one();
                release.notified().await;
            }
            "/large" => return Ok(Response::new("x".repeat(64 << 20))),
            "/panic" => panic!("asked to"),
            "/body" => drop(http_body_util::BodyExt::collect(request.into_body()).await),
            _ => {}
        }
        Ok(Response::new(peer.to_string()))
    }

    async fn start(options: ServeOptions) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let (begun, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let held = (Arc::clone(&begun), Arc::clone(&release));
        let service =
            tower::service_fn(move |request| respond(request, Arc::clone(&held.0), Arc::clone(&held.1)));
        let task = tokio::spawn(serve(listener, service, options, shutdown.clone()));
        Running { addr, shutdown, task, begun, release }
    }

    async fn call(addr: SocketAddr, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// A call that has begun, and that does not end before it is released.
    async fn hold(running: &Running) -> TcpStream {
        let stream = call(running.addr, &get("/held")).await;
        timeout(SOON, running.begun.notified()).await.expect("the call begins");
        stream
    }

    fn get(path: &str) -> String {
        GET.replace(" / ", &format!(" {path} "))
    }

    /// Everything until the connection ends, whether it was closed or reset.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        let _ = timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("the connection ends");
        String::from_utf8(bytes).unwrap()
    }

    async fn some(stream: &mut TcpStream) -> String {
        let mut bytes = [0; 1024];
        let read = timeout(SOON, stream.read(&mut bytes)).await.expect("an answer").unwrap();
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    }

    async fn ended(running: Running) {
        timeout(SOON, running.task).await.expect("the server stops").unwrap().unwrap();
    }

    #[tokio::test]
    async fn tells_the_service_who_calls_and_keeps_the_connection() {
        let running = start(ServeOptions::default()).await;
        let mut stream = call(running.addr, GET).await;
        let me = stream.local_addr().unwrap().to_string();
        assert!(some(&mut stream).await.ends_with(&me));
        stream.write_all(GET.as_bytes()).await.unwrap();
        assert!(some(&mut stream).await.ends_with(&me));
    }

    #[tokio::test]
    async fn a_failing_service_closes_the_connection_without_an_answer() {
        let running = start(ServeOptions::default()).await;
        assert_eq!(rest(&mut call(running.addr, &get("/fail")).await).await, "");
        assert!(some(&mut call(running.addr, GET).await).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_handler_that_panics_or_takes_too_long_is_answered_for() {
        let running = start(ServeOptions { handler_timeout: A_WHILE, ..ServeOptions::default() }).await;
        let mut stream = call(running.addr, &get("/panic")).await;
        let answer = some(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("nosniff"), "{answer}");
        stream.write_all(get("/held").as_bytes()).await.unwrap();
        assert!(some(&mut stream).await.starts_with("HTTP/1.1 503 "));
        // So does one that waits for a body.
        let half = "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf";
        assert!(some(&mut call(running.addr, half).await).await.starts_with("HTTP/1.1 503 "));
    }

    #[tokio::test]
    async fn an_endless_header_is_refused() {
        let running = start(ServeOptions::default()).await;
        let mut stream = call(running.addr, "GET / HTTP/1.1\r\nhost: x\r\nendless: ").await;
        let refused = async { while stream.write_all(&[b'x'; 1024]).await.is_ok() {} };
        timeout(SOON, refused).await.expect("the server stops reading");
        let long = format!("GET / HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n", "x".repeat(MAX_HEADER));
        assert!(some(&mut call(running.addr, &long).await).await.starts_with("HTTP/1.1 431 "));
    }

    #[tokio::test]
    async fn the_first_header_must_come_soon() {
        let options = ServeOptions { first_header_timeout: A_WHILE, ..ServeOptions::default() };
        let running = start(options).await;
        assert_eq!(rest(&mut call(running.addr, "GET / HT").await).await, "");
        let mut kept = call(running.addr, GET).await;
        some(&mut kept).await;
        assert!(timeout(A_WHILE * 2, kept.readable()).await.is_err(), "closed although it has asked");
    }

    #[tokio::test]
    async fn a_header_must_come_in_time() {
        let options = ServeOptions { header_timeout: A_WHILE, ..ServeOptions::default() };
        let running = start(options).await;
        let mut slow = call(running.addr, "GET / HTTP/1.1\r\nhost: ").await;
        assert!(!rest(&mut slow).await.contains("200 OK"));
        assert_eq!(rest(&mut call(running.addr, "").await).await, "", "an idle one is closed");
    }

    #[tokio::test]
    async fn whoever_stops_reading_is_given_up() {
        let options = ServeOptions { max_connections: 1, write_timeout: A_WHILE, ..ServeOptions::default() };
        let running = start(options).await;
        let mut deaf = call(running.addr, &get("/large")).await;
        let mut next = call(running.addr, GET).await;
        assert!(some(&mut next).await.starts_with("HTTP/1.1 200"), "its place is free again");
        assert!(rest(&mut deaf).await.len() < 64 << 20);
    }

    #[tokio::test]
    async fn connections_beyond_the_bound_wait_their_turn() {
        let running = start(ServeOptions { max_connections: 1, ..ServeOptions::default() }).await;
        let mut first = call(running.addr, GET).await;
        some(&mut first).await;
        let mut second = call(running.addr, GET).await;
        assert!(timeout(A_WHILE, second.readable()).await.is_err(), "answered beyond the bound");
        drop(first);
        assert!(some(&mut second).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_stop_finishes_what_has_begun_and_takes_no_more() {
        let running = start(ServeOptions::default()).await;
        let mut idle = call(running.addr, GET).await;
        some(&mut idle).await;
        let mut untouched = call(running.addr, "").await;
        let mut held = hold(&running).await;
        running.shutdown.begin();
        assert_eq!(rest(&mut idle).await, "");
        assert_eq!(rest(&mut untouched).await, "");
        assert!(TcpStream::connect(running.addr).await.is_err(), "still accepting");
        running.release.notify_one();
        assert!(rest(&mut held).await.starts_with("HTTP/1.1 200"));
        ended(running).await;
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_longer_than_the_drain() {
        let running = start(ServeOptions { drain: A_WHILE, ..ServeOptions::default() }).await;
        let mut never = hold(&running).await;
        running.shutdown.begin();
        assert_eq!(rest(&mut never).await, "");
        ended(running).await;
    }

    #[tokio::test]
    async fn an_abort_drops_what_is_in_flight() {
        let running = start(ServeOptions::default()).await;
        let mut never = hold(&running).await;
        running.shutdown.begin();
        assert!(timeout(A_WHILE, never.readable()).await.is_err(), "dropped before the abort");
        running.shutdown.abort();
        assert_eq!(rest(&mut never).await, "");
        ended(running).await;
    }

    #[tokio::test]
    async fn dropping_the_server_drops_its_connections() {
        let running = start(ServeOptions::default()).await;
        let mut never = hold(&running).await;
        running.task.abort();
        assert_eq!(rest(&mut never).await, "");
    }

    #[tokio::test]
    async fn a_service_that_cannot_fail_fits() {
        let service = tower::service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(String::new()))
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shutdown = Shutdown::new();
        shutdown.begin();
        serve(listener, service, ServeOptions::default(), shutdown).await.unwrap();
    }
}
