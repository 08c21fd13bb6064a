//! How every role and command starts and ends.

use std::sync::Arc;

use hulak_broker::Broker;
use hulak_common::clock::{DatabaseClock, SharedClock};
use hulak_common::code::Keyring;
use hulak_common::phone::Carriers;
use hulak_common::rng::Rng;
use hulak_common::sms_template::Templates;
use hulak_otlp::Exporter;
use hulak_runtime::settings::{Environment, TelemetryArgs, Variables, fail};
use hulak_runtime::shutdown::Shutdown;
use hulak_store::Store;

/// Why a role or a command ended early, in one line for a person.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// How it ended.
pub(crate) type Done = Result<(), Failure>;

/// Runs `work` to its end. An error ends the process with exit code 2 and one line on stderr.
pub(crate) fn launch(telemetry: &TelemetryArgs, variables: &Variables, work: impl Future<Output = Done>) {
    if let Err(error) = telemetry.init(variables) {
        fail(&error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => fail(&error),
    };
    if let Err(error) = runtime.block_on(work) {
        fail(&error);
    }
    // Not dropped but left to the end of the process: dropping it would cancel what a new connection to the broker waits
    // for, and that connection's thread would panic.
    std::mem::forget(runtime);
    hulak_runtime::logging::flush();
}

/// A process that serves until it is asked to stop.
pub(crate) struct Process {
    pub(crate) shutdown: Shutdown,
    pub(crate) environment: Environment,
    pub(crate) rng: Rng,
    pub(crate) clock: SharedClock,
    traces: Option<Exporter>,
}

impl Process {
    /// `service` is what its traces are filed under.
    pub(crate) fn start(telemetry: &TelemetryArgs, service: &'static str) -> Result<Self, Failure> {
        // The signals come first, so that a program can be stopped right after its start.
        let shutdown = Shutdown::new();
        shutdown.on_signals()?;
        Ok(Self {
            shutdown,
            environment: Environment::process(),
            rng: Rng::system(),
            clock: Arc::new(DatabaseClock::new()),
            traces: hulak_otlp::start(telemetry, service)?,
        })
    }

    /// Does `work` until it ends or the drain is over, and closes what the process holds open.
    pub(crate) async fn serve(self, shared: Shared, work: impl Future<Output = Done>) -> Done {
        let Self { shutdown, traces, .. } = self;
        let working = async {
            let done = work.await;
            shared.broker.close().await;
            shared.store.close().await;
            hulak_otlp::finish(traces).await;
            done
        };
        // On the heap: a whole role is a large future.
        shutdown.bound(Box::pin(working)).await.transpose()?;
        Ok(())
    }
}

/// What the API and the worker are both made with.
pub(crate) struct Shared {
    pub(crate) keyring: Keyring,
    pub(crate) templates: Templates,
    pub(crate) carriers: Carriers,
    pub(crate) store: Arc<Store>,
    pub(crate) broker: Arc<dyn Broker>,
}
