//! `with-services [--] COMMAND ARGS…` runs a command beside a throwaway PostgreSQL and RabbitMQ.
//!
//! The command finds them through `HULAK_TEST_DATABASE_URL` and `HULAK_TEST_BROKER_URL`. Its exit code is ours, and
//! whatever happens the services are gone afterwards.

use std::{
    env,
    error::Error,
    ffi::OsString,
    future::Future,
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use hulak_testkit::services::{
    Postgres, Process, RabbitMq, ServiceError, Signal, exit_code, without_cargo_env,
};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

const USAGE: &str = "usage: with-services [--] COMMAND [ARGS…]";
const BAD_USAGE: u8 = 64;
const NO_SERVICES: u8 = 69;
/// What the command gets to end by itself after a signal.
const GRACE: Duration = Duration::from_secs(15);

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments: Vec<_> = env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--") {
        arguments.remove(0);
    }
    if arguments.is_empty() {
        eprintln!("{USAGE}");
        return ExitCode::from(BAD_USAGE);
    }
    match run(&arguments).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("with-services: {error}");
            ExitCode::from(NO_SERVICES)
        }
    }
}

async fn run(arguments: &[OsString]) -> Result<u8, Box<dyn Error>> {
    let mut stops = Stops::listen()?;
    // Dropping what is half started ends it too.
    let (postgres, rabbit) = match until_stopped(&mut stops, start()).await {
        Ok(services) => services?,
        Err(stop) => return Ok(stop.code),
    };
    eprintln!("with-services: PostgreSQL on port {}, RabbitMQ on port {}", postgres.port(), rabbit.port());
    let mut command = without_cargo_env(&arguments[0]);
    command.args(&arguments[1..]);
    command.env("HULAK_TEST_DATABASE_URL", postgres.url("postgres"));
    command.env("HULAK_TEST_BROKER_URL", rabbit.url());
    // At a terminal the command must stay in the foreground group, where Ctrl-C reaches it without us.
    let at_terminal = io::stdin().is_terminal();
    let spawn = if at_terminal { Process::spawn_in_our_group } else { Process::spawn };
    let mut process = spawn(command)?;
    match until_stopped(&mut stops, process.wait()).await {
        Ok(status) => Ok(exit_code(status?)),
        Err(stop) => {
            if !(at_terminal && stop.signal == Signal::Interrupt) {
                process.signal(stop.signal);
            }
            // Asked twice, or for too long: it is killed.
            let ended = until_stopped(&mut stops, process.wait_or_kill(GRACE)).await;
            Ok(ended.map_or(Ok(stop.code), |status| status.map(exit_code))?)
        }
    }
}

async fn start() -> Result<(Postgres, RabbitMq), ServiceError> {
    let dir = env::temp_dir();
    tokio::try_join!(Postgres::start(&dir), RabbitMq::start(&dir))
}

/// Why we are to stop, and the code that says so.
struct Stop {
    signal: Signal,
    code: u8,
}

struct Stops {
    interrupt: Signals,
    terminate: Signals,
    hangup: Signals,
}

impl Stops {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.interrupt.recv() => Stop { signal: Signal::Interrupt, code: 130 },
            _ = self.terminate.recv() => Stop { signal: Signal::Terminate, code: 143 },
            _ = self.hangup.recv() => Stop { signal: Signal::Terminate, code: 129 },
        }
    }
}

async fn until_stopped<T>(stops: &mut Stops, work: impl Future<Output = T>) -> Result<T, Stop> {
    tokio::select! {
        done = work => Ok(done),
        stop = stops.next() => Err(stop),
    }
}
