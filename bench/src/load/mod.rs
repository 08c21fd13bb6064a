//! The load process: one thread that does one command after the other.

mod answer_counter;
pub mod client;
mod closed_loop;
pub mod gateway;
mod long_polls;
mod open_loop;
mod requests;
mod tasks;

use std::path::Path;
use std::rc::Rc;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::LocalSet;

use crate::error::BenchError;
use crate::protocol::{Command, Event, Outcome};
use requests::{KnownCode, Prepared};

/// Does what it is told until its standard input ends.
///
/// # Errors
/// When the commands cannot be read.
pub async fn serve() -> Result<(), BenchError> {
    // Each of thousands of connections is an open file.
    let most = rlimit::Resource::NOFILE.get()?.1;
    rlimit::Resource::NOFILE.set(most, most)?;
    let prepared = Rc::new(Prepared::default());
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = commands.next_line().await? {
        let command = serde_json::from_str(&line)?;
        let done = LocalSet::new().run_until(run(command, &prepared)).await;
        let event = match done {
            Ok(outcome) => Event::Done(outcome),
            Err(error) => Event::Failed { why: error.to_string() },
        };
        event.send()?;
    }
    Ok(())
}

async fn run(command: Command, prepared: &Rc<Prepared>) -> Result<Outcome, BenchError> {
    match command {
        Command::Closed(work) => closed_loop::run(&work, prepared).await,
        Command::Open(work) => open_loop::run(&work, prepared).await,
        Command::LongPolls(work) => long_polls::run(&work, prepared).await,
        Command::Codes { file } => read_codes(&file, prepared),
    }
}

/// Reads lines of `id code`. They replace the codes known before.
fn read_codes(file: &Path, prepared: &Prepared) -> Result<Outcome, BenchError> {
    let text = std::fs::read_to_string(file)?;
    let known = text.lines().map(|line| {
        let (id, code) = line.split_once(' ')?;
        Some(KnownCode { id: id.as_bytes().try_into().ok()?, code: code.into() })
    });
    let known: Option<Vec<KnownCode>> = known.collect();
    let known = known
        .ok_or_else(|| BenchError::Setup(format!("{} is not a list of ids and codes", file.display())))?;
    let done = u64::try_from(known.len()).unwrap_or(0);
    prepared.checked.set(0);
    *prepared.codes.borrow_mut() = known;
    Ok(Outcome { done, ..Outcome::default() })
}
