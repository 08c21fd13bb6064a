//! What operators do: pause and resume sending, block numbers, delete dead letters. Each action is in the audit log first.

use hulak_broker::{BrokerError, DeadLetter};
use hulak_common::audit::Act;
use hulak_common::phone::PhoneNumber;
use hulak_common::staff::{BlockEverywhere, Operator};
use hulak_common::time::Timestamp;
use hulak_common::worker_registry::Pause;
use hulak_store::Block;
use uuid::Uuid;

use super::state::Console;
use crate::http::problem::{Kind, Problem};
use crate::phones::{FOREVER, MAX_REASON};

/// Dead letters shown at once.
const MAX_SHOWN: usize = 50;

/// Checks a reason that an operator typed.
fn reason(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    // PostgreSQL cannot store U+0000.
    if text.chars().count() > MAX_REASON || text.contains('\0') {
        return Err(Problem::new(
            Kind::InvalidRequest,
            format!("a reason has at most {MAX_REASON} characters"),
        ));
    }
    Ok(text.to_owned())
}

/// Pauses sending on every worker.
pub(super) async fn pause(console: &Console, operator: &Operator, why: &str) -> Result<(), Problem> {
    let reason = reason(why)?;
    console.record(operator, Act::Pause, reason.clone()).await?;
    let pause = Pause { since: console.clock.now(), by: operator.name.clone(), reason };
    console.store.pause(&pause).await.map_err(|error| console.refuse(&error))
}

/// Resumes sending.
pub(super) async fn resume(console: &Console, operator: &Operator) -> Result<(), Problem> {
    console.record(operator, Act::Resume, "").await?;
    console.store.resume().await.map_err(|error| console.refuse(&error))
}

/// How many dead letters there are, and the oldest of them.
pub(super) async fn dead_letters(
    console: &Console,
    operator: &Operator,
) -> Result<(u64, Vec<DeadLetter>), Problem> {
    console.record(operator, Act::DeadLetters, "").await?;
    let asked =
        async { Ok((console.broker.dead_count().await?, console.broker.peek_dead(MAX_SHOWN).await?)) };
    asked.await.map_err(|error: BrokerError| broker_unavailable(&error))
}

/// Deletes all dead letters. Answers how many there were.
pub(super) async fn purge(console: &Console, operator: &Operator) -> Result<u64, Problem> {
    console.record(operator, Act::Purge, "").await?;
    match console.broker.purge_dead().await {
        Ok(count) => Ok(count),
        Err(error) => {
            console.record(operator, Act::Failure, "purge: the broker did not answer").await?;
            Err(broker_unavailable(&error))
        }
    }
}

fn broker_unavailable(error: &BrokerError) -> Problem {
    tracing::warn!(%error, "the dead letters cannot be reached");
    Problem::new(Kind::Unavailable, "the broker does not answer")
        .retry_after(std::time::Duration::from_secs(2))
}

/// Blocks a number for all clients.
pub(super) async fn block(
    console: &Console,
    operator: &Operator,
    phone: PhoneNumber,
    until: Timestamp,
    why: &str,
) -> Result<(), Problem> {
    let reason = reason(why)?;
    let end = if until >= FOREVER { "for good".to_owned() } else { format!("until {until}") };
    // The audit log names the number here: it must tell who blocked which one, and who lifted the block.
    console.record(operator, Act::Block, format!("{phone} {end}: {reason}")).await?;
    let block = Some((until, Some(reason).filter(|reason| !reason.is_empty())));
    block_everywhere(console, BlockEverywhere { phone, block }).await
}

/// Lifts the block for all clients.
pub(super) async fn unblock(
    console: &Console,
    operator: &Operator,
    phone: PhoneNumber,
) -> Result<(), Problem> {
    console.record(operator, Act::Unblock, phone.to_string()).await?;
    block_everywhere(console, BlockEverywhere { phone, block: None }).await
}

async fn block_everywhere(console: &Console, block: BlockEverywhere) -> Result<(), Problem> {
    console.store.block_everywhere(&block).await.map_err(|error| console.refuse(&error))
}

/// Lifts the block that one client has put on a number.
pub(super) async fn unblock_within(
    console: &Console,
    operator: &Operator,
    phone: PhoneNumber,
    client: Uuid,
) -> Result<(), Problem> {
    console.record(operator, Act::Unblock, format!("{phone} within client {client}")).await?;
    let block = Block { client, phone, block: None };
    console.store.block(&block, console.clock.now()).await.map_err(|error| console.refuse(&error))
}
