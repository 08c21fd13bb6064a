//! Sends one message: claim, call the gateway, record the outcome.

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
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::breaker::{AccountState, Breaker, Pass};
use crate::config::LEASE_MARGIN;
use crate::decoy::RecentCalls;
use crate::gateway::{Gateway, SendResult};
use crate::outage::Outage;
use crate::rate_limiter::RateLimiter;

type Reply<T> = Result<T, Arc<StoreError>>;

/// Between two batches of claims, and of records, so that a busy worker's batches are large. A message then waits for half of it,
/// and in a quiet worker not at all.
const BATCH_INTERVAL: Duration = Duration::from_millis(10);

/// How long a message waits, before the relay publishes it again, when the gateway refused the account.
const ACCOUNT_WAIT: Duration = Duration::from_secs(1);

/// How long a job is kept when its claim failed, before it is requeued.
const CLAIM_PAUSE: Duration = Duration::from_millis(500);

/// A message due within this time is waited for, this many times.
const EARLY: Duration = Duration::from_secs(1);
const EARLY_TRIES: usize = 3;

/// Sends messages.
#[derive(Debug)]
pub struct Sender {
    parts: SenderParts,
    claims: Batcher<Claim, Reply<Claimed>>,
    records: Batcher<Record, Reply<Recorded>>,
    recent_calls: RecentCalls,
    outage: Outage,
    /// Slots for calls to the gateway.
    call_slots: Semaphore,
    /// Slots for decoys that take their time.
    decoy_slots: Semaphore,
}

/// What a [`Sender`] is made of.
#[derive(Debug)]
pub struct SenderParts {
    /// The database.
    pub store: Arc<Store>,
    /// Whether the database is up.
    pub monitor: Monitor,
    /// The gateway.
    pub gateway: Arc<dyn Gateway>,
    /// The circuit to the gateway.
    pub breaker: Arc<Breaker>,
    /// This worker's share of the account's rate.
    pub rate_limiter: Arc<RateLimiter>,
    /// Publishes the changes for the pollers.
    pub publisher: EventPublisher,
    /// The keys that codes are derived with.
    pub keyring: Keyring,
    /// The texts of messages.
    pub templates: Templates,
    /// How long a claim holds.
    pub lease: Duration,
    /// How long a call may take.
    pub timeout: Duration,
    /// Calls to the gateway at a time.
    pub concurrency: usize,
    /// The time.
    pub clock: SharedClock,
    /// Makes claim ids and jitter.
    pub rng: Rng,
    /// Ends waiting.
    pub shutdown: Shutdown,
}

/// What became of a message of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// The job is done with it.
    Done,
    /// It was not begun: its job must be requeued.
    Requeue,
}

/// The result of one attempt.
enum Attempt {
    Over(Handled),
    /// The message is due so soon that it is worth waiting for.
    Early(Duration),
}

impl Sender {
    /// Starts the batchers. Call it within a runtime.
    #[must_use]
    pub fn new(parts: SenderParts) -> Self {
        let bounds =
            Bounds { queue: parts.concurrency.max(16) * 2, rest: BATCH_INTERVAL, ..Bounds::default() };
        let claims = {
            let (store, clock, publisher) =
                (Arc::clone(&parts.store), Arc::clone(&parts.clock), parts.publisher.clone());
            Batcher::spawn(bounds, move |items: Vec<Claim>| {
                let (store, clock, publisher) = (Arc::clone(&store), Arc::clone(&clock), publisher.clone());
                async move {
                    let batch = store.claim(&items, clock.now()).await;
                    publisher.announce(batch.events);
                    batch.answers
                }
            })
        };
        let records = {
            let (store, clock, publisher) =
                (Arc::clone(&parts.store), Arc::clone(&parts.clock), parts.publisher.clone());
            Batcher::spawn(bounds, move |items: Vec<Record>| {
                let (store, clock, publisher) = (Arc::clone(&store), Arc::clone(&clock), publisher.clone());
                async move {
                    let batch = store.record(&items, clock.now()).await;
                    publisher.announce(batch.events);
                    batch.answers
                }
            })
        };
        let call_slots = Semaphore::new(parts.concurrency);
        let decoy_slots = Semaphore::new((parts.concurrency / 4).max(1));
        Self {
            parts,
            claims,
            records,
            recent_calls: RecentCalls::default(),
            outage: Outage::default(),
            call_slots,
            decoy_slots,
        }
    }

    /// Calls to the gateway in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        let in_flight = self.parts.concurrency.saturating_sub(self.call_slots.available_permits());
        u32::try_from(in_flight).unwrap_or(u32::MAX)
    }

    /// Handles one message of a job, from the permit to the record.
    pub async fn handle(&self, message: Outgoing) -> Handled {
        let work = Work::begin(&self.parts.rng, message.request);
        let span = tracing::info_span!("send", trace_id = %work.context.trace_id(), span_id = %work.context.span_id(),
            request_trace_id = work.request_trace().map(tracing::field::display));
        self.attempts(message.id, &work).instrument(span).await
    }

    async fn attempts(&self, id: MessageId, work: &Work) -> Handled {
        for _ in 0..EARLY_TRIES {
            match self.attempt(id, work).await {
                Attempt::Over(handled) => return handled,
                Attempt::Early(wait) => {
                    tokio::select! { () = tokio::time::sleep(wait) => {}, () = self.parts.shutdown.begun() => break }
                }
            }
        }
        // The relay publishes it when it is due.
        Handled::Done
    }

    async fn attempt(&self, id: MessageId, work: &Work) -> Attempt {
        // A message that is not begun before a shutdown is left to other workers.
        let pass = tokio::select! {
            biased;
            () = self.parts.shutdown.begun() => None,
            pass = self.permission() => pass,
        };
        let Some(pass) = pass else { return Attempt::Over(Handled::Requeue) };
        let claim = Claim { id, claim: self.parts.rng.uuid() };
        match self.claims.submit(claim).await {
            Ok(Ok(Claimed::Granted(mut grant))) => {
                let _in_flight = metrics::worker().in_flight();
                let as_claimed = grant.as_claimed.take();
                if grant.route != Route::Gateway {
                    // What makes no call takes no part of the account's rate: a message that does gets the permit.
                    self.parts.rate_limiter.give_back();
                }
                let (outcome, parts) = self.deliver(&grant, pass, work).await;
                self.record(&grant, outcome, parts, as_claimed).await;
                work.end(|span| describe_send(span, &grant, outcome));
                Attempt::Over(Handled::Done)
            }
            Ok(Ok(answer)) => {
                self.parts.rate_limiter.give_back();
                log_not_granted(id, &answer);
                self.after(&answer)
            }
            Ok(Err(error)) => {
                if matches!(*error, StoreError::Unavailable(_)) {
                    self.parts.monitor.report_trouble();
                }
                self.not_claimed(id, &error).await
            }
            Err(full) => self.not_claimed(id, &full).await,
        }
    }

    /// Waits for a pass of the circuit and a permit of the rate. `None` while the circuit is open or sending is paused.
    async fn permission(&self) -> Option<Pass<'_>> {
        loop {
            let mut pass = self.parts.breaker.pass().await?;
            // Where permits are slow, many messages wait for theirs when the first refusal comes back.
            let permitted = tokio::select! {
                biased;
                () = pass.voided() => false,
                () = self.parts.rate_limiter.permit() => true,
            };
            match (permitted, pass.renew()) {
                (true, true) => return Some(pass),
                (true, false) => self.parts.rate_limiter.give_back(),
                (false, _) => {}
            }
        }
    }

    /// The claim failed. A requeued job is delivered again at once, so it is kept for a moment.
    async fn not_claimed(&self, id: MessageId, reason: &(dyn std::fmt::Display + Sync)) -> Attempt {
        self.parts.rate_limiter.give_back();
        tracing::warn!(%id, %reason, "not claimed; the job goes back");
        let pause = CLAIM_PAUSE.mul_f64(0.5 + self.parts.rng.fraction());
        tokio::select! { () = tokio::time::sleep(pause) => {}, () = self.parts.shutdown.begun() => {} }
        Attempt::Over(Handled::Requeue)
    }

    /// What to do after a claim that was not granted.
    fn after(&self, answer: &Claimed) -> Attempt {
        match answer {
            // The clocks of processes differ by milliseconds, and a job may arrive within one: then waiting is cheaper than
            // another job.
            Claimed::NotDue(due_at) => match *due_at - self.parts.clock.now() {
                wait if wait <= EARLY => Attempt::Early(wait + Duration::from_millis(1)),
                _ => Attempt::Over(Handled::Done),
            },
            _ => Attempt::Over(Handled::Done),
        }
    }

    /// The outcome, and how many parts went out if some may have.
    async fn deliver(&self, grant: &Grant, pass: Pass<'_>, work: &Work) -> (Outcome, Option<i16>) {
        let row = &grant.verification;
        match grant.route {
            Route::Null => return (Outcome::Accepted, None),
            Route::Decoy => return (self.pretend(grant).await, None),
            Route::Gateway => {}
        }
        // Taken before the rate limiter, so that calls do not bunch behind it. A slot is free at once unless the gateway has just
        // become slower. The semaphore is never closed.
        let _slot = self.call_slots.acquire().await;
        self.parts.rate_limiter.call().await;
        // A claim that took long may end before the call does: then no call is made.
        let age = self.parts.clock.now() - grant.claimed_at;
        if age + self.parts.timeout + LEASE_MARGIN / 2 > self.parts.lease {
            tracing::warn!(id = %grant.id, "the claim came too late to be used");
            return (Outcome::GivenBack { after: Duration::ZERO, error: None }, None);
        }
        let code = self.parts.keyring.code(row.key_id, &row.salt, row.id, row.epoch, row.code_length);
        let Some(code) = code else {
            // The store refuses a claim whose key is not known, so this does not happen; no wrong code may be sent either.
            tracing::error!(id = %grant.id, "the code's key is not known");
            return (Outcome::GivenBack { after: Duration::from_secs(60), error: None }, None);
        };
        let text = self.parts.templates.write(row, &code);
        self.call(grant, &text, pass, work).await
    }

    /// The outcome of a decoy, after as long as a call takes. No call is made, so it waits for neither the rate nor a slot for
    /// calls, and the circuit learns nothing. When decoys already have their part of the slots for messages, because the gateway
    /// is slow and somebody asks for many, one more does not wait: real messages come first.
    async fn pretend(&self, grant: &Grant) -> Outcome {
        let (took, result) = self.recent_calls.sample(&self.parts.rng);
        if let Ok(_slot) = self.decoy_slots.try_acquire() {
            tokio::time::sleep(took).await;
        }
        self.outcome(grant, result)
    }

    async fn call(
        &self,
        grant: &Grant,
        text: &SecretString,
        mut pass: Pass<'_>,
        work: &Work,
    ) -> (Outcome, Option<i16>) {
        if !pass.renew() {
            // The circuit opened while the claim was made.
            return (Outcome::GivenBack { after: ACCOUNT_WAIT, error: None }, None);
        }
        let watch = Stopwatch::start();
        let result = self.parts.gateway.send(grant.phone, text).await;
        let took = watch.elapsed();
        self.recent_calls.add(took, result);
        self.outage.note(result, self.parts.clock.now());
        metrics::worker().called(result.call(), took);
        let (name, code) = (result.call().as_str(), result.gateway_code().map(tracing::field::display));
        tracing::info!(id = %grant.id, to = %grant.phone.masked(), attempt = grant.attempt, answer = name, code,
            ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "called the gateway");
        work.part(&self.parts.rng, "gateway", took, |span| describe_call(span, result));
        self.settle(grant, result, pass);
        let parts = match result {
            SendResult::Accepted | SendResult::Unknown => {
                i16::try_from(measure(text.expose_secret()).parts).ok()
            }
            _ => None,
        };
        (self.outcome(grant, result), parts)
    }

    /// Tells the circuit what a result says about the account.
    fn settle(&self, grant: &Grant, result: SendResult, pass: Pass<'_>) {
        match result {
            SendResult::Accepted => {
                pass.settle(AccountState::Good);
            }
            SendResult::Refused(error) => {
                pass.settle(AccountState::Good);
                if error.code == DeliveryFault::InvalidMessage {
                    let code = error.gateway_code.map(tracing::field::display);
                    tracing::error!(id = %grant.id, code, "the gateway refuses the text of a message");
                }
            }
            SendResult::AccountRefused { gateway_code: code } => {
                self.parts.breaker.refused_with(code);
                if pass.settle(AccountState::Refused) {
                    metrics::worker().circuit_opened();
                    tracing::error!(%code, "the gateway refuses the account: sending stops until it does not");
                }
            }
            SendResult::NotNow { .. } | SendResult::Unknown => {}
        }
    }

    /// What a result means for the message.
    fn outcome(&self, grant: &Grant, result: SendResult) -> Outcome {
        match result {
            SendResult::Accepted => Outcome::Accepted,
            SendResult::Refused(error) => Outcome::Refused(error),
            SendResult::AccountRefused { gateway_code } => {
                let error =
                    DeliveryError { code: DeliveryFault::AccountRefused, gateway_code: Some(gateway_code) };
                Outcome::GivenBack { after: ACCOUNT_WAIT, error: Some(error) }
            }
            SendResult::NotNow { retry_after } => {
                let after = backoff(grant.attempt, self.parts.rng.fraction(), retry_after);
                let error = DeliveryError { code: DeliveryFault::GatewayUnavailable, gateway_code: None };
                Outcome::Retry { after, error }
            }
            SendResult::Unknown => {
                Outcome::Ambiguous(DeliveryError { code: DeliveryFault::NoAnswer, gateway_code: None })
            }
        }
    }

    /// Records the outcome. While the database is down the outcome is kept and tried again: without it, a message that may have
    /// been delivered would count as unknown.
    async fn record(
        &self,
        grant: &Grant,
        outcome: Outcome,
        parts: Option<i16>,
        mut as_claimed: Option<Box<AsClaimed>>,
    ) {
        let mut attempts = 0;
        loop {
            // Used once: a failed attempt may have been written all the same.
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

/// The attributes of a send's span. Only the message's id says whose it is.
fn describe_send(span: Span, grant: &Grant, outcome: Outcome) -> Span {
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

/// The attributes of a call's span.
fn describe_call(span: Span, result: SendResult) -> Span {
    let span = Span { failed: result != SendResult::Accepted, ..span };
    let span = span.with("hulak.gateway.answer", Value::Text(result.call().as_str()));
    match result.gateway_code() {
        Some(code) => span.with("hulak.gateway.code", Value::Name(code.to_string())),
        None => span,
    }
}

fn log_not_granted(id: MessageId, answer: &Claimed) {
    match answer {
        Claimed::UnknownKey => {
            tracing::error!(%id, "the message's code was made with a secret that is not known here: set \
                HULAK_SECRET_PREVIOUS; other workers may know it");
        }
        Claimed::Missing => tracing::warn!(%id, "there is no such message"),
        Claimed::Paced(until) | Claimed::NotDue(until) => tracing::debug!(%id, %until, "not due yet"),
        Claimed::Done | Claimed::Expired | Claimed::Canceled | Claimed::Granted(_) => {
            tracing::debug!(%id, "nothing to send");
        }
    }
}
