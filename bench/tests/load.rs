//! The load process against a handler that always answers: it does what it is told, and errors are no measurement. This
//! measures nothing.
#![expect(clippy::unwrap_used, reason = "a test ends where something cannot be started")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command as Program;

use hulak_bench::driver::Driver;
use hulak_bench::process::Counted;
use hulak_bench::protocol::{Call, Closed, Command, Kind, Numbers, Open};
use hulak_testkit::answer::eventually;
use hulak_testkit::services::{Process, free_port};
use tokio::net::TcpStream;

async fn handler() -> (Process, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let mut program = Program::new(env!("CARGO_BIN_EXE_hulak-bench-bare"));
    program.arg(address.to_string());
    let process = Process::spawn(program).unwrap();
    eventually("the handler", || async { TcpStream::connect(address).await.ok() }).await;
    (process, address)
}

fn driver() -> Driver {
    Driver::start(Path::new(env!("CARGO_BIN_EXE_hulak-bench-load"))).unwrap()
}

fn call(server: SocketAddr, kind: Kind) -> Call {
    Call { server, key: "-".to_owned(), kind }
}

fn closed(call: Call, limit: Option<u64>) -> Command {
    Command::Closed(Closed { call, connections: 4, warmup: 0.0, seconds: 60.0, limit, window: None })
}

#[tokio::test]
async fn a_closed_loop_asks_as_often_as_it_is_told() {
    let (process, server) = handler().await;
    let counted = [Counted { name: "handler".to_owned(), id: process.id() }];
    let mut driver = driver();
    // Twice: a load process does one piece of work after another.
    for limit in [100, 250] {
        let measured =
            driver.measure(&closed(call(server, Kind::Bare), Some(limit)), &counted).await.unwrap();
        assert_eq!(measured.outcome.statuses.get(&200), Some(&limit));
        assert!(measured.outcome.seconds < 60.0, "it ends when there is nothing more to ask");
        assert!(measured.memory["handler"] > 0 && measured.cpu.contains_key("handler"));
    }
}

#[tokio::test]
async fn an_open_loop_sends_all_of_its_timetable() {
    let (_process, server) = handler().await;
    let work = Open {
        call: call(server, Kind::Bare),
        connections: 4,
        rate: 500.0,
        warmup: 0.2,
        seconds: 0.4,
        simulator: None,
    };
    let measured = driver().measure(&Command::Open(work), &[]).await.unwrap();
    assert_eq!(measured.outcome.statuses.get(&200), Some(&300));
    assert_eq!(measured.outcome.done, 200, "what belongs to the warm-up is not counted");
    assert_eq!(measured.outcome.latency.count, 200);
}

#[tokio::test]
async fn answers_that_are_not_expected_are_no_measurement() {
    let (_process, server) = handler().await;
    // This handler knows no verifications.
    let kind = Kind::Create { numbers: Numbers::New { first: 0 }, keep: false };
    let error = driver().measure(&closed(call(server, kind), Some(8)), &[]).await.unwrap_err().to_string();
    assert!(error.contains("8 answers were not expected") && error.contains("404"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_no_measurement() {
    let server = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let error =
        driver().measure(&closed(call(server, Kind::Bare), Some(8)), &[]).await.unwrap_err().to_string();
    assert!(error.contains("refused"), "{error}");
}
