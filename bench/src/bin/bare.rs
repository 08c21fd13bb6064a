//! `hulak-bench-bare ADDRESS`: an axum handler that reads a JSON body and answers another, and does nothing else.

use std::process::ExitCode;

use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

#[derive(Deserialize)]
struct Request {
    phone: String,
}

#[derive(Serialize)]
struct Response {
    phone: String,
    status: &'static str,
}

async fn answer(Json(request): Json<Request>) -> Json<Response> {
    Json(Response { phone: request.phone, status: "pending" })
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("hulak-bench-bare: the address to listen on is missing");
        return ExitCode::FAILURE;
    };
    let served = async {
        let listener = TcpListener::bind(address).await?;
        axum::serve(listener, Router::new().route("/", post(answer))).await
    };
    if let Err(error) = served.await {
        eprintln!("hulak-bench-bare: {error}");
    }
    ExitCode::FAILURE
}
