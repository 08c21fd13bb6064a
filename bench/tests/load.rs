//! The load process against a handler that always answers: it makes the load that it is told to make, and refuses unexpected
//! answers.
#![expect(clippy::unwrap_used, reason = "a test ends where something cannot be started")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command as ProcessCommand;

use hulak_bench::load_process::LoadProcess;
use hulak_bench::protocol::{Call, ClosedLoop, Command, Kind, Numbers, OpenLoop};
use hulak_bench::usage::Counted;
use hulak_testkit::answer::eventually;
use hulak_testkit::services::{Process, free_port};
use tokio::net::TcpStream;

async fn handler() -> (Process, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let mut program = ProcessCommand::new(env!("CARGO_BIN_EXE_hulak-bench-bare"));
    program.arg(address.to_string());
    let process = Process::spawn(program).unwrap();
    eventually("the handler", || async { TcpStream::connect(address).await.ok() }).await;
    (process, address)
}

fn load_process() -> LoadProcess {
    LoadProcess::start(Path::new(env!("CARGO_BIN_EXE_hulak-bench-load"))).unwrap()
}

fn call(server: SocketAddr, kind: Kind) -> Call {
    Call { server, key: "-".to_owned(), kind }
}

fn closed(call: Call, limit: Option<u64>) -> Command {
    Command::Closed(ClosedLoop { call, connections: 4, warmup: 0.0, seconds: 60.0, limit, backlog: None })
}

#[tokio::test]
async fn a_closed_loop_sends_as_many_requests_as_it_is_told() {
    let (process, server) = handler().await;
    let counted = [Counted { name: "handler".to_owned(), id: process.id() }];
    let mut load = load_process();
    // Twice: a load process does one piece of work after another.
    for limit in [100, 250] {
        let measured = load.measure(&closed(call(server, Kind::Bare), Some(limit)), &counted).await.unwrap();
        assert_eq!(measured.outcome.statuses.get(&200), Some(&limit));
        assert!(measured.outcome.seconds < 60.0, "it ends when there is nothing more to ask");
        assert!(measured.memory["handler"] > 0 && measured.cpu.contains_key("handler"));
    }
}

#[tokio::test]
async fn an_open_loop_sends_all_of_its_timetable() {
    let (_process, server) = handler().await;
    let work = OpenLoop {
        call: call(server, Kind::Bare),
        connections: 4,
        rate: 500.0,
        warmup: 0.2,
        seconds: 0.4,
        simulator: None,
    };
    let measured = load_process().measure(&Command::Open(work), &[]).await.unwrap();
    assert_eq!(measured.outcome.statuses.get(&200), Some(&300));
    assert_eq!(measured.outcome.done, 200, "what belongs to the warm-up is not counted");
    assert_eq!(measured.outcome.latency.count, 200);
}

#[tokio::test]
async fn unexpected_answers_are_not_a_valid_measurement() {
    let (_process, server) = handler().await;
    // This handler knows no verifications.
    let kind = Kind::Create { numbers: Numbers::New { first: 0 }, keep: false };
    let error =
        load_process().measure(&closed(call(server, kind), Some(8)), &[]).await.unwrap_err().to_string();
    assert!(error.contains("8 answers were unexpected") && error.contains("404"), "{error}");
}

#[tokio::test]
async fn without_a_server_there_is_no_measurement() {
    let server = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let error = load_process()
        .measure(&closed(call(server, Kind::Bare), Some(8)), &[])
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("refused"), "{error}");
}
