//! A statement's text: one for both databases, or one for each.

/// What a statement is written as; SQLite understands PostgreSQL's `$1`, so most have one text.
pub(crate) trait SqlText {
    fn postgres(self) -> &'static str;
    fn sqlite(self) -> &'static str;
}

impl SqlText for &'static str {
    fn postgres(self) -> &'static str {
        self
    }

    fn sqlite(self) -> &'static str {
        self
    }
}

/// PostgreSQL's and SQLite's.
impl SqlText for [&'static str; 2] {
    fn postgres(self) -> &'static str {
        self[0]
    }

    fn sqlite(self) -> &'static str {
        self[1]
    }
}
