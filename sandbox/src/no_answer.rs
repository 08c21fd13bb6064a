//! Calls that get no answer.
//!
//! A handler must answer, so its answer carries a mark, and the service around the router turns a marked answer into an error:
//! then the server closes the connection without a byte of response.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hulak_runtime::shutdown::Shutdown;
use hyper::Request;
use hyper::body::Incoming;
use tower::{Service, ServiceExt};

/// How long a call without an answer is held before its connection is closed.
pub(crate) const HOLD: Duration = Duration::from_secs(60);

/// The mark: close the connection after this long.
#[derive(Debug, Clone, Copy)]
struct CloseAfter(Duration);

/// A response that becomes a closed connection after `hold`.
pub(crate) fn after(hold: Duration) -> Response {
    let mut response = (StatusCode::GATEWAY_TIMEOUT, "the simulator gives no answer here\n").into_response();
    response.extensions_mut().insert(CloseAfter(hold));
    response
}

/// Why a connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the simulator was told to give no answer")]
pub(crate) struct NoAnswer;

/// The router as a service that closes the connections of marked answers. A shutdown ends the calls that are held.
pub(crate) fn closing(
    router: Router,
    shutdown: Shutdown,
) -> impl Service<Request<Incoming>, Response = Response, Error = NoAnswer, Future: Send> + Clone + Send {
    tower::service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        let shutdown = shutdown.clone();
        async move {
            let response = router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
            let Some(CloseAfter(hold)) = response.extensions().get().copied() else { return Ok(response) };
            tokio::select! {
                () = tokio::time::sleep(hold) => {}
                () = shutdown.begun() => {}
            }
            Err(NoAnswer)
        }
    })
}
