//! What the gateway will bill, by client and day.

use std::fmt::Write as _;

use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hulak_common::audit::Act;
use hulak_common::usage::{Day, Usage, UsageSum};
use serde::Deserialize;

use super::auth::SignedIn;
use super::state::{Console, Shared};
use crate::http::problem::{Kind, Problem};

/// The most days of one request.
const MAX_DAYS: i64 = 400;
/// Days on the overview.
pub(super) const SHOWN_DAYS: i64 = 14;

#[derive(Debug, Deserialize)]
pub(super) struct Days {
    days: Option<i64>,
}

impl Days {
    pub(super) fn count(&self) -> Result<i64, Problem> {
        let days = self.days.unwrap_or(31);
        if (1..=MAX_DAYS).contains(&days) {
            Ok(days)
        } else {
            Err(Problem::new(Kind::InvalidRequest, format!("days: must be from 1 to {MAX_DAYS}")))
        }
    }
}

/// The rows of the last `days` days, today included.
pub(super) async fn rows(console: &Console, days: i64) -> Result<Vec<Usage>, Problem> {
    let from = Day::of(console.clock.now()).before(days - 1);
    console.store.usage(from).await.map_err(|error| console.refuse(&error))
}

pub(super) async fn csv(
    State(console): State<Shared>,
    SignedIn(operator): SignedIn,
    Query(days): Query<Days>,
) -> Result<Response, Problem> {
    let days = days.count()?;
    console.record(&operator, Act::Export, format!("{days} days")).await?;
    let rows = rows(&console, days).await?;
    let name = format!("attachment; filename=\"hulak-{}.csv\"", Day::of(console.clock.now()));
    let headers =
        [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, write(&rows)).into_response())
}

fn write(rows: &[Usage]) -> String {
    let mut out = "day,client,messages,parts,uncertain_parts,failed,unbilled\r\n".to_owned();
    for row in rows {
        let UsageSum { messages, parts, uncertain, failed, unbilled } = row.sum;
        // Writing to a string does not fail.
        let _ = write!(
            out,
            "{},{},{messages},{parts},{uncertain},{failed},{unbilled}\r\n",
            row.day,
            quoted(&row.client_name)
        );
    }
    out
}

/// A name as a CSV field. A spreadsheet must not run it as a formula.
fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn names_are_never_formulas() {
        let row = |name: &str| Usage {
            day: Day::from_number(20_000),
            client: Uuid::nil(),
            client_name: name.to_owned(),
            sum: UsageSum { messages: 2, parts: 3, uncertain: 1, failed: 0, unbilled: 4 },
        };
        let text = write(&[row("a \"b\", c"), row("=1+1")]);
        assert_eq!(
            text.lines().skip(1).collect::<Vec<_>>(),
            ["2024-10-04,\"a \"\"b\"\", c\",2,3,1,0,4", "2024-10-04,\"'=1+1\",2,3,1,0,4"]
        );
    }
}
