//! Spans for a trace collector, and the trace context that a task works in.
//!
//! Ids exist with or without a collector: logs carry them in any case. A span is written by hand, of typed attributes,
//! where a request or a send ends. Nothing that a library records gets into one, so nothing personal can: see docs/decisions/0013-hand-written-spans.md.

use std::fmt;
use std::future::Future;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use hulak_common::clock::{Stopwatch, wall_clock};
use hulak_common::rng::Rng;
use hulak_common::trace_context::{SEED, SpanId, TraceContext, TraceId};

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

/// The kind of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The answer to a request.
    Server,
    /// The work on a job.
    Consumer,
    /// A call of another service.
    Client,
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A constant of Hulak, or a carrier's code.
    Text(&'static str),
    /// A route, or an id that Hulak made.
    Name(String),
    /// A number.
    Number(i64),
}

/// A span: work that took time.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// Its kind.
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
    /// Its attributes.
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

/// Takes spans to the collector. Never waits.
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
    fn wants(&self, trace: TraceId) -> bool {
        trace.0 as u64 <= self.threshold
    }
}

static COLLECTOR: OnceLock<Collector> = OnceLock::new();

/// Collects spans from now on: this share (0 to 1) of the traces that begin here, and what goes on from a trace as its sampled
/// flag says. The first sink stays; answers whether this one is it.
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

/// A new trace, made of random bytes. The collector's share decides whether it is sampled.
#[must_use]
pub fn root(seed: &[u8; SEED]) -> TraceContext {
    let context = TraceContext::root(seed);
    context.sampled(COLLECTOR.get().is_some_and(|collector| collector.wants(context.trace_id())))
}

/// Has a span collected, if its trace is sampled. It is not even made otherwise.
pub fn record(context: TraceContext, span: impl FnOnce() -> Span) {
    if let Some(collector) = COLLECTOR.get().filter(|_| context.is_sampled()) {
        collector.sink.take(span());
    }
}

/// The work on one message: a trace of its own, which links to the request that asked for it. The request was answered
/// long ago and a retry may come an hour later, so one trace for both would hardly ever end.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Its own ids.
    pub context: TraceContext,
    /// The request's context; `None` when the relay published the message.
    pub request: Option<TraceContext>,
    watch: Stopwatch,
}

impl Work {
    /// Begins now. It is sampled if its request is; without a request, by the collector's share.
    #[must_use]
    pub fn begin(rng: &Rng, request: Option<TraceContext>) -> Self {
        let own = root(&rng.bytes());
        let context = request.map_or(own, |request| own.sampled(request.is_sampled()));
        Self { context, request, watch: Stopwatch::start() }
    }

    /// The trace id of the request in the log.
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

    #[test]
    fn nothing_is_collected_and_nothing_is_made_without_a_sink() {
        let context = root(&[7; SEED]);
        assert!(!context.is_sampled());
        record(context.sampled(true), || panic!("made without a collector"));
    }

    #[tokio::test]
    async fn a_task_knows_its_context() {
        assert_eq!(current(), None);
        let context = TraceContext::root(&[7; SEED]);
        within(context, async { assert_eq!(current(), Some(context)) }).await;
        assert_eq!(current(), None);
    }
}
