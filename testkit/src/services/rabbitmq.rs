use std::{
    env, fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    error::{Doing, ServiceError},
    install,
    ports::free_port,
    process::{Process, Signal, dying_with_us, log_to, run_to_end, tail},
};

const READY_LIMIT: Duration = Duration::from_secs(180);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const CTL_LIMIT: Duration = Duration::from_secs(60);
const TRY_LIMIT: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(100);
/// Each throwaway node has its own name server, so the name need not be unique.
const NODE: &str = "hulak-test@localhost";
/// Keeps Erlang's distribution, which is a remote shell, off every other address.
const LOOPBACK_ONLY: &str = "-kernel inet_dist_use_interface {127,0,0,1}";
/// AMQP 0-9-1's greeting, which a broker answers with a method frame.
const GREETING: &[u8; 8] = b"AMQP\x00\x00\x09\x01";
const METHOD_FRAME: u8 = 1;

/// A throwaway RabbitMQ node on loopback ports, with the user `guest`. Dropping it kills the node and removes its
/// directory.
#[derive(Debug)]
pub struct RabbitMq {
    // In this order: the name server goes after the node (which would start another), the directory last.
    node: Option<Process>,
    names: Process,
    bin: PathBuf,
    ports: Ports,
    dir: TempDir,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    amqp: u16,
    distribution: u16,
    names: u16,
}

impl RabbitMq {
    /// Starts one with its data in a new directory below `dir`, and waits until it answers.
    ///
    /// # Errors
    /// When it cannot be installed or is not ready in time; the end of its log is in the error.
    pub async fn start(dir: &Path) -> Result<Self, ServiceError> {
        let bin = install::ensure().await?.rabbitmq;
        let made = tempfile::Builder::new().prefix("hulak-mq-").tempdir_in(dir);
        let dir = made.doing(|| format!("making a directory in {}", dir.display()))?;
        let ports = Ports::find().doing(|| "looking for ports".to_owned())?;
        write_files(dir.path())?;
        let names = start_names(dir.path(), ports)?;
        let mut rabbit = Self { node: None, names, bin, ports, dir };
        rabbit.launch().await?;
        Ok(rabbit)
    }

    /// The AMQP port, which stays the same through restarts.
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// The node's process, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.node.as_ref().map(Process::id)
    }

    /// Where the virtual host `/` is.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    /// SIGKILL to the node and its helpers.
    pub fn kill9(&mut self) {
        if let Some(mut node) = self.node.take() {
            let _ = node.kill();
        }
    }

    /// Starts it again on the same data and port, and waits until it answers. A running one is stopped first.
    ///
    /// # Errors
    /// When it is not ready in time; the end of its log is in the error.
    pub async fn restart(&mut self) -> Result<(), ServiceError> {
        self.stop().await?;
        self.launch().await
    }

    /// An orderly shutdown.
    ///
    /// # Errors
    /// When the system cannot tell whether it has ended.
    pub async fn stop(&mut self) -> Result<(), ServiceError> {
        let Some(mut node) = self.node.take() else { return Ok(()) };
        node.signal(Signal::Terminate);
        node.wait_or_kill(STOP_LIMIT).await.doing(|| "stopping RabbitMQ".to_owned())?;
        Ok(())
    }

    /// Runs `rabbitmqctl` against this node and returns what it wrote; a minute at most. For instance
    /// `["set_disk_free_limit", "1000GB"]` raises the disk alarm, which blocks publishers, and
    /// `["set_vm_memory_high_watermark", "0"]` the memory alarm.
    ///
    /// # Errors
    /// When the command fails; what it wrote is in the error.
    pub async fn ctl(&self, arguments: &[&str]) -> Result<String, ServiceError> {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let output = format!("ctl-{}.log", RUNS.fetch_add(1, Ordering::Relaxed));
        let mut command = self.command("rabbitmqctl");
        command.args(["--quiet", "--node", NODE]).args(arguments);
        let name = format!("rabbitmqctl {}", arguments.join(" "));
        run_to_end(&name, command, &self.dir.path().join(output), CTL_LIMIT).await
    }

    async fn launch(&mut self) -> Result<(), ServiceError> {
        self.revive_names()?;
        let mut command = self.command("rabbitmq-server");
        log_to(&mut command, &self.log())?;
        self.node = Some(Process::spawn(command).doing(|| "starting RabbitMQ".to_owned())?);
        match timeout(READY_LIMIT, self.answers_before_it_ends()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(state)) => Err(self.not_ready(state)),
            Err(_) => Err(self.not_ready("it did not answer".to_owned())),
        }
    }

    fn revive_names(&mut self) -> Result<(), ServiceError> {
        if self.names.ended().doing(|| "watching epmd".to_owned())?.is_some() {
            self.names = start_names(self.dir.path(), self.ports)?;
        }
        Ok(())
    }

    async fn answers_before_it_ends(&mut self) -> Result<(), String> {
        while let Some(node) = &mut self.node {
            match node.ended() {
                Ok(Some(status)) => return Err(format!("it ended: {status}")),
                Err(error) => return Err(error.to_string()),
                Ok(None) => {}
            }
            if timeout(TRY_LIMIT, answers(self.ports.amqp)).await.unwrap_or(false) {
                return Ok(());
            }
            sleep(TICK).await;
        }
        Err("it was stopped".to_owned())
    }

    fn not_ready(&self, state: String) -> ServiceError {
        ServiceError::NotReady { service: "RabbitMQ", waited: READY_LIMIT, state, log: tail(&self.log()) }
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("rabbitmq.log")
    }

    fn command(&self, program: &str) -> Command {
        let dir = self.dir.path();
        let mut command = dying_with_us(Signal::Kill, self.bin.join(program));
        set_environment(&mut command, dir, self.ports);
        command
            // With this the script becomes the Erlang machine instead of waiting for it: the process that we kill,
            // and that the kernel ends with us, is the broker itself.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("RABBITMQ_NODENAME", NODE)
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.ports.amqp.to_string())
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("RABBITMQ_MNESIA_BASE", dir.join("data"))
            .env("RABBITMQ_LOG_BASE", dir.join("log"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_PID_FILE", dir.join("rabbitmq.pid"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("enabled_plugins"))
            .env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", dir.join("advanced"))
            .env("RABBITMQ_CONF_ENV_FILE", dir.join("rabbitmq-env.conf"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", LOOPBACK_ONLY)
            .env("RABBITMQ_CTL_ERL_ARGS", LOOPBACK_ONLY)
            // Any port: the default range has room for few commands at a time on the whole machine.
            .env("RABBITMQ_CTL_DIST_PORT_MIN", "0")
            .env("RABBITMQ_CTL_DIST_PORT_MAX", "0");
        command
    }
}

impl Ports {
    fn find() -> std::io::Result<Self> {
        Ok(Self { amqp: free_port()?, distribution: free_port()?, names: free_port()? })
    }
}

/// Everything that Erlang's programs read, and nothing of the caller's.
fn set_environment(command: &mut Command, dir: &Path, ports: Ports) {
    let path = env::var("PATH").unwrap_or_default();
    command
        .env_clear()
        .env("PATH", format!("{path}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"))
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", dir.join("home"))
        .env("ERL_EPMD_PORT", ports.names.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .current_dir(dir);
}

/// Erlang's name server, in the foreground: one that a node starts for itself detaches and outlives everybody.
fn start_names(dir: &Path, ports: Ports) -> Result<Process, ServiceError> {
    let mut command = dying_with_us(Signal::Kill, "epmd");
    set_environment(&mut command, dir, ports);
    command.args(["-address", "127.0.0.1", "-port", &ports.names.to_string()]);
    log_to(&mut command, &dir.join("epmd.log"))?;
    Process::spawn(command).doing(|| "starting epmd".to_owned())
}

fn write_files(dir: &Path) -> Result<(), ServiceError> {
    let write = |name: &str, text: &str| {
        fs::write(dir.join(name), text).doing(|| format!("writing {name} in {}", dir.display()))
    };
    for name in ["home", "data", "log"] {
        fs::create_dir(dir.join(name)).doing(|| format!("making {name} in {}", dir.display()))?;
    }
    // Not a secret to keep: the node listens on loopback only and lives for one test run. Erlang insists on the mode.
    write("home/.erlang.cookie", "HULAKTESTONLY")?;
    let cookie = fs::set_permissions(dir.join("home/.erlang.cookie"), fs::Permissions::from_mode(0o400));
    cookie.doing(|| "closing the cookie".to_owned())?;
    write("enabled_plugins", "[].\n")?;
    write("rabbitmq-env.conf", "")?;
    write("rabbitmq.conf", "disk_free_limit.absolute = 50MB\nlog.console.level = info\n")
}

async fn answers(port: u16) -> bool {
    let greet = async {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        socket.write_all(GREETING).await?;
        socket.read_u8().await
    };
    greet.await.is_ok_and(|kind| kind == METHOD_FRAME)
}
