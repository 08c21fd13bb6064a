//! The names and help texts of all metrics.

/// A metric, as Prometheus knows it.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name, with its unit.
    pub name: &'static str,
    /// Its help text.
    pub help: &'static str,
    pub(super) kind: Kind,
}

/// What kind of metric it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A counter.
    Counter,
    /// A gauge.
    Gauge,
    /// A histogram with these bounds.
    Histogram(&'static [f64]),
}

/// Calls: from a millisecond to the longest that a caller may wait.
const CALLS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Messages: from the fastest to the longest that a code lives.
const MESSAGES: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// People, who read a code and type it.
const PEOPLE: &[f64] =
    &[1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1_800.0];

macro_rules! catalogue {
    ($($constant:ident: $kind:expr, $name:literal, $help:literal;)+) => {
        $(#[doc = $help] pub const $constant: Metric = Metric { name: $name, help: $help, kind: $kind };)+

        /// Every metric there is.
        pub const CATALOGUE: &[Metric] = &[$($constant),+];
    };
}

catalogue! {
    BUILD: Kind::Gauge, "hulak_build_info", "Always 1; the label says which version runs.";
    DATABASE_UP: Kind::Gauge, "hulak_database_up", "1 while the database answers, else 0.";
    BROKER_UP: Kind::Gauge, "hulak_broker_up", "1 while the broker is connected and takes messages, else 0.";
    POOL: Kind::Gauge, "hulak_store_pool_connections", "Connections to the database, by what they do: busy or idle.";

    REQUESTS: Kind::Counter, "hulak_http_requests_total", "Requests answered by the API.";
    REQUEST_TIME: Kind::Histogram(CALLS), "hulak_http_request_duration_seconds", "Time from a request's head to its answer's; requests that asked to wait for a change have a route of their own.";

    CREATED: Kind::Counter, "hulak_verifications_created_total", "Verifications begun, by the number's operator.";
    ENDED: Kind::Counter, "hulak_verifications_ended_total", "Verifications ended, by how and by the number's operator.";
    APPROVAL_TIME: Kind::Histogram(PEOPLE), "hulak_request_to_approval_seconds", "Time from the request for a code to the right code.";
    CHECKS: Kind::Counter, "hulak_checks_total", "Codes checked, by what came of it.";

    REQUESTED: Kind::Counter, "hulak_messages_requested_total", "Messages asked for that the gateway is to send.";
    MESSAGES_ENDED: Kind::Counter, "hulak_messages_total", "Messages for the gateway that are final, by their outcome.";
    PARTS: Kind::Counter, "hulak_message_parts_total", "SMS parts of accepted messages, each a credit.";
    FAILURES: Kind::Counter, "hulak_delivery_failures_total", "Messages that ended without the gateway accepting them, by the last reason.";
    GATEWAY_TIME: Kind::Histogram(MESSAGES), "hulak_request_to_gateway_seconds", "Time from the request for a message to the gateway accepting it.";

    BACKLOG: Kind::Gauge, "hulak_backlog_age_seconds", "How long the message that has waited longest has been waiting for a worker.";
    OUTBOX: Kind::Gauge, "hulak_outbox_waiting", "Messages that are due to be published by a relay; counted up to 10000.";
    WORKERS: Kind::Gauge, "hulak_workers_live", "Workers that gave a sign of life in the last seconds.";
    QUEUE: Kind::Gauge, "hulak_queue_messages", "Jobs ready in a queue of the broker; NaN while it cannot be asked.";

    CALLS_MADE: Kind::Counter, "hulak_gateway_calls_total", "Calls of the gateway, by its answer.";
    CALL_TIME: Kind::Histogram(CALLS), "hulak_gateway_call_duration_seconds", "Time that a call of the gateway took.";
    CREDITS: Kind::Gauge, "hulak_gateway_credits", "Credits left at the gateway when last asked; NaN until then.";
    CIRCUIT: Kind::Gauge, "hulak_circuit_open", "1 while the gateway refuses the account and nothing is sent, else 0.";
    CIRCUIT_OPENED: Kind::Counter, "hulak_circuit_opened_total", "How often the gateway began to refuse the account.";
    IN_FLIGHT: Kind::Gauge, "hulak_in_flight_messages", "Messages that this worker has claimed and not yet recorded.";
    RELAYED: Kind::Counter, "hulak_relayed_messages_total", "Messages published by a relay: retries, pauses, and what the API could not publish.";
    REAPED_VERIFICATIONS: Kind::Counter, "hulak_reaped_verifications_total", "Verifications that the reaper expired.";
    REAPED_CLAIMS: Kind::Counter, "hulak_reaped_claims_total", "Claims of lost workers that the reaper took back.";
}
