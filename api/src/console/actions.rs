//! What operators do about sending: pause, resume, dead letters.

use axum::extract::State;
use axum::response::Response;
use hulak_broker::{BrokerError, DeadLetter};
use hulak_common::audit::Act;
use hulak_common::staff::Operator;
use hulak_common::worker_registry::Pause;

use super::auth::{Form, Signed, see_other};
use super::{Console, Shared, pages};
use crate::problem::{Kind, Problem};
use crate::routes::phones::MAX_REASON;

/// Dead letters shown at once.
const PEEK: usize = 50;

/// A reason as somebody typed it.
pub(super) fn reason(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    // PostgreSQL keeps any text but the one with this character in it.
    if text.chars().count() > MAX_REASON || text.contains('\0') {
        return Err(Problem::new(
            Kind::InvalidRequest,
            format!("a reason has at most {MAX_REASON} characters"),
        ));
    }
    Ok(text.to_owned())
}

/// Stops sending everywhere.
pub(super) async fn stop(console: &Console, who: &Operator, why: &str) -> Result<(), Problem> {
    let why = reason(why)?;
    console.record(who, Act::Pause, why.clone()).await?;
    let pause = Pause { since: console.clock.now(), by: who.name.clone(), reason: why };
    console.store.pause(&pause).await.map_err(|error| console.refuse(&error))
}

/// Lets sending go on.
pub(super) async fn go_on(console: &Console, who: &Operator) -> Result<(), Problem> {
    console.record(who, Act::Resume, "").await?;
    console.store.resume().await.map_err(|error| console.refuse(&error))
}

/// How many dead letters there are, and the oldest of them.
pub(super) async fn look(console: &Console, who: &Operator) -> Result<(u64, Vec<DeadLetter>), Problem> {
    console.record(who, Act::DeadLetters, "").await?;
    let asked = async { Ok((console.broker.dead_count().await?, console.broker.peek_dead(PEEK).await?)) };
    asked.await.map_err(|error: BrokerError| broker_away(&error))
}

/// Throws them away. Answers how many those were.
pub(super) async fn throw_away(console: &Console, who: &Operator) -> Result<u64, Problem> {
    console.record(who, Act::Purge, "").await?;
    match console.broker.purge_dead().await {
        Ok(count) => Ok(count),
        Err(error) => {
            console.record(who, Act::Failure, "purge: the broker did not answer").await?;
            Err(broker_away(&error))
        }
    }
}

fn broker_away(error: &BrokerError) -> Problem {
    tracing::warn!(%error, "the dead letters cannot be reached");
    Problem::new(Kind::Unavailable, "the broker does not answer")
        .retry_after(std::time::Duration::from_secs(2))
}

pub(super) async fn pause(
    State(console): State<Shared>,
    Signed(who): Signed,
    form: Form,
) -> Result<Response, Problem> {
    stop(&console, &who, &form.get("reason")).await?;
    Ok(see_other("/console"))
}

pub(super) async fn resume(State(console): State<Shared>, Signed(who): Signed) -> Result<Response, Problem> {
    go_on(&console, &who).await?;
    Ok(see_other("/console"))
}

pub(super) async fn dead(State(console): State<Shared>, Signed(who): Signed) -> Result<Response, Problem> {
    let (count, letters) = look(&console, &who).await?;
    Ok(pages::dead(&who, count, &letters))
}

pub(super) async fn purge(State(console): State<Shared>, Signed(who): Signed) -> Result<Response, Problem> {
    throw_away(&console, &who).await?;
    Ok(see_other("/console"))
}
