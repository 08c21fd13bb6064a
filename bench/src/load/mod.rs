//! The load process: one thread, told what to do line by line.

pub mod client;
mod closed;
pub mod gateway;
mod hold;
mod open;
mod requests;
mod tally;

use std::cell::RefCell;
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::{JoinHandle, LocalSet};

use crate::BenchError;
use crate::protocol::{Command, Event, Outcome};
use requests::{Known, Memory};
pub(crate) use tally::Times;

/// Does what is asked until nobody asks any more.
///
/// # Errors
/// When the commands cannot be read.
pub async fn serve() -> Result<(), BenchError> {
    // Thousands of connections, each of which is a file.
    let most = rlimit::Resource::NOFILE.get()?.1;
    rlimit::Resource::NOFILE.set(most, most)?;
    let memory = Rc::new(Memory::default());
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = commands.next_line().await? {
        let command = serde_json::from_str(&line)?;
        let done = LocalSet::new().run_until(obey(command, &memory)).await;
        say(&match done {
            Ok(outcome) => Event::Done(outcome),
            Err(error) => Event::Failed { why: error.to_string() },
        })?;
    }
    Ok(())
}

async fn obey(command: Command, memory: &Rc<Memory>) -> Result<Outcome, BenchError> {
    match command {
        Command::Closed(work) => closed::run(&work, memory).await,
        Command::Open(work) => open::run(&work, memory).await,
        Command::Hold(work) => hold::run(&work, memory).await,
        Command::Codes { file } => read_codes(&file, memory),
    }
}

/// One line to whoever gives the commands.
fn say(event: &Event) -> Result<(), BenchError> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, event)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// `id code` in each line. They replace those that were known.
fn read_codes(file: &Path, memory: &Memory) -> Result<Outcome, BenchError> {
    let text = std::fs::read_to_string(file)?;
    let known = text.lines().map(|line| {
        let (id, code) = line.split_once(' ')?;
        Some(Known { id: id.as_bytes().try_into().ok()?, code: code.into() })
    });
    let known: Option<Vec<Known>> = known.collect();
    let known =
        known.ok_or_else(|| BenchError::Setup(format!("{} is not as it has to be", file.display())))?;
    let done = u64::try_from(known.len()).unwrap_or(0);
    memory.checked.set(0);
    *memory.codes.borrow_mut() = known;
    Ok(Outcome { done, ..Outcome::default() })
}

/// Tasks of one piece of work. They end with it.
#[derive(Debug, Default)]
struct Tasks(RefCell<Vec<JoinHandle<()>>>);

impl Tasks {
    fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        self.0.borrow_mut().push(tokio::task::spawn_local(work));
    }

    async fn join(self) -> Result<(), BenchError> {
        for task in self.0.take() {
            task.await.map_err(|error| BenchError::Setup(format!("a part of the load died: {error}")))?;
        }
        Ok(())
    }
}
