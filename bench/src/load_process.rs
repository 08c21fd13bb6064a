//! The load process, seen from the benchmark.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::error::BenchError;
use crate::protocol::{Command, Event, Outcome};
use crate::usage::{self, Counted, Cpu, Memory};

/// A load process. It ends with this value, or with this process.
#[derive(Debug)]
pub struct LoadProcess {
    child: Child,
    commands: ChildStdin,
    events: Lines<BufReader<ChildStdout>>,
}

/// The result of a command, and what it cost.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// What the load process reported.
    pub outcome: Outcome,
    /// Processor time within the sample.
    pub cpu: Cpu,
    /// Memory at the end of the sample.
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

impl LoadProcess {
    /// Starts a load process.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start(program: &Path) -> Result<Self, BenchError> {
        // Its standard input ends with this process, and it ends with its standard input.
        let mut command = tokio::process::Command::new(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (Some(commands), Some(events)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(BenchError::Setup("the load process has no standard input or output".to_owned()));
        };
        Ok(Self { child, commands, events: BufReader::new(events).lines() })
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Has a command done, and measures what the `counted` processes use during the sample.
    ///
    /// # Errors
    /// When the command failed, or when answers were unexpected.
    pub async fn measure(&mut self, command: &Command, counted: &[Counted]) -> Result<Measured, BenchError> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        self.commands.write_all(&line).await?;
        let mut measured = Measured::default();
        let mut before = Cpu::new();
        loop {
            let line = self.events.next_line().await?;
            let line = line.ok_or_else(|| BenchError::Setup("the load process has ended".to_owned()))?;
            match serde_json::from_str(&line)? {
                Event::Begin => before = usage::cpu(counted),
                Event::Stop => {
                    measured.cpu = usage::between(&before, &usage::cpu(counted));
                    measured.memory = usage::memory(counted);
                }
                Event::Done(outcome) => {
                    measured.outcome = validated(outcome)?;
                    return Ok(measured);
                }
                Event::Failed { why } => return Err(BenchError::Invalid(why)),
            }
        }
    }
}

/// Refuses results with unexpected answers or missing messages.
fn validated(outcome: Outcome) -> Result<Outcome, BenchError> {
    if outcome.unexpected > 0 {
        let example = outcome.example.as_deref().unwrap_or("?");
        let Outcome { unexpected, statuses, .. } = &outcome;
        return Err(BenchError::Invalid(format!(
            "{unexpected} answers were unexpected, for instance {example} (all by status: {statuses:?})"
        )));
    }
    if outcome.missing > 0 {
        return Err(BenchError::Invalid(format!("{} messages or changes never arrived", outcome.missing)));
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_not_a_valid_measurement() {
        assert!(validated(Outcome { done: 9, ..Outcome::default() }).is_ok());
        let example = Some("503: overloaded".to_owned());
        let bad = validated(Outcome { done: 9, unexpected: 1, example, ..Outcome::default() });
        assert!(bad.unwrap_err().to_string().contains("503: overloaded"));
        assert!(validated(Outcome { missing: 1, ..Outcome::default() }).is_err());
    }

    #[test]
    fn cost_is_by_the_thousand() {
        let cpu = Cpu::from([("api".to_owned(), 3.0)]);
        let measured = Measured { cpu, ..Measured::default() };
        assert!((measured.cpu_per_thousand(6_000.0)["api"] - 0.5).abs() < 1e-9);
    }
}
