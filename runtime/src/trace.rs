//! Which request a line of the log, a job or a call belongs to (W3C Trace Context), and spans for whoever collects them.
//!
//! Ids are made here whether or not anybody collects: logs carry them in any case. A span is written by hand, of typed
//! attributes, where a request or a send ends. Nothing that a library notes on the way gets into one, so nothing personal
//! can: see docs/decisions/0013-spans-by-hand.md.

use std::fmt;
use std::future::Future;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use crate::clock::{Stopwatch, wall_clock};
use crate::rng::Rng;

/// The header that carries a context, over HTTP and AMQP alike.
pub const TRACEPARENT: &str = "traceparent";

/// A trace and one span in it: what is handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// A trace's id, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub u128);

/// A span's id, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId(pub u64);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// How many random bytes [`TraceContext::root`] takes.
pub const SEED: usize = 24;

impl TraceContext {
    /// A new trace, made of random bytes.
    #[must_use]
    pub fn root(seed: &[u8; SEED]) -> Self {
        let (trace, span) = seed.split_at(16);
        // Zero is no id. It comes up once in 2^64, and then another id does as well.
        let trace = u128::from_be_bytes(trace.try_into().unwrap_or([1; 16])).max(1);
        Self { trace, span: number(span), sampled: COLLECTOR.get().is_some_and(|it| it.wants(trace)) }
    }

    /// Another span of this trace.
    #[must_use]
    pub fn child(self, seed: [u8; 8]) -> Self {
        Self { span: number(&seed), ..self }
    }

    /// The trace.
    #[must_use]
    pub const fn trace_id(self) -> TraceId {
        TraceId(self.trace)
    }

    /// The span.
    #[must_use]
    pub const fn span_id(self) -> SpanId {
        SpanId(self.span)
    }

    /// Reads a `traceparent`; `None` when it is not one, and a new trace begins.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lengths = [version, trace, span, flags].map(str::len) == [2, 32, 16, 2];
        let hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        // Version 0 ends here; a later one may go on, and says the same up to here.
        let known = match version {
            "00" => parts.next().is_none(),
            "ff" => false,
            _ => true,
        };
        if !lengths || !known || ![version, trace, span, flags].into_iter().all(hex) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?;
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { trace, span, sampled })
    }
}

/// As a `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id(), self.span_id(), u8::from(self.sampled))
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap_or([1; 8])).max(1)
}

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// Runs `work` in this context.
pub fn within<F: Future>(context: TraceContext, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(context, work)
}

/// The context that this task works in.
#[must_use]
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|context| *context).ok()
}

/// What a span was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A request was answered.
    Server,
    /// A job was worked on.
    Consumer,
    /// Somebody else was called.
    Client,
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// One of ours, or a number's operator.
    Text(&'static str),
    /// A route or an id that we made.
    Name(String),
    /// A number.
    Number(i64),
}

/// Something that took time.
#[derive(Debug, Clone)]
pub struct Span {
    /// What.
    pub name: String,
    /// What it was about.
    pub kind: Kind,
    /// Its own ids.
    pub context: TraceContext,
    /// The span that it is a part of; of another process, if `remote`.
    pub parent: Option<SpanId>,
    /// See [`Span::parent`].
    pub remote: bool,
    /// The span that was the reason for it.
    pub link: Option<TraceContext>,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// Whether it failed.
    pub failed: bool,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
}

impl Span {
    /// A span that ends now.
    #[must_use]
    pub fn new(name: String, kind: Kind, context: TraceContext, took: Duration) -> Self {
        let end = wall_clock();
        let start = end.checked_sub(took).unwrap_or(end);
        Self {
            name,
            kind,
            context,
            parent: None,
            remote: false,
            link: None,
            start,
            end,
            failed: false,
            attributes: Vec::new(),
        }
    }

    /// As a part of another one.
    #[must_use]
    pub fn part_of(self, parent: TraceContext, remote: bool) -> Self {
        Self { parent: Some(parent.span_id()), remote, ..self }
    }

    /// With an attribute.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Value) -> Self {
        self.attributes.push((name, value));
        self
    }
}

/// Takes spans to wherever they are collected. Never waits.
pub trait Sink: Send + Sync + fmt::Debug {
    /// Takes one, or drops it when there is no room.
    fn take(&self, span: Span);
}

#[derive(Debug)]
struct Collector {
    sink: Box<dyn Sink>,
    /// Traces are collected whose low 64 bits are not above this.
    threshold: u64,
}

impl Collector {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is compared")]
    fn wants(&self, trace: u128) -> bool {
        trace as u64 <= self.threshold
    }
}

static COLLECTOR: OnceLock<Collector> = OnceLock::new();

/// Collects spans from now on: of the traces that begin here this share (0 to 1), and of others' as they say. Answers
/// whether it does: the first sink holds.
pub fn collect(sink: Box<dyn Sink>, share: f64) -> bool {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a float's cast saturates at both ends"
    )]
    let threshold = (share.clamp(0.0, 1.0) * u64::MAX as f64) as u64;
    COLLECTOR.set(Collector { sink, threshold }).is_ok()
}

/// Has a span collected, if anybody wants it. It is not even made otherwise.
pub fn record(context: TraceContext, span: impl FnOnce() -> Span) {
    if let Some(collector) = COLLECTOR.get().filter(|_| context.sampled) {
        collector.sink.take(span());
    }
}

/// The work on one message: a trace of its own, which links to the request that asked for it. The request was answered
/// long ago, a retry may come an hour later, and a trace that never ends is of no use to anybody.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Its own ids.
    pub context: TraceContext,
    /// The request's; `None` when a relay brought the message.
    pub request: Option<TraceContext>,
    watch: Stopwatch,
}

impl Work {
    /// Begins now. It is collected if its request is, or by chance when there is none.
    #[must_use]
    pub fn begin(rng: &Rng, request: Option<TraceContext>) -> Self {
        let context = TraceContext::root(&rng.bytes());
        let sampled = request.map_or(context.sampled, |request| request.sampled);
        Self { context: TraceContext { sampled, ..context }, request, watch: Stopwatch::start() }
    }

    /// What the log knows the request by.
    #[must_use]
    pub fn request_trace(&self) -> Option<TraceId> {
        self.request.map(TraceContext::trace_id)
    }

    /// Has its span collected.
    pub fn end(&self, finish: impl FnOnce(Span) -> Span) {
        record(self.context, || {
            let span = Span::new("send".to_owned(), Kind::Consumer, self.context, self.watch.elapsed());
            finish(Span { link: self.request, ..span })
        });
    }

    /// Has a part's span collected, which ends now.
    pub fn part(&self, rng: &Rng, name: &'static str, took: Duration, finish: impl FnOnce(Span) -> Span) {
        record(self.context, || {
            let context = self.context.child(rng.bytes());
            finish(Span::new(name.to_owned(), Kind::Client, context, took).part_of(self.context, false))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_context_survives_its_travels() {
        let context = TraceContext::parse(GOOD).unwrap();
        assert_eq!(context.to_string(), GOOD);
        assert!(context.sampled);
        let later = format!("cc{}-what-comes-later", &GOOD[2..]);
        assert_eq!(TraceContext::parse(&later), Some(context));
        let unsampled = TraceContext::parse(&GOOD.replace("-01", "-00")).unwrap();
        assert!(!unsampled.sampled && unsampled.trace_id() == context.trace_id());
    }

    #[test]
    fn what_is_no_context_is_none() {
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0-0af7651916cd43dd8448eb211c80319c1-b7ad6b7169203331-01",
            "00-9812345678-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn nothing_is_collected_and_nothing_is_made_without_a_sink() {
        let context = TraceContext::root(&[7; SEED]);
        assert!(!context.sampled);
        record(TraceContext::parse(GOOD).unwrap(), || panic!("made for nobody"));
    }

    #[test]
    fn ids_are_never_zero_and_children_stay_in_their_trace() {
        let zero = TraceContext::root(&[0; SEED]);
        assert_eq!((zero.trace, zero.span), (1, 1));
        let child = zero.child([9; 8]);
        assert!(child.trace == zero.trace && child.span != zero.span);
    }

    #[tokio::test]
    async fn a_task_knows_its_context() {
        assert_eq!(current(), None);
        let context = TraceContext::parse(GOOD).unwrap();
        within(context, async { assert_eq!(current(), Some(context)) }).await;
        assert_eq!(current(), None);
    }
}
