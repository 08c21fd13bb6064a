//! A short run of the harness: a minute of everything going wrong at once. Only promises are asserted, no times; and
//! what the machine itself held up, as the harness's own heartbeat tells, counts as a fault like any other.

use std::time::Duration;

use hulak_chaos::{Binaries, Plan, run};

/// Any seed must do; this one is fixed so that a failure is found again.
const SEED: u64 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: a minute of faults"]
async fn everything_is_kept_under_kill_9() {
    let plan = Plan { seed: SEED, length: Duration::from_secs(60), verifications: 600, kills: 10 };
    let binaries = Binaries {
        api: env!("CARGO_BIN_EXE_chaos-hulak").into(),
        worker: env!("CARGO_BIN_EXE_chaos-hulak").into(),
    };
    let report = Box::pin(run(&plan, binaries, |line| eprintln!("{line}"))).await.unwrap();
    eprintln!("{report}");
    assert!(report.is_good(), "promises were broken: run `make chaos` with --seed {SEED}\n{report}");
}
