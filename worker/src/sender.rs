//! One message: claim, call, record.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::{SharedClock, Stopwatch};
use hulak_common::code::Keyring;
use hulak_common::job::{MessageId, Outgoing};
use hulak_common::limits::backoff;
use hulak_common::rng::Rng;
use hulak_common::sms::measure;
use hulak_common::sms_template::Templates;
use hulak_common::verification::{DeliveryError, DeliveryFault, Route};
use hulak_runtime::batch::{Batcher, Bounds};
use hulak_runtime::metrics;
use hulak_runtime::shutdown::Shutdown;
use hulak_runtime::trace::{Span, Value, Work};
use hulak_service::event_publisher::EventPublisher;
use hulak_store::{AsClaimed, Claim, Claimed, Grant, Monitor, Outcome, Record, Recorded, Store, StoreError};
use secrecy::ExposeSecret as _;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::breaker::{Breaker, Pass, Verdict};
use crate::config::LEASE_MARGIN;
use crate::decoy::Mimic;
use crate::gateway::{Answer, Gateway};
use crate::rate_limiter::Pacer;

type Reply<T> = Result<T, Arc<StoreError>>;

/// Between batches of claims, and of records, so that those of busy moments are worth their statements. A message waits for half of
/// it then, and for none of it otherwise.
const REST: Duration = Duration::from_millis(10);

/// How long a message that the account's refusal stopped rests before the relay brings it again.
const ACCOUNT_REST: Duration = Duration::from_secs(1);

/// How long a job is kept whose claim failed.
const CLAIM_PAUSE: Duration = Duration::from_millis(500);

/// How early a job may come for its message to be waited for, and how often.
const EARLY: Duration = Duration::from_secs(1);
const EARLY_TRIES: usize = 3;

/// What sending takes.
#[derive(Debug)]
pub struct Sender {
    parts: SenderParts,
    claims: Batcher<Claim, Reply<Claimed>>,
    records: Batcher<Record, Reply<Recorded>>,
    mimic: Mimic,
    /// Calls to the gateway that may still begin.
    lines: Semaphore,
}

/// What a [`Sender`] is made of.
#[derive(Debug)]
pub struct SenderParts {
    /// The database.
    pub store: Arc<dyn Store>,
    /// How the database is doing.
    pub monitor: Monitor,
    /// The gateway.
    pub gateway: Arc<dyn Gateway>,
    /// The circuit to it.
    pub breaker: Arc<Breaker>,
    /// This worker's share of its rate.
    pub pacer: Arc<Pacer>,
    /// Tells the pollers.
    pub announcer: EventPublisher,
    /// The keys that codes are derived with.
    pub keyring: Keyring,
    /// What messages say.
    pub templates: Templates,
    /// How long a claim holds.
    pub lease: Duration,
    /// How long a call may take.
    pub timeout: Duration,
    /// Calls to the gateway at a time.
    pub concurrency: usize,
    /// The time.
    pub clock: SharedClock,
    /// Claims and jitter.
    pub rng: Rng,
    /// When to stop.
    pub shutdown: Shutdown,
}

/// What became of a job's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// Nothing is left to do under this job.
    Done,
    /// It was not begun; the job has to come again.
    GiveBack,
}

/// What came of one try.
enum Attempt {
    Over(Handled),
    /// It is due so soon that it is worth waiting for.
    Early(Duration),
}

impl Sender {
    /// Starts the batchers. Call it within a runtime.
    #[must_use]
    pub fn new(parts: SenderParts) -> Self {
        let bounds = Bounds { queue: parts.concurrency.max(16) * 2, rest: REST, ..Bounds::default() };
        let claims = {
            let (store, clock, announcer) =
                (Arc::clone(&parts.store), Arc::clone(&parts.clock), parts.announcer.clone());
            Batcher::spawn(bounds, move |items: Vec<Claim>| {
                let (store, clock, announcer) = (Arc::clone(&store), Arc::clone(&clock), announcer.clone());
                async move {
                    let batch = store.claim(&items, clock.now()).await;
                    announcer.announce(batch.events);
                    batch.answers
                }
            })
        };
        let records = {
            let (store, clock, announcer) =
                (Arc::clone(&parts.store), Arc::clone(&parts.clock), parts.announcer.clone());
            Batcher::spawn(bounds, move |items: Vec<Record>| {
                let (store, clock, announcer) = (Arc::clone(&store), Arc::clone(&clock), announcer.clone());
                async move {
                    let batch = store.record(&items, clock.now()).await;
                    announcer.announce(batch.events);
                    batch.answers
                }
            })
        };
        let lines = Semaphore::new(parts.concurrency);
        Self { parts, claims, records, mimic: Mimic::default(), lines }
    }

    /// Calls to the gateway under way.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        u32::try_from(self.parts.concurrency.saturating_sub(self.lines.available_permits()))
            .unwrap_or(u32::MAX)
    }

    /// Handles one message of a job, from the permit to the record.
    pub async fn handle(&self, message: Outgoing) -> Handled {
        let work = Work::begin(&self.parts.rng, message.request);
        let span = tracing::info_span!("send", trace_id = %work.context.trace_id(), span_id = %work.context.span_id(),
            request_trace_id = work.request_trace().map(tracing::field::display));
        self.tries(message.id, &work).instrument(span).await
    }

    async fn tries(&self, id: MessageId, work: &Work) -> Handled {
        for _ in 0..EARLY_TRIES {
            match self.attempt(id, work).await {
                Attempt::Over(handled) => return handled,
                Attempt::Early(wait) => {
                    tokio::select! { () = tokio::time::sleep(wait) => {}, () = self.parts.shutdown.begun() => break }
                }
            }
        }
        // The relay brings it at its time.
        Handled::Done
    }

    async fn attempt(&self, id: MessageId, work: &Work) -> Attempt {
        // What is not begun when a stop is asked for is left to the other workers.
        let leave = async {
            loop {
                let mut pass = self.parts.breaker.pass().await?;
                // Where permits are slow, many wait for theirs when the first refusal comes back.
                let permitted = tokio::select! {
                    biased;
                    () = pass.voided() => false,
                    () = self.parts.pacer.permit() => true,
                };
                match (permitted, pass.renew()) {
                    (true, true) => return Some(pass),
                    (true, false) => self.parts.pacer.unused(),
                    (false, _) => {}
                }
            }
        };
        let leave = tokio::select! {
            biased;
            () = self.parts.shutdown.begun() => None,
            leave = leave => leave,
        };
        let Some(pass) = leave else { return Attempt::Over(Handled::GiveBack) };
        let claim = Claim { id, claim: self.parts.rng.uuid() };
        match self.claims.submit(claim).await {
            Ok(Ok(Claimed::Granted(mut grant))) => {
                let _in_flight = metrics::worker().in_flight();
                let as_claimed = grant.as_claimed.take();
                let (outcome, parts) = self.deliver(&grant, pass, work).await;
                self.record(&grant, outcome, parts, as_claimed).await;
                work.end(|span| sent(span, &grant, outcome));
                Attempt::Over(Handled::Done)
            }
            Ok(Ok(answer)) => {
                self.parts.pacer.unused();
                note(id, &answer);
                self.after(&answer)
            }
            Ok(Err(error)) => {
                if matches!(*error, StoreError::Unavailable(_)) {
                    self.parts.monitor.report_trouble();
                }
                self.unclaimed(id, &error).await
            }
            Err(full) => self.unclaimed(id, &full).await,
        }
    }

    /// The claim failed. The job comes again as soon as it is given back, so it is kept for a moment.
    async fn unclaimed(&self, id: MessageId, reason: &(dyn std::fmt::Display + Sync)) -> Attempt {
        self.parts.pacer.unused();
        tracing::warn!(%id, %reason, "not claimed; the job goes back");
        let pause = CLAIM_PAUSE.mul_f64(0.5 + self.parts.rng.fraction());
        tokio::select! { () = tokio::time::sleep(pause) => {}, () = self.parts.shutdown.begun() => {} }
        Attempt::Over(Handled::GiveBack)
    }

    /// What to do after a claim that was not granted.
    fn after(&self, answer: &Claimed) -> Attempt {
        match answer {
            // Processes' clocks differ by milliseconds, and a job may be here within one: it is not worth another one.
            Claimed::NotDue(due_at) => match *due_at - self.parts.clock.now() {
                wait if wait <= EARLY => Attempt::Early(wait + Duration::from_millis(1)),
                _ => Attempt::Over(Handled::Done),
            },
            _ => Attempt::Over(Handled::Done),
        }
    }

    /// How it went, and how many parts went out if some may have.
    async fn deliver(&self, grant: &Grant, mut pass: Pass<'_>, work: &Work) -> (Outcome, Option<i16>) {
        let row = &grant.verification;
        if grant.route == Route::Null {
            return (Outcome::Accepted, None);
        }
        // Taken before the pace is asked for, so that calls do not bunch behind it. There is one at once unless the gateway has
        // just become slower; nothing closes them.
        let _line = self.lines.acquire().await;
        self.parts.pacer.call().await;
        // A claim that took long to come back may not outlast the call: then nothing is tried.
        let age = self.parts.clock.now() - grant.claimed_at;
        if age + self.parts.timeout + LEASE_MARGIN / 2 > self.parts.lease {
            tracing::warn!(id = %grant.id, "the claim came too late to be used");
            return (Outcome::GivenBack { after: Duration::ZERO, error: None }, None);
        }
        let code = self.parts.keyring.code(row.key_id, &row.salt, row.id, row.epoch, row.code_length);
        let Some(code) = code else {
            // The claim is refused for keys that are not known here, so this cannot be; it must not send garbage either.
            tracing::error!(id = %grant.id, "the code's key is not known");
            return (Outcome::GivenBack { after: Duration::from_secs(60), error: None }, None);
        };
        let text = self.parts.templates.write(row, &code);
        if grant.route == Route::Decoy {
            // No answer is known of it, so it settles nothing about the circuit.
            let (took, answer) = self.mimic.sample(&self.parts.rng);
            tokio::time::sleep(took).await;
            return (self.outcome(grant, answer), None);
        }
        if !pass.renew() {
            // It opened while the claim was made.
            return (Outcome::GivenBack { after: ACCOUNT_REST, error: None }, None);
        }
        let watch = Stopwatch::start();
        let answer = self.parts.gateway.send(grant.phone, &text).await;
        let took = watch.elapsed();
        self.mimic.note(took, answer);
        metrics::worker().called(answer.call(), took);
        let (name, code) = (answer.call().as_str(), answer.gateway_code());
        tracing::info!(id = %grant.id, to = %grant.phone.masked(), attempt = grant.attempt, answer = name, code,
            ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "called the gateway");
        work.part(&self.parts.rng, "gateway", took, |span| called(span, answer));
        self.settle(grant, answer, pass);
        let parts = match answer {
            Answer::Accepted | Answer::Unknown => i16::try_from(measure(text.expose_secret()).parts).ok(),
            _ => None,
        };
        (self.outcome(grant, answer), parts)
    }

    /// What an answer means for the circuit.
    fn settle(&self, grant: &Grant, answer: Answer, pass: Pass<'_>) {
        match answer {
            Answer::Accepted => {
                pass.settle(Verdict::Good);
            }
            Answer::Refused(error) => {
                pass.settle(Verdict::Good);
                if error.code == DeliveryFault::InvalidMessage {
                    tracing::error!(id = %grant.id, code = error.gateway_code, "the gateway refuses what we wrote");
                }
            }
            Answer::Account { gateway_code } => {
                self.parts.breaker.refused_with(gateway_code);
                if pass.settle(Verdict::Refused) {
                    metrics::worker().circuit_opened();
                    tracing::error!(
                        code = gateway_code,
                        "the gateway refuses the account: sending stops until it does not"
                    );
                }
            }
            Answer::NotNow { .. } | Answer::Unknown => {}
        }
    }

    /// What an answer means for the message.
    fn outcome(&self, grant: &Grant, answer: Answer) -> Outcome {
        match answer {
            Answer::Accepted => Outcome::Accepted,
            Answer::Refused(error) => Outcome::Refused(error),
            Answer::Account { gateway_code } => {
                let error =
                    DeliveryError { code: DeliveryFault::AccountRefused, gateway_code: Some(gateway_code) };
                Outcome::GivenBack { after: ACCOUNT_REST, error: Some(error) }
            }
            Answer::NotNow { retry_after } => {
                let after = backoff(grant.attempt, self.parts.rng.fraction(), retry_after);
                let error = DeliveryError { code: DeliveryFault::GatewayUnavailable, gateway_code: None };
                Outcome::Retry { after, error }
            }
            Answer::Unknown => {
                Outcome::Ambiguous(DeliveryError { code: DeliveryFault::NoAnswer, gateway_code: None })
            }
        }
    }

    /// Writes the outcome down. While the store is away the outcome is kept and tried again: it is all that is known of
    /// a message that may be on somebody's phone.
    async fn record(
        &self,
        grant: &Grant,
        outcome: Outcome,
        parts: Option<i16>,
        mut as_claimed: Option<Box<AsClaimed>>,
    ) {
        let mut attempts = 0;
        loop {
            // Only once: an attempt that failed may have been written all the same.
            let as_claimed = as_claimed.take();
            let record = Record { id: grant.id, claim: grant.claim, outcome, parts, as_claimed };
            let reason = match self.records.submit(record).await {
                Ok(Ok(Recorded::Stale)) => {
                    tracing::warn!(id = %grant.id, ?outcome, "recorded too late: the claim had been taken back");
                    return;
                }
                Ok(Ok(Recorded::Done(_) | Recorded::Already)) => return,
                Ok(Err(error)) => error.to_string(),
                Err(full) => full.to_string(),
            };
            attempts += 1;
            if attempts == 1 {
                tracing::warn!(id = %grant.id, reason, "the outcome is not recorded yet");
            }
            let pause = backoff(attempts, self.parts.rng.fraction(), None).min(Duration::from_secs(5)) / 4;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.parts.shutdown.aborted() => {
                    tracing::error!(id = %grant.id, ?outcome, "stopped before the outcome was recorded: it counts as unknown");
                    return;
                }
            }
        }
    }
}

/// What is collected of a send: whose it is only by its id.
fn sent(span: Span, grant: &Grant, outcome: Outcome) -> Span {
    let name = match outcome {
        Outcome::Accepted => "accepted",
        Outcome::Refused(_) => "refused",
        Outcome::Retry { .. } => "retry",
        Outcome::GivenBack { .. } => "given_back",
        Outcome::Ambiguous(_) => "ambiguous",
    };
    let failed = matches!(outcome, Outcome::Refused(_) | Outcome::Ambiguous(_));
    Span { failed, ..span }
        .with("messaging.system", Value::Text("rabbitmq"))
        .with("messaging.operation.type", Value::Text("process"))
        .with("messaging.message.id", Value::Name(grant.id.to_string()))
        .with("hulak.attempt", Value::Number(grant.attempt.into()))
        .with("hulak.outcome", Value::Text(name))
}

/// What is collected of a call.
fn called(span: Span, answer: Answer) -> Span {
    let span = Span { failed: answer != Answer::Accepted, ..span };
    let span = span.with("hulak.gateway.answer", Value::Text(answer.call().as_str()));
    match answer.gateway_code() {
        Some(code) => span.with("hulak.gateway.code", Value::Number(code.into())),
        None => span,
    }
}

fn note(id: MessageId, answer: &Claimed) {
    match answer {
        Claimed::UnknownKey => {
            tracing::error!(%id, "its code was made with a secret that is not known here: set HULAK_SECRET_PREVIOUS; \
                other workers are asked");
        }
        Claimed::Missing => tracing::warn!(%id, "there is no such message"),
        Claimed::Paced(until) | Claimed::NotDue(until) => tracing::debug!(%id, %until, "not yet"),
        Claimed::Done | Claimed::Expired | Claimed::Canceled | Claimed::Granted(_) => {
            tracing::debug!(%id, "nothing to send");
        }
    }
}
