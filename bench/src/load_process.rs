//! The load process, seen from here.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::BenchError;
use crate::process::{self, Counted, Cpu, Memory};
use crate::protocol::{Command, Event, Outcome};

/// A load process. It ends when this value goes, or this process.
#[derive(Debug)]
pub struct Driver {
    child: Child,
    commands: ChildStdin,
    events: Lines<BufReader<ChildStdout>>,
}

/// What came of a piece of work, and what it cost.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// What the load process saw.
    pub outcome: Outcome,
    /// Processor time between its beginning and its end.
    pub cpu: Cpu,
    /// Memory at its end.
    pub memory: Memory,
}

impl Measured {
    /// Processor seconds for a thousand of `count`.
    #[must_use]
    pub fn cpu_per_thousand(&self, count: f64) -> Cpu {
        let share = |(name, seconds): (&String, &f64)| (name.clone(), seconds * 1_000.0 / count.max(1.0));
        self.cpu.iter().map(share).collect()
    }
}

impl Driver {
    /// Starts one.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start(program: &Path) -> Result<Self, BenchError> {
        // Its input ends with this process, and it with its input.
        let mut command = tokio::process::Command::new(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (Some(commands), Some(events)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(BenchError::Setup("the load process cannot be talked to".to_owned()));
        };
        Ok(Self { child, commands, events: BufReader::new(events).lines() })
    }

    /// Its process, while it lives.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Has a piece of work done, and reads what `counted` used meanwhile.
    ///
    /// # Errors
    /// When it could not be done, or when anything was answered that was not expected.
    pub async fn measure(&mut self, command: &Command, counted: &[Counted]) -> Result<Measured, BenchError> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        self.commands.write_all(&line).await?;
        let mut measured = Measured::default();
        let mut before = Cpu::new();
        loop {
            let line = self.events.next_line().await?;
            let line = line.ok_or_else(|| BenchError::Setup("the load process is gone".to_owned()))?;
            match serde_json::from_str(&line)? {
                Event::Begin => before = process::cpu(counted),
                Event::Stop => {
                    measured.cpu = process::between(&before, &process::cpu(counted));
                    measured.memory = process::memory(counted);
                }
                Event::Done(outcome) => {
                    measured.outcome = sound(outcome)?;
                    return Ok(measured);
                }
                Event::Failed { why } => return Err(BenchError::Worthless(why)),
            }
        }
    }
}

/// Refuses what is no measurement.
fn sound(outcome: Outcome) -> Result<Outcome, BenchError> {
    if outcome.unexpected > 0 {
        let example = outcome.example.as_deref().unwrap_or("?");
        let Outcome { unexpected, statuses, .. } = &outcome;
        return Err(BenchError::Worthless(format!(
            "{unexpected} answers were not expected, for instance {example} (all by status: {statuses:?})"
        )));
    }
    if outcome.missing > 0 {
        return Err(BenchError::Worthless(format!("{} never came to their end", outcome.missing)));
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_no_measurement() {
        assert!(sound(Outcome { done: 9, ..Outcome::default() }).is_ok());
        let example = Some("503: overloaded".to_owned());
        let bad = sound(Outcome { done: 9, unexpected: 1, example, ..Outcome::default() });
        assert!(bad.unwrap_err().to_string().contains("503: overloaded"));
        assert!(sound(Outcome { missing: 1, ..Outcome::default() }).is_err());
    }

    #[test]
    fn cost_is_by_the_thousand() {
        let cpu = Cpu::from([("api".to_owned(), 3.0)]);
        let measured = Measured { cpu, ..Measured::default() };
        assert!((measured.cpu_per_thousand(6_000.0)["api"] - 0.5).abs() < 1e-9);
    }
}
