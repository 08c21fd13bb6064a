//! The kernel's writeback: when it writes file data to the disk that no program has synced. By default it waits for 30 s, or for a
//! tenth of the memory, and then writes all of it at once: hundreds of megabytes while tables grow, and commits wait behind them.
//! `docs/operations.md` advises operators to have it write early, and the benchmark does the same while it runs.

use std::fs;

/// Bytes, or 0 where a share of the memory counts: <https://docs.kernel.org/admin-guide/sysctl/vm.html>.
const BYTES: &str = "/proc/sys/vm/dirty_background_bytes";
/// The share, in percent; 0 where bytes count.
const RATIO: &str = "/proc/sys/vm/dirty_background_ratio";
/// The advised value.
const EARLY: u64 = 16 * 1024 * 1024;

/// Has the kernel write early. Dropping it restores the former setting.
#[derive(Debug)]
pub struct Writeback {
    before: Option<(&'static str, String)>,
}

impl Writeback {
    /// Sets it, if this process has the right to.
    #[must_use]
    pub fn early() -> Self {
        let bytes = fs::read_to_string(BYTES).unwrap_or_default();
        // Only one of the two is in effect; setting one sets the other to 0.
        let before = if bytes.trim() == "0" {
            (RATIO, fs::read_to_string(RATIO).unwrap_or_default())
        } else {
            (BYTES, bytes)
        };
        Self { before: fs::write(BYTES, EARLY.to_string()).is_ok().then_some(before) }
    }

    /// The remark for the report.
    #[must_use]
    pub fn note(&self) -> String {
        match &self.before {
            Some((path, before)) => format!(
                "Kernel: `vm.dirty_background_bytes={EARLY}` while it ran ({} was {}), see docs/operations.md.",
                path.trim_start_matches("/proc/sys/").replace('/', "."),
                before.trim()
            ),
            None => "Kernel: `vm.dirty_background_bytes` could not be set, so written pages may go to the disk in \
                     bursts, and commits wait for them; see docs/operations.md."
                .to_owned(),
        }
    }
}

impl Drop for Writeback {
    fn drop(&mut self) {
        if let Some((path, before)) = &self.before
            && let Err(error) = fs::write(path, before)
        {
            eprintln!("{path} could not be set to {} again: {error}", before.trim());
        }
    }
}
