//! Gauges of what all processes share: the outbox, the queues, the live workers.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Gauge, Label};

use crate::health::Vitals;
use hulak_broker::BrokerHealth;
use hulak_common::clock::SharedClock;
use hulak_runtime::metrics::catalogue::{BACKLOG, BROKER_UP, DATABASE_UP, OUTBOX, POOL, QUEUE, WORKERS};
use hulak_runtime::shutdown::Shutdown;
use hulak_store::Health;

/// Between two measurements. Every process measures, because a single one that does could die; it costs little.
const TICK: Duration = Duration::from_secs(5);

/// Sets the gauges every five seconds until the stop, and folds the histograms meanwhile.
pub async fn watch(watched: Vitals, clock: SharedClock, shutdown: Shutdown) {
    let gauges = Gauges::new();
    loop {
        hulak_runtime::metrics::fold();
        let looking = async {
            if watched.monitor.health() == Health::Up {
                match watched.store.load(clock.now()).await {
                    Ok(load) => {
                        gauges.outbox.set(f64::from(load.outbox));
                        gauges.workers.set(f64::from(load.workers));
                    }
                    Err(error) => tracing::debug!(%error, "the load could not be read"),
                }
            }
            let depths = watched.broker.depths().await.ok();
            #[expect(clippy::cast_precision_loss, reason = "queues are bounded far below 2^52")]
            let value = |count: Option<u64>| count.map_or(f64::NAN, |count| count as f64);
            gauges.send.set(value(depths.map(|depths| depths.send)));
            gauges.dead.set(value(depths.map(|depths| depths.dead)));
        };
        tokio::select! { () = looking => {}, () = shutdown.begun() => return }
        tokio::select! { () = tokio::time::sleep(TICK) => {}, () = shutdown.begun() => return }
    }
}

struct Gauges {
    outbox: Gauge,
    workers: Gauge,
    send: Gauge,
    dead: Gauge,
}

impl Gauges {
    fn new() -> Self {
        let queue = |name| QUEUE.gauge(vec![Label::from_static_parts("queue", name)]);
        Self {
            outbox: OUTBOX.gauge(Vec::new()),
            workers: WORKERS.gauge(Vec::new()),
            send: queue("hulak.send"),
            dead: queue("hulak.dead"),
        }
    }
}

/// Sets how long the oldest message has been waiting for a worker.
pub fn backlog(age: Duration) {
    static GAUGE: OnceLock<Gauge> = OnceLock::new();
    GAUGE.get_or_init(|| BACKLOG.gauge(Vec::new())).set(age.as_secs_f64());
}

/// The metrics in the text format of Prometheus, with the gauges that cost no query set anew.
#[must_use]
pub fn render(vitals: &Vitals) -> String {
    let flag = |up| if up { 1.0 } else { 0.0 };
    DATABASE_UP.gauge(Vec::new()).set(flag(vitals.monitor.health() == Health::Up));
    BROKER_UP.gauge(Vec::new()).set(flag(*vitals.broker.health().borrow() == BrokerHealth::Up));
    let connections = vitals.store.connections();
    for (state, count) in [("busy", connections.busy), ("idle", connections.idle)] {
        POOL.gauge(vec![Label::from_static_parts("state", state)]).set(f64::from(count));
    }
    hulak_runtime::metrics::render()
}
