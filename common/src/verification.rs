//! A verification and its messages: their states, and every change they can go through.
//!
//! Nothing here does I/O. The stores load rows, call these transitions, and write the rows back in one transaction, so
//! both stores decide alike.

use std::time::Duration;

use uuid::Uuid;

use crate::code::{CodeLength, KeyId, Salt};
use crate::cooldown::Cooldown;
use crate::job::MessageId;
use crate::phone::PhoneNumber;
use crate::text_enum::text_enum;
use crate::time::Timestamp;
use crate::timeline::{Event, History};

pub use crate::status::{Delivery, DeliveryError, DeliveryFault, Status};

/// How long one code may live, however often it is sent again.
pub const CODE_LIFE: Duration = Duration::from_secs(600);
/// A resend keeps the code while at least this much of [`CODE_LIFE`] remains.
pub const CODE_KEEP: Duration = Duration::from_secs(180);
/// How long a verification may live, with all its codes.
pub const VERIFICATION_LIFE: Duration = Duration::from_secs(1_800);
/// How long a message that was just written is left to the publisher before the relay takes it.
pub const PUBLISH_GRACE: Duration = Duration::from_secs(2);

text_enum! {
    /// The purpose that the caller wants the proof for.
    Purpose {
        /// The number alone.
        Verify => "verify",
        /// Signing up.
        SignUp => "sign_up",
        /// Signing in.
        SignIn => "sign_in",
    }
}

text_enum! {
    /// The language of the message.
    Locale {
        /// English.
        En => "en",
        /// Nepali.
        Ne => "ne",
    }
}

text_enum! {
    /// The route of a message.
    Route {
        /// To the SMS gateway.
        Gateway => "gateway",
        /// Not sent: a worker takes it and drops it. For test numbers, which have no limits.
        Null => "null",
        /// Not sent, and not distinguishable from a sent one: limits, pace and states are those of a message to the gateway.
        Decoy => "decoy",
    }
}

/// What makes a verification *the* live one: at most one pending verification has the same key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LiveKey {
    /// The client application.
    pub client: Uuid,
    /// The number.
    pub phone: PhoneNumber,
    /// The purpose.
    pub purpose: Purpose,
    /// The account it belongs to.
    pub account: Option<Uuid>,
    /// The caller's own session, empty when it named none.
    pub session: String,
}

/// The verification of one number for one client.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// Version 7 UUID.
    pub id: Uuid,
    /// Client, number, purpose, account and session.
    pub key: LiveKey,
    /// Language of its messages.
    pub locale: Locale,
    /// Android SMS Retriever hash, 11 characters.
    pub app_hash: Option<String>,
    /// The web origin its messages are bound to.
    pub origin: Option<String>,
    /// The client application's own name in its messages; the installation's when there is none.
    pub app_name: Option<String>,
    /// The caller's own data: a JSON object, as text.
    pub metadata: String,
    /// Salt of its codes.
    pub salt: Salt,
    /// The id of the secret that its codes are derived from.
    pub key_id: KeyId,
    /// Digits of its codes.
    pub code_length: CodeLength,
    /// When it was asked for.
    pub created_at: Timestamp,

    /// Its status.
    pub status: Status,
    /// The epoch of the valid code: a new epoch is a new code.
    pub epoch: i32,
    /// When the epoch began.
    pub epoch_started_at: Timestamp,
    /// How many more wrong codes it allows.
    pub checks_remaining: i32,
    /// From when on another message may be asked for.
    pub resend_after: Timestamp,
    /// When its code expires.
    pub expires_at: Timestamp,
    /// The delivery status of its newest message.
    pub delivery: Delivery,
    /// How many messages it has had.
    pub messages: i32,
    /// When the gateway last accepted one.
    pub last_sent_at: Option<Timestamp>,
    /// When the newest message is tried next, while it waits for a known time.
    pub next_attempt_at: Option<Timestamp>,
    /// What went wrong with the newest message.
    pub error: Option<DeliveryError>,
    /// When it stopped being pending.
    pub ended_at: Option<Timestamp>,
    /// When anything here last changed.
    pub updated_at: Timestamp,
    /// Counts the changes, from 1.
    pub version: i64,
    /// Its timeline, for people.
    pub history: History,
}

impl Verification {
    /// Pending, with time left. A reader sees the row as expired from then on, before the reaper writes it.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.status == Status::Pending && now < self.expires_at
    }

    /// The status as of `now`.
    #[must_use]
    pub fn status_at(&self, now: Timestamp) -> Status {
        if self.status == Status::Pending && now >= self.expires_at { Status::Expired } else { self.status }
    }

    /// The newest message.
    #[must_use]
    pub fn newest_message(&self) -> MessageId {
        MessageId { verification: self.id, seq: self.messages }
    }

    /// Bumps the version.
    pub fn touch(&mut self, now: Timestamp) {
        self.version += 1;
        self.updated_at = now.max(self.updated_at);
    }

    /// Adds an event to its timeline.
    pub fn note(&mut self, event: Event, now: Timestamp) {
        self.history.push(now - self.created_at, event);
    }

    /// Ends it.
    pub fn end(&mut self, status: Status, now: Timestamp) {
        debug_assert!(self.status == Status::Pending && status != Status::Pending);
        self.note(Event::Ended(status), now);
        self.status = status;
        self.ended_at = Some(now);
        self.next_attempt_at = None;
        if status == Status::Approved && self.delivery == Delivery::Unknown {
            // The person knew the code, so the message had arrived.
            self.delivery = Delivery::Sent;
            self.error = None;
        }
        self.touch(now);
    }

    /// Adds a message: the same code while enough of its life remains, a new one otherwise. Answers the row to insert.
    pub fn add_message(
        &mut self,
        route: Route,
        ttl: Duration,
        cooldown: Cooldown,
        now: Timestamp,
    ) -> Message {
        let life = CODE_LIFE.max(ttl);
        let mut new_code = self.messages == 0;
        if self.messages > 0 && (self.epoch_started_at + life).until(now) < CODE_KEEP.min(life) {
            new_code = true;
            self.epoch += 1;
            self.epoch_started_at = now;
        }
        self.expires_at =
            (now + ttl).min(self.epoch_started_at + life).min(self.created_at + VERIFICATION_LIFE.max(ttl));
        self.messages += 1;
        self.note(Event::Asked { seq: self.messages, new_code }, now);
        // A message that is not sent disturbs no person.
        self.resend_after = if route == Route::Null { now } else { cooldown.after_request(now) };
        self.delivery = Delivery::Queued;
        self.next_attempt_at = None;
        self.error = None;
        if self.messages > 1 {
            self.touch(now);
        }
        Message {
            id: self.newest_message(),
            phone: self.key.phone,
            epoch: self.epoch,
            route,
            state: Delivery::Queued,
            attempts: 0,
            ambiguous: 0,
            due_at: now,
            publish_at: Some(now + PUBLISH_GRACE),
            publishes: 0,
            claim: None,
            lease_until: None,
            error: None,
            parts: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Copies a message's change, if it is the newest message.
    pub fn show(&mut self, message: &Message, now: Timestamp) {
        self.note(message.news(now), now);
        self.display(message, now);
    }

    /// Shows that a message waits for its number's pace.
    pub fn show_paced(&mut self, message: &Message, now: Timestamp) {
        self.note(Event::Paced { seq: message.id.seq, wait: message.wait(now) }, now);
        self.display(message, now);
    }

    fn display(&mut self, message: &Message, now: Timestamp) {
        if message.id != self.newest_message() {
            return;
        }
        (self.delivery, self.error) = match message.state {
            Delivery::Unknown if self.status == Status::Approved => (Delivery::Sent, None),
            state => (state, message.error),
        };
        self.next_attempt_at =
            (message.state == Delivery::Queued && message.due_at > now).then_some(message.due_at);
        if message.state == Delivery::Sent {
            self.last_sent_at = Some(now);
        }
        self.touch(now);
    }
}

/// One SMS of a verification, and the outbox entry that gets it sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The verification and the message's place in it, from 1.
    pub id: MessageId,
    /// Its receiver.
    pub phone: PhoneNumber,
    /// The epoch of its code.
    pub epoch: i32,
    /// Its route.
    pub route: Route,
    /// Its delivery status.
    pub state: Delivery,
    /// How often the gateway was called for it.
    pub attempts: i32,
    /// How many of those calls had an unknown outcome.
    pub ambiguous: i32,
    /// No claim succeeds before this time.
    pub due_at: Timestamp,
    /// When the relay publishes it (again); `None` while a worker holds it and once it is final.
    pub publish_at: Option<Timestamp>,
    /// How often the broker confirmed it since it was last queued.
    pub publishes: i32,
    /// The id of the claim whose worker may record the outcome. It stays after the end, so that a second record is recognised.
    pub claim: Option<Uuid>,
    /// When the claim's lease ends.
    pub lease_until: Option<Timestamp>,
    /// What went wrong last.
    pub error: Option<DeliveryError>,
    /// How many SMS parts its text has, each a credit; known once the gateway may have accepted it.
    pub parts: Option<i16>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Message {
    /// The timeline event of its present status, just after it changed.
    fn news(&self, now: Timestamp) -> Event {
        let (seq, error) = (self.id.seq, self.error);
        match self.state {
            Delivery::Queued => Event::Again { seq, wait: self.wait(now), error },
            Delivery::Sending => Event::Claimed { seq },
            Delivery::Sent => Event::Accepted { seq },
            Delivery::Failed => Event::Failed { seq, error },
            Delivery::Expired => Event::TooLate { seq },
            Delivery::Canceled => Event::NotNeeded { seq },
            Delivery::Unknown => Event::Unknown { seq, error },
        }
    }

    /// Milliseconds until it is due.
    fn wait(&self, now: Timestamp) -> u64 {
        u64::try_from(self.due_at.until(now).as_millis()).unwrap_or(u64::MAX)
    }

    /// Ends it with a final status.
    pub fn finish(&mut self, state: Delivery, now: Timestamp) {
        debug_assert!(!state.is_open());
        self.state = state;
        self.publish_at = None;
        self.lease_until = None;
        self.updated_at = now;
    }

    /// Ends it without sending; what an earlier call may have sent stays unknown.
    pub fn finish_unsent(&mut self, state: Delivery, now: Timestamp) {
        self.finish(if self.ambiguous > 0 { Delivery::Unknown } else { state }, now);
    }

    /// Queues it for a later try.
    pub fn requeue(&mut self, due_at: Timestamp, now: Timestamp) {
        self.state = Delivery::Queued;
        self.due_at = due_at;
        self.publish_at = Some(due_at);
        // Its next job is a new one: if that is lost, the relay waits as long as after the first.
        self.publishes = 0;
        self.claim = None;
        self.lease_until = None;
        self.updated_at = now;
    }
}
