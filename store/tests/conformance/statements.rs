//! The text of every SQL statement that the stores run, held against `tests/sql/{postgres,sqlite}.sql`.
//!
//! Every test records what its store asks of the database, so a statement that is new or reads differently fails the test that
//! runs it. To accept the texts as they are, run the whole suite with `HULAK_WRITE_SQL=1`, and read the difference.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const FILES: [&str; 2] = ["postgres", "sqlite"];

/// What was asked of PostgreSQL and of SQLite so far.
static SEEN: Mutex<[BTreeSet<String>; 2]> = Mutex::new([BTreeSet::new(), BTreeSet::new()]);

/// Records statements from here on, in the whole process.
pub(crate) fn record() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Recorder).unwrap());
}

/// Statements that were run, but are not in the files.
pub(crate) fn unknown() -> Vec<String> {
    let seen = SEEN.lock().unwrap();
    let unknown = FILES.iter().zip(seen.iter()).flat_map(|(name, seen)| {
        let text = std::fs::read_to_string(file(name)).unwrap_or_default();
        let known: BTreeSet<&str> = text.lines().collect();
        let unknown = seen.iter().filter(|sql| !known.contains(sql.as_str()));
        unknown.map(|sql| format!("{name}: {sql}")).collect::<Vec<_>>()
    });
    unknown.collect()
}

fn file(name: &str) -> PathBuf {
    // Also from the crates above that test with this harness.
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../store/tests/sql/{name}.sql"))
}

/// Lists have as many entries as a test happens to ask for: one stands for all.
fn without_repetition(sql: &str) -> String {
    if ![" IN ($", " IN (?", "(client_id ="].iter().any(|list| sql.contains(list)) {
        return sql.to_owned();
    }
    let numberless = sql.split('$').enumerate().map(|(n, part)| match n {
        0 => part.to_owned(),
        _ => format!("${}", part.trim_start_matches(|c: char| c.is_ascii_digit())),
    });
    let mut text = numberless.collect::<String>();
    for bound in ["$", "?"] {
        for (entry, separator) in [
            (bound.to_owned(), ", "),
            (format!("(client_id = {bound} AND id = {bound})"), " OR "),
            (format!("(client_id = {bound} AND phone = {bound})"), " OR "),
        ] {
            while text.contains(&format!("{entry}{separator}{entry}")) {
                text = text.replace(&format!("{entry}{separator}{entry}"), &entry);
            }
        }
    }
    text
}

/// Takes statements from the log of sqlx. What tests ask for themselves is not logged there, and migrations are files.
struct Recorder;

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn event(&self, event: &Event<'_>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        let sql = if statement.text.trim().is_empty() { statement.summary } else { statement.text };
        let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
        let ours = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "BEGIN", "COMMIT", "ROLLBACK", "SET"];
        let of_sqlx = ["pg_advisory", "_sqlx", "pg_type", "pg_database", "current_database"];
        if !ours.iter().any(|word| sql.starts_with(word)) || of_sqlx.iter().any(|name| sql.contains(name)) {
            return;
        }
        let sqlite = std::thread::current().name().is_some_and(|name| name.starts_with("sqlx-sqlite"));
        let mut seen = SEEN.lock().unwrap();
        let table = &mut seen[usize::from(sqlite)];
        if table.insert(without_repetition(&sql)) && std::env::var_os("HULAK_WRITE_SQL").is_some() {
            let lines: String = table.iter().map(|sql| format!("{sql}\n")).collect();
            std::fs::write(file(FILES[usize::from(sqlite)]), lines).unwrap();
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Statement {
    summary: String,
    text: String,
}

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.text),
            _ => {}
        }
    }
    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
