//! Which request a line of the log, a job or a call belongs to: W3C Trace Context.

use std::fmt;

/// The header that carries a context, over HTTP and AMQP alike.
pub const TRACEPARENT: &str = "traceparent";

/// A trace and one span in it: the context that is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// The id of a trace; `Display` writes it in hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub u128);

/// The id of a span; `Display` writes it in hex.
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
    /// A new trace, made of random bytes, whose spans are not collected.
    #[must_use]
    pub fn root(seed: &[u8; SEED]) -> Self {
        let (trace, span) = seed.split_at(16);
        // Zero is not a valid id. It comes up once in 2^64.
        let trace = u128::from_be_bytes(trace.try_into().unwrap_or([1; 16])).max(1);
        Self { trace, span: number(span), sampled: false }
    }

    /// Whether the spans of this trace are collected.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.sampled
    }

    /// The same span; its trace is collected if `sampled`.
    #[must_use]
    pub const fn sampled(self, sampled: bool) -> Self {
        Self { sampled, ..self }
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
        // Version 0 ends here; a later version may have more fields after these.
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
    fn ids_are_never_zero_and_children_stay_in_their_trace() {
        let zero = TraceContext::root(&[0; SEED]);
        assert_eq!((zero.trace, zero.span), (1, 1));
        let child = zero.child([9; 8]);
        assert!(child.trace == zero.trace && child.span != zero.span);
    }
}
