//! Which faults happen when. All of it is drawn from the seed beforehand, so that a seed repeats a run.

use std::fmt;
use std::time::Duration;

use hulak_sandbox::Faults;

use crate::config::Plan;
use crate::random::SeededRandom;

/// The API programs of a run.
pub const APIS: usize = 2;
/// The workers of a run.
pub const WORKERS: usize = 3;

/// A process that can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// An API program.
    Api(usize),
    /// A worker.
    Worker(usize),
    /// RabbitMQ.
    Broker,
    /// PostgreSQL.
    Database,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(n) => write!(f, "api {n}"),
            Self::Worker(n) => write!(f, "worker {n}"),
            Self::Broker => f.write_str("broker"),
            Self::Database => f.write_str("database"),
        }
    }
}

/// What a program connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Upstream {
    /// PostgreSQL.
    Database,
    /// RabbitMQ.
    Broker,
    /// The simulated gateway.
    Gateway,
}

/// A fault of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkFault {
    /// Reset, and refused until healed.
    Cut,
    /// Open and silent.
    Stall,
    /// Slow, each way.
    Delay(Duration),
}

/// A fault.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// SIGKILL, and a start afterwards.
    Kill {
        /// The process.
        target: Target,
        /// How long it stays down.
        down: Duration,
    },
    /// SIGTERM, and a start once it has ended.
    Restart {
        /// The worker.
        worker: usize,
    },
    /// SIGSTOP, and SIGCONT later: the worker is only slow.
    Freeze {
        /// The worker.
        worker: usize,
        /// For how long.
        span: Duration,
    },
    /// A fault of a connection.
    Link {
        /// The program.
        from: Target,
        /// What it connects to.
        to: Upstream,
        /// The fault.
        fault: LinkFault,
        /// For how long.
        span: Duration,
    },
    /// A fault of the gateway.
    Gateway {
        /// The fault.
        faults: Faults,
        /// For how long.
        span: Duration,
    },
}

/// An action and its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// From the beginning of the run.
    pub at: Duration,
    /// The fault.
    pub action: Action,
}

/// All faults of a run, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// The events.
    pub events: Vec<Event>,
}

/// Nothing is killed in the first moments: a broker that is killed while its queues are new may never elect their leader.
const FIRST_KILL: Duration = Duration::from_secs(3);
/// Between two kills of the same service, which needs about as long to start again.
const BROKER_GAP: Duration = Duration::from_secs(18);
const DATABASE_GAP: Duration = Duration::from_secs(9);

impl Schedule {
    /// The schedule of this plan.
    #[must_use]
    pub fn draw(plan: &Plan) -> Self {
        let mut random = SeededRandom::new(plan.seed, "faults");
        let mut events = kills(&mut random, plan);
        scatter(&mut random, plan, 6.0, &mut events, link);
        scatter(&mut random, plan, 14.0, &mut events, |random| Action::Restart {
            worker: random.below(WORKERS),
        });
        scatter(&mut random, plan, 28.0, &mut events, |random| Action::Freeze {
            worker: random.below(WORKERS),
            span: random.millis(500, 13_000),
        });
        gateway(&mut random, plan, &mut events);
        events.sort_by_key(|event| event.at);
        Self { events }
    }

    /// How many of the events are kills.
    #[must_use]
    pub fn kills(&self) -> usize {
        self.events.iter().filter(|event| matches!(event.action, Action::Kill { .. })).count()
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            writeln!(f, "{:7.1}s  {:?}", event.at.as_secs_f64(), event.action)?;
        }
        Ok(())
    }
}

/// Evenly spread kills, at least one of each kind, and none of a service that is still starting again.
fn kills(random: &mut SeededRandom, plan: &Plan) -> Vec<Event> {
    let room = plan.length.saturating_sub(FIRST_KILL);
    let slot = room.div_f64(plan.kills.max(1) as f64);
    let mut first = [Target::Broker, Target::Database, Target::Api(0), Target::Worker(0)].to_vec();
    let (mut broker, mut database) = (None::<Duration>, None::<Duration>);
    let mut events = Vec::new();
    for n in 0..plan.kills {
        let at = FIRST_KILL + slot.mul_f64(n as f64 + random.fraction() * 0.8);
        let free = |last: Option<Duration>, gap| last.is_none_or(|last| at >= last + gap);
        let mut target =
            if first.is_empty() { target(random) } else { first.remove(random.below(first.len())) };
        if target == Target::Broker && !free(broker, BROKER_GAP) {
            target = Target::Worker(random.below(WORKERS));
        }
        if target == Target::Database && !free(database, DATABASE_GAP) {
            target = Target::Api(random.below(APIS));
        }
        match target {
            Target::Broker => broker = Some(at),
            Target::Database => database = Some(at),
            Target::Api(_) | Target::Worker(_) => {}
        }
        events.push(Event { at, action: Action::Kill { target, down: random.millis(0, 3_000) } });
    }
    events
}

/// One event about every `seconds`.
fn scatter(
    random: &mut SeededRandom,
    plan: &Plan,
    seconds: f64,
    events: &mut Vec<Event>,
    mut action: impl FnMut(&mut SeededRandom) -> Action,
) {
    let mut at = random.fraction() * seconds;
    while at < plan.length.as_secs_f64() {
        events.push(Event { at: Duration::from_secs_f64(at), action: action(random) });
        at += seconds * (0.5 + random.fraction());
    }
}

fn link(random: &mut SeededRandom) -> Action {
    let from = if random.below(5) < 2 {
        Target::Api(random.below(APIS))
    } else {
        Target::Worker(random.below(WORKERS))
    };
    let to = match (from, random.below(3)) {
        (_, 0) => Upstream::Database,
        (Target::Worker(_), 1) => Upstream::Gateway,
        _ => Upstream::Broker,
    };
    let fault = match random.below(3) {
        0 => LinkFault::Cut,
        1 => LinkFault::Stall,
        _ => LinkFault::Delay(random.millis(50, 400)),
    };
    Action::Link { from, to, fault, span: random.millis(500, 6_000) }
}

/// One fault after the other, with pauses in between.
fn gateway(random: &mut SeededRandom, plan: &Plan, events: &mut Vec<Event>) {
    let mut at = random.millis(1_000, 5_000);
    while at < plan.length {
        let (faults, span) = gateway_fault(random);
        events.push(Event { at, action: Action::Gateway { faults, span } });
        at += span + random.millis(3_000, 9_000);
    }
}

fn gateway_fault(random: &mut SeededRandom) -> (Faults, Duration) {
    let calm = Faults { latency_ms: 20, jitter_ms: 60, ..Faults::none() };
    let share = |random: &mut SeededRandom, most: f64| 0.1 + random.fraction() * (most - 0.1);
    match random.below(9) {
        0 => (Faults { error_rate: share(random, 0.9), ..calm }, random.millis(2_000, 8_000)),
        1 => (Faults { drop_rate: share(random, 0.5), ..calm }, random.millis(1_000, 5_000)),
        2 => (Faults { timeout_rate: share(random, 0.3), ..calm }, random.millis(1_000, 5_000)),
        3 | 4 => (Faults { response_code: Some(1012), ..calm }, random.millis(2_000, 10_000)),
        5 => {
            let retry_after_s = Some(1 + random.below(3) as u64);
            (Faults { response_code: Some(429), retry_after_s, ..calm }, random.millis(2_000, 6_000))
        }
        6 => (Faults { response_code: Some(503), ..calm }, random.millis(2_000, 6_000)),
        // A permanent refusal: short, as refused messages are not sent.
        7 => (Faults { response_code: Some(1007), ..calm }, random.millis(200, 700)),
        // Some answers come after the worker's timeout.
        _ => (Faults { latency_ms: 400, jitter_ms: 800, ..calm }, random.millis(2_000, 6_000)),
    }
}

/// What is killed next.
fn target(random: &mut SeededRandom) -> Target {
    match random.below(100) {
        0..45 => Target::Worker(random.below(WORKERS)),
        45..70 => Target::Api(random.below(APIS)),
        70..87 => Target::Database,
        _ => Target::Broker,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { seed: 7, length: Duration::from_secs(60), verifications: 600, kills: 9 };

    #[test]
    fn a_seed_repeats_its_schedule() {
        assert_eq!(Schedule::draw(&PLAN), Schedule::draw(&PLAN));
        assert_ne!(Schedule::draw(&PLAN), Schedule::draw(&Plan { seed: 8, ..PLAN }));
    }

    #[test]
    fn every_schedule_kills_everything() {
        for seed in 0..50 {
            let schedule = Schedule::draw(&Plan { seed, ..PLAN });
            assert_eq!(schedule.kills(), PLAN.kills);
            let killed = |wanted: fn(Target) -> bool| {
                schedule.events.iter().any(|event| match event.action {
                    Action::Kill { target, .. } => wanted(target),
                    _ => false,
                })
            };
            assert!(killed(|target| matches!(target, Target::Api(_))));
            assert!(killed(|target| matches!(target, Target::Worker(_))));
            assert!(killed(|target| target == Target::Broker) && killed(|target| target == Target::Database));
            assert!(schedule.events.iter().all(|event| event.at <= PLAN.length));
        }
    }

    #[test]
    fn the_gateway_has_one_fault_at_a_time() {
        for seed in 0..50 {
            let mut free = Duration::ZERO;
            for event in Schedule::draw(&Plan { seed, ..PLAN }).events {
                if let Action::Gateway { span, .. } = event.action {
                    assert!(event.at >= free);
                    free = event.at + span;
                }
            }
        }
    }
}
