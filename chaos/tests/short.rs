//! A short run of the harness: a minute of faults of every kind. It asserts promises and no times; a stall of the machine counts as
//! a fault, too.

use std::time::Duration;

use hulak_chaos::config::Plan;
use hulak_chaos::programs::Programs;
use hulak_chaos::run::run;

/// Any seed must pass. This one is fixed, so that a failure can be repeated.
const SEED: u64 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: a minute of faults"]
async fn everything_is_kept_under_kill_9() {
    let plan = Plan { seed: SEED, length: Duration::from_secs(60), verifications: 600, kills: 10 };
    let programs = Programs::of(env!("CARGO_BIN_EXE_chaos-hulak"));
    let report = Box::pin(run(&plan, programs, |line| eprintln!("{line}"))).await.unwrap();
    eprintln!("{report}");
    assert!(report.is_good(), "promises were broken: run `make chaos` with --seed {SEED}\n{report}");
}
