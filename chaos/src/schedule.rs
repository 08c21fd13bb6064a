//! What goes wrong when: drawn from the seed before anything runs, so that a seed repeats it.

use std::fmt;
use std::time::Duration;

use hulak_common::rng::Rng;
use hulak_sandbox::Faults;

use crate::Plan;

/// The API programs of a run.
pub const APIS: usize = 2;
/// The workers of a run.
pub const WORKERS: usize = 3;

/// What can be killed.
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

/// Where a program's connection leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// PostgreSQL.
    Database,
    /// RabbitMQ.
    Broker,
    /// The simulated gateway.
    Gateway,
}

/// How a connection misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Reset, and refused until healed.
    Cut,
    /// Open and silent.
    Stall,
    /// Slow, each way.
    Delay(Duration),
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// SIGKILL, and started again after this long.
    Kill {
        /// What.
        target: Target,
        /// How long it stays down before it is started again.
        down: Duration,
    },
    /// SIGTERM, and started again once it has ended.
    Restart {
        /// Which worker.
        worker: usize,
    },
    /// SIGSTOP, and SIGCONT after this long: a worker that is only slow.
    Freeze {
        /// Which worker.
        worker: usize,
        /// For how long.
        span: Duration,
    },
    /// A connection misbehaves.
    Link {
        /// Whose.
        from: Target,
        /// Where it leads.
        to: Service,
        /// How.
        weather: Weather,
        /// For how long.
        span: Duration,
    },
    /// The gateway misbehaves.
    Gateway {
        /// How.
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
    /// What.
    pub action: Action,
}

/// Everything that goes wrong in a run, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// The events.
    pub events: Vec<Event>,
}

/// Nothing is killed in the first moments: a broker that dies while its queues are new may never find their leader.
const QUIET: Duration = Duration::from_secs(3);
/// Between two kills of the same service: it takes about as long to be back.
const BROKER_GAP: Duration = Duration::from_secs(18);
const DATABASE_GAP: Duration = Duration::from_secs(9);

impl Schedule {
    /// The schedule of this plan.
    #[must_use]
    pub fn draw(plan: &Plan) -> Self {
        let mut dice = Dice::new(plan.seed, "faults");
        let mut events = kills(&mut dice, plan);
        scatter(&mut dice, plan, 6.0, &mut events, link);
        scatter(&mut dice, plan, 14.0, &mut events, |dice| Action::Restart { worker: dice.below(WORKERS) });
        scatter(&mut dice, plan, 28.0, &mut events, |dice| Action::Freeze {
            worker: dice.below(WORKERS),
            span: dice.millis(500, 13_000),
        });
        gateway(&mut dice, plan, &mut events);
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

/// Evenly spread, at least one of each kind, and no service again before it can be back.
fn kills(dice: &mut Dice, plan: &Plan) -> Vec<Event> {
    let room = plan.length.saturating_sub(QUIET);
    let slot = room.div_f64(plan.kills.max(1) as f64);
    let mut first = [Target::Broker, Target::Database, Target::Api(0), Target::Worker(0)].to_vec();
    let (mut broker, mut database) = (None::<Duration>, None::<Duration>);
    let mut events = Vec::new();
    for n in 0..plan.kills {
        let at = QUIET + slot.mul_f64(n as f64 + dice.rng.fraction() * 0.8);
        let free = |last: Option<Duration>, gap| last.is_none_or(|last| at >= last + gap);
        let mut target = if first.is_empty() { dice.target() } else { first.remove(dice.below(first.len())) };
        if target == Target::Broker && !free(broker, BROKER_GAP) {
            target = Target::Worker(dice.below(WORKERS));
        }
        if target == Target::Database && !free(database, DATABASE_GAP) {
            target = Target::Api(dice.below(APIS));
        }
        match target {
            Target::Broker => broker = Some(at),
            Target::Database => database = Some(at),
            Target::Api(_) | Target::Worker(_) => {}
        }
        events.push(Event { at, action: Action::Kill { target, down: dice.millis(0, 3_000) } });
    }
    events
}

/// One event about every so many seconds.
fn scatter(
    dice: &mut Dice,
    plan: &Plan,
    seconds: f64,
    events: &mut Vec<Event>,
    mut action: impl FnMut(&mut Dice) -> Action,
) {
    let mut at = dice.rng.fraction() * seconds;
    while at < plan.length.as_secs_f64() {
        events.push(Event { at: Duration::from_secs_f64(at), action: action(dice) });
        at += seconds * (0.5 + dice.rng.fraction());
    }
}

fn link(dice: &mut Dice) -> Action {
    let from =
        if dice.below(5) < 2 { Target::Api(dice.below(APIS)) } else { Target::Worker(dice.below(WORKERS)) };
    let to = match (from, dice.below(3)) {
        (_, 0) => Service::Database,
        (Target::Worker(_), 1) => Service::Gateway,
        _ => Service::Broker,
    };
    let weather = match dice.below(3) {
        0 => Weather::Cut,
        1 => Weather::Stall,
        _ => Weather::Delay(dice.millis(50, 400)),
    };
    Action::Link { from, to, weather, span: dice.millis(500, 6_000) }
}

/// One fault after the other, with good weather in between.
fn gateway(dice: &mut Dice, plan: &Plan, events: &mut Vec<Event>) {
    let mut at = dice.millis(1_000, 5_000);
    while at < plan.length {
        let (faults, span) = gateway_fault(dice);
        events.push(Event { at, action: Action::Gateway { faults, span } });
        at += span + dice.millis(3_000, 9_000);
    }
}

fn gateway_fault(dice: &mut Dice) -> (Faults, Duration) {
    let calm = Faults { latency_ms: 20, jitter_ms: 60, ..Faults::none() };
    let share = |dice: &mut Dice, most: f64| 0.1 + dice.rng.fraction() * (most - 0.1);
    match dice.below(9) {
        0 => (Faults { error_rate: share(dice, 0.9), ..calm }, dice.millis(2_000, 8_000)),
        1 => (Faults { drop_rate: share(dice, 0.5), ..calm }, dice.millis(1_000, 5_000)),
        2 => (Faults { timeout_rate: share(dice, 0.3), ..calm }, dice.millis(1_000, 5_000)),
        3 | 4 => (Faults { response_code: Some(1012), ..calm }, dice.millis(2_000, 10_000)),
        5 => {
            let retry_after_s = Some(1 + dice.below(3) as u64);
            (Faults { response_code: Some(429), retry_after_s, ..calm }, dice.millis(2_000, 6_000))
        }
        6 => (Faults { response_code: Some(503), ..calm }, dice.millis(2_000, 6_000)),
        // The one refusal of a message for good: short, or nothing would be left to watch.
        7 => (Faults { response_code: Some(1007), ..calm }, dice.millis(200, 700)),
        // Some answers come after the worker has given up on them.
        _ => (Faults { latency_ms: 400, jitter_ms: 800, ..calm }, dice.millis(2_000, 6_000)),
    }
}

/// Chance, repeatable.
#[derive(Debug)]
pub struct Dice {
    rng: Rng,
}

impl Dice {
    /// A stream of its own for each purpose, so that more of one thing leaves the others as they are.
    #[must_use]
    pub fn new(seed: u64, purpose: &str) -> Self {
        let salt = purpose.bytes().fold(seed, |mixed, byte| mixed.wrapping_mul(31).wrapping_add(byte.into()));
        Self { rng: Rng::seeded(salt) }
    }

    /// A whole number below `bound`; 0 when there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        let drawn = u64::from_be_bytes(self.rng.bytes()) % (bound.max(1) as u64);
        usize::try_from(drawn).unwrap_or(0)
    }

    /// A span of milliseconds, both ends included.
    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        let drawn = u64::from_be_bytes(self.rng.bytes()) % (most - least + 1);
        Duration::from_millis(least + drawn)
    }

    /// A fraction from 0 up to 1.
    pub fn fraction(&mut self) -> f64 {
        self.rng.fraction()
    }

    fn target(&mut self) -> Target {
        match self.below(100) {
            0..45 => Target::Worker(self.below(WORKERS)),
            45..70 => Target::Api(self.below(APIS)),
            70..87 => Target::Database,
            _ => Target::Broker,
        }
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
