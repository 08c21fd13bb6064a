use std::{
    env,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{LazyLock, mpsc},
    thread,
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::error::{Doing, ServiceError};

/// How often a child is asked whether it has ended.
const TICK: Duration = Duration::from_millis(20);
/// How much of a log is shown when something fails.
const TAIL_BYTES: u64 = 4 * 1024;
/// Variables that `cargo run` sets for the program it runs. Passed on to another cargo, build scripts that watch them
/// would see a change, and half of the workspace would be compiled again.
const CARGO_RUN: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"];

/// What can be sent to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: for PostgreSQL, a fast shutdown.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGQUIT: for PostgreSQL, leave at once but clean up shared memory.
    Quit,
    /// SIGSTOP: stand still.
    Stop,
    /// SIGKILL.
    Kill,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
            Self::Quit => "QUIT",
            Self::Stop => "STOP",
            Self::Kill => "KILL",
        }
    }
}

/// A child that leads its own process group and is killed when this value, or this process, goes.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Whether the child leads a group of its own, so that signals reach what it started.
    leads: bool,
}

impl Process {
    /// Starts `command` in a process group of its own, where no terminal's Ctrl-C reaches it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn spawn(mut command: Command) -> io::Result<Self> {
        command.process_group(0);
        Ok(Self { child: from_lasting_thread(command)?, leads: true })
    }

    /// Starts `command` in this process's group, where a terminal reaches it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn spawn_in_our_group(command: Command) -> io::Result<Self> {
        Ok(Self { child: from_lasting_thread(command)?, leads: false })
    }

    /// The child's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for the end, without a limit.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            sleep(TICK).await;
        }
    }

    /// Waits for the end, and kills when it does not come within `limit`.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub async fn wait_or_kill(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        match timeout(limit, self.wait()).await {
            Ok(status) => status,
            Err(_) => self.kill(),
        }
    }

    /// The same for a caller that cannot await: a destructor.
    pub(super) fn wait_or_kill_blocking(&mut self, limit: Duration) {
        let ticks = limit.as_millis() / TICK.as_millis();
        for _ in 0..ticks {
            if !matches!(self.ended(), Ok(None)) {
                return;
            }
            thread::sleep(TICK);
        }
        let _ = self.kill();
    }

    /// Sends a signal to the child, and to its whole group when it leads one.
    pub fn signal(&mut self, signal: Signal) {
        let id = i64::from(self.id());
        self.signal_to(signal, &[if self.leads { -id } else { id }]);
    }

    /// Sends a signal to processes and (negative) groups. Nothing is sent once the child was waited for: from then on
    /// its id may be somebody else's.
    pub(super) fn signal_to(&mut self, signal: Signal, targets: &[i64]) {
        if matches!(self.ended(), Ok(None)) {
            // The shell's own `kill`: the standard library can send nothing but SIGKILL, and only to one process.
            let mut kill = Command::new("/bin/sh");
            kill.args(["-c", "kill \"$@\"", "kill", "-s", signal.name(), "--"]);
            kill.args(targets.iter().map(i64::to_string));
            let _ = kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }

    /// SIGKILL to the child and its group, and waits until the child is gone.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::Kill);
        if self.ended()?.is_none() {
            self.child.kill()?;
        }
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Starts a child from a thread that lives as long as this process. The kernel takes the death of the *thread* that
/// started a child for the parent's death, and a test's thread ends with its test.
fn from_lasting_thread(command: Command) -> io::Result<Child> {
    type Errand = (Command, mpsc::SyncSender<io::Result<Child>>);
    static ERRANDS: LazyLock<mpsc::SyncSender<Errand>> = LazyLock::new(|| {
        let (sender, errands) = mpsc::sync_channel::<Errand>(16);
        thread::spawn(move || {
            for (mut command, answer) in errands {
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (answer, child) = mpsc::sync_channel(1);
    ERRANDS.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

/// A command that the kernel ends with `signal` when this process dies, where the system has a `setpriv` that can ask
/// for it. The signal survives `exec`, but not a fork: what forks must look after its own children.
pub(super) fn dying_with_us(signal: Signal, program: impl AsRef<Path>) -> Command {
    static CAN: LazyLock<bool> = LazyLock::new(|| {
        let mut probe = Command::new("setpriv");
        probe.args(["--pdeathsig", "KILL", "--", "true"]);
        probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    });
    if !*CAN {
        return Command::new(program.as_ref());
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal.name(), "--"]).arg(program.as_ref());
    command
}

/// A command of the caller's choice that is terminated when this process dies, without what `cargo run` added to the
/// environment.
pub fn without_cargo_env(program: impl AsRef<Path>) -> Command {
    let mut command = dying_with_us(Signal::Terminate, program);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text == "CARGO" || text == "OUT_DIR" || CARGO_RUN.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Sends everything that `command` writes to the end of the file `log`.
///
/// # Errors
/// When the file cannot be opened.
pub fn log_to(command: &mut Command, log: &Path) -> Result<(), ServiceError> {
    let file = File::options().create(true).append(true).open(log);
    let file = file.doing(|| format!("opening {}", log.display()))?;
    let again = file.try_clone().doing(|| format!("opening {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file).stderr(again);
    Ok(())
}

/// Runs a helper program to its end, and returns what it wrote.
pub(super) async fn run_to_end(
    name: &str,
    mut command: Command,
    output: &Path,
    limit: Duration,
) -> Result<String, ServiceError> {
    log_to(&mut command, output)?;
    let mut process = Process::spawn(command).doing(|| format!("starting {name}"))?;
    let status = process.wait_or_kill(limit).await.doing(|| format!("waiting for {name}"))?;
    let text = tail(output);
    let _ = fs::remove_file(output);
    if status.success() {
        return Ok(text);
    }
    Err(ServiceError::Failed { program: name.to_owned(), status: status.to_string(), output: text })
}

/// The end of a log, for people.
pub(super) fn tail(path: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|error| format!("(no log: {error})"))
}

/// The code that a shell would report: a signal's number plus 128 when one ended the process.
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// The processes that `parent` has started and that still live, as the kernel lists them.
pub(super) fn children_of(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| parent_of(*id) == Some(parent)).collect()
}

fn parent_of(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold anything, so the fields are counted from its end.
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::eventually;

    fn shell(script: &str) -> Command {
        let mut command = dying_with_us(Signal::Kill, "/bin/sh");
        command.args(["-c", script]).stdin(Stdio::null());
        command
    }

    #[tokio::test]
    async fn a_child_outlives_the_thread_that_asked_for_it() {
        let mut process = thread::spawn(|| Process::spawn(shell("sleep 60")).unwrap()).join().unwrap();
        // A kill that came with the thread's end would be there long before another child has come and gone.
        Process::spawn(shell("true")).unwrap().wait().await.unwrap();
        assert!(process.ended().unwrap().is_none());
    }

    #[tokio::test]
    async fn signals_reach_the_group_and_codes_are_a_shells() {
        let mut process = Process::spawn(shell("sleep 60 & wait")).unwrap();
        let grandchild =
            eventually("the child's child", || async { children_of(process.id()).first().copied() }).await;
        process.signal(Signal::Terminate);
        let status = process.wait_or_kill(Duration::from_secs(10)).await.unwrap();
        assert_eq!(exit_code(status), 128 + 15);
        eventually("its end", || async {
            (parent_of(grandchild).is_none() || !alive(grandchild)).then_some(())
        })
        .await;
        let failed = Process::spawn(shell("exit 7")).unwrap().wait().await.unwrap();
        assert_eq!(exit_code(failed), 7);
    }

    fn alive(id: u32) -> bool {
        fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
    }

    #[tokio::test]
    async fn a_helper_that_fails_shows_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("out");
        let said = run_to_end("sh", shell("echo fine"), &output, Duration::from_secs(10)).await;
        assert_eq!(said.unwrap(), "fine\n");
        let error = run_to_end("sh", shell("echo alas >&2; exit 3"), &output, Duration::from_secs(10)).await;
        assert!(error.unwrap_err().to_string().contains("alas"));
        let hung = run_to_end("sh", shell("sleep 60"), &output, Duration::from_millis(50)).await;
        assert!(hung.is_err());
    }
}
