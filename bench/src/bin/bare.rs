//! `hulak-bench-bare ADDRESS`: an axum handler that reads a JSON body and answers another, and does nothing else.

use std::process::ExitCode;

use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

#[derive(Deserialize)]
struct Asked {
    phone: String,
}

#[derive(Serialize)]
struct Answered {
    phone: String,
    status: &'static str,
}

async fn answer(Json(asked): Json<Asked>) -> Json<Answered> {
    Json(Answered { phone: asked.phone, status: "pending" })
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("hulak-bench-bare: an address to listen on has to be given");
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
