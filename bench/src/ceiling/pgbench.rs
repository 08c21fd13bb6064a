//! One-row inserts, each a transaction of its own, by PostgreSQL's own load generator.

use std::fs;
use std::process::Stdio;

use hulak_testkit::services::install;
use sqlx::{Connection as _, PgConnection};
use tokio::process::Command;

use crate::error::BenchError;
use crate::options::Options;
use crate::services::Services;
use crate::usage;

const DATABASE: &str = "ceiling";
const CLIENTS: &str = "32";

/// The table that rows are inserted into.
#[derive(Debug, Clone, Copy)]
pub enum Table {
    /// With a primary key and an index on the number, as a simple program would have it.
    Indexed,
    /// Without key or index: no program could use it, and no insert into PostgreSQL is faster.
    Bare,
}

impl Table {
    fn sql(self) -> &'static str {
        match self {
            Self::Indexed => {
                "CREATE TABLE rows (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), phone bigint NOT NULL, \
                 validated boolean NOT NULL, otp_code text NOT NULL, otp_count integer NOT NULL, \
                 created_at timestamptz NOT NULL DEFAULT now()); CREATE INDEX ON rows (phone)"
            }
            Self::Bare => "CREATE TABLE rows (n bigint NOT NULL, what text NOT NULL)",
        }
    }

    fn script(self) -> &'static str {
        match self {
            Self::Indexed => {
                "\\set n random(1, 1000000000)\nINSERT INTO rows (phone, validated, otp_code, otp_count) \
                 VALUES (9779000000000 + :n, false, '123456', 0);\n"
            }
            Self::Bare => {
                "\\set n random(1, 1000000000)\n\
                 INSERT INTO rows (n, what) VALUES (:n, 'one row in a transaction');\n"
            }
        }
    }
}

/// Inserts a second, and the processor time of a thousand inserts.
///
/// # Errors
/// When it cannot be measured.
pub async fn pgbench(
    services: &Services,
    options: &Options,
    table: Table,
) -> Result<(f64, usage::Cpu), BenchError> {
    services.make_database(DATABASE).await?;
    let mut connection = PgConnection::connect(&services.postgres_url(DATABASE)).await?;
    sqlx::raw_sql(table.sql()).execute(&mut connection).await?;
    connection.close().await?;
    let script = services.directory().join("insert.sql");
    fs::write(&script, table.script())?;
    services.checkpoint().await?;
    let program = install::ensure().await?.postgres.join("pgbench");
    let run = |seconds: f64| {
        let mut command = Command::new(&program);
        command.args(["--no-vacuum", "--protocol=prepared", "--client", CLIENTS, "--jobs", "2"]);
        command.args(["--time", &format!("{:.0}", seconds.max(1.0).ceil()), "--file"]).arg(&script);
        command.args(["--host", "127.0.0.1", "--username", "postgres", "--port"]);
        command.arg(services.postgres_port().to_string()).arg(DATABASE);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    };
    run(options.warmup).output().await?;
    let before = usage::cpu(&services.counted());
    let output = run(options.seconds).output().await?;
    let used = usage::between(&before, &usage::cpu(&services.counted()));
    let said = String::from_utf8_lossy(&output.stdout);
    let Some((rate, done)) = parse(&said).filter(|_| output.status.success()) else {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(BenchError::Invalid(format!("pgbench: {said}{error}")));
    };
    services.drop_database(DATABASE).await?;
    let used = used.into_iter().filter(|(name, _)| name == "postgres");
    Ok((rate, used.map(|(name, seconds)| (name, seconds * 1_000.0 / done)).collect()))
}

/// Transactions a second, and how many. `None` when some failed.
fn parse(said: &str) -> Option<(f64, f64)> {
    let after = |start: &str| said.lines().find_map(|line| line.trim().strip_prefix(start));
    let number = |text: &str| text.trim().split([' ', '/']).next()?.parse::<f64>().ok();
    if after("number of failed transactions:").and_then(number).unwrap_or(0.0) > 0.0 {
        return None;
    }
    Some((number(after("tps =")?)?, number(after("number of transactions actually processed:")?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbench_prints_is_read() {
        let said = "transaction type: insert.sql\nnumber of transactions actually processed: 47810\n\
                    number of failed transactions: 0 (0.000%)\nlatency average = 2.0 ms\n\
                    tps = 15936.512 (without initial connection time)\n";
        assert_eq!(parse(said), Some((15_936.512, 47_810.0)));
        assert_eq!(parse(&said.replace("transactions: 0", "transactions: 3")), None);
        assert_eq!(parse("pgbench: error"), None);
    }
}
