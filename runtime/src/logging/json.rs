//! A line of the log as one flat JSON object: a trace id is always in the same place, whichever code wrote the line.

use std::fmt;
use std::io;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Only the fields of Hulak's own spans go into the line: a library's span, nested in one of them, would hide it.
const OURS: &str = "hulak";

/// Writes `{"timestamp":…,"level":…,"target":…,"message":…,FIELDS,FIELDS OF OUR INNERMOST SPAN}`.
#[derive(Debug)]
pub(super) struct JsonLine;

impl<S> FormatEvent<S, JsonFields> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\",\"target\":", metadata.level())?;
        json(&mut writer, &metadata.target())?;
        let mut fields = Fields { writer: &mut writer, done: Ok(()) };
        event.record(&mut fields);
        fields.done?;
        let ours = context
            .event_scope()
            .and_then(|mut scope| scope.find(|span| span.metadata().target().starts_with(OURS)));
        if let Some(span) = ours {
            let extensions = span.extensions();
            // Written as an object of its own, whose fields are then copied.
            let inside = extensions
                .get::<FormattedFields<JsonFields>>()
                .and_then(|fields| fields.fields.strip_prefix('{')?.strip_suffix('}'));
            if let Some(inside) = inside.filter(|inside| !inside.is_empty()) {
                write!(writer, ",{inside}")?;
            }
        }
        writer.write_str("}\n")
    }
}

struct Fields<'a, 'w> {
    writer: &'a mut Writer<'w>,
    done: fmt::Result,
}

impl Fields<'_, '_> {
    fn put(&mut self, field: &Field, value: &impl Serialize) {
        // Metadata that the `log` crate adds to its lines.
        if field.name().starts_with("log.") || self.done.is_err() {
            return;
        }
        let name = write!(self.writer, ",\"{}\":", field.name());
        self.done = name.and_then(|()| json(self.writer, value));
    }
}

impl Visit for Fields<'_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format_args!("{value:?}"));
    }
}

fn json(writer: &mut Writer<'_>, value: &impl Serialize) -> fmt::Result {
    serde_json::to_writer(Bytes(writer), value).map_err(|_| fmt::Error)
}

/// Serializers write bytes, log lines are text; what serde_json writes is always whole characters.
struct Bytes<'a, 'w>(&'a mut Writer<'w>);

impl io::Write for Bytes<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Kept {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn lines(log: impl FnOnce()) -> Vec<Value> {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(kept.clone())
            .json()
            .event_format(JsonLine)
            .fmt_fields(JsonFields::new())
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    #[test]
    fn a_line_is_flat_and_carries_its_trace() {
        let lines = lines(|| {
            let ours = tracing::info_span!("request", trace_id = %"0af7", request_id = "a\"b");
            let _entered = ours.enter();
            let theirs = tracing::info_span!(target: "h2", "connection", trace_id = "wrong");
            let _entered = theirs.enter();
            tracing::info!(status = 200, route = "/v1/\"x\"\n", share = 0.5, ok = true, id = ?Some(1), "answered");
        });
        let mut line = lines[0].clone();
        let timestamp = line["timestamp"].take();
        assert!(timestamp.as_str().unwrap().ends_with('Z'), "{timestamp}");
        let expected = json!({
            "timestamp": null, "level": "INFO", "target": module_path!(), "message": "answered", "status": 200,
            "route": "/v1/\"x\"\n", "share": 0.5, "ok": true, "id": "Some(1)", "trace_id": "0af7",
            "request_id": "a\"b",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn a_line_outside_of_a_span_is_whole() {
        let lines = lines(|| tracing::warn!(missing = None::<u64>, "alone"));
        assert_eq!(lines[0]["message"], "alone");
        assert_eq!(lines[0].get("missing"), None);
    }
}
