//! `hulak-bench-load`: makes the load. It has one thread, as it shares the machine with the programs that are measured.

use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(hulak_bench::load::serve()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hulak-bench-load: {error}");
            ExitCode::FAILURE
        }
    }
}
