//! Checks of codes: two wrong ones for each verification, then the right one.

use std::fmt::Write as _;

use hulak_common::code::{CodeLength, KeyId, Salt};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::bench::Bench;
use crate::deployment::{Deployment, DeploymentOptions};
use crate::error::BenchError;
use crate::protocol::{Command, Kind};
use crate::report::Sample;

/// How much longer verifications are created than checked: checks may be faster.
const SURPLUS: f64 = 2.0;
/// Long enough that no code expires before it is checked.
const CODE_TTL: &str = "1h";

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let bare = bench.bare_inserts().await?;
    let inserts = bench.inserts().await?;
    let settings = vec![("HULAK_CODE_TTL", CODE_TTL.to_owned())];
    let options = DeploymentOptions { settings, ..bench.deployment_options("check") };
    let mut deployment = bench.deploy_with(options).await?;
    deployment.set_workers(bench.options.workers as usize).await?;
    let span = (bench.options.warmup + bench.options.seconds) * SURPLUS;
    let made = bench.prepare(&mut deployment, None, span, false).await?;
    deployment.drained().await?;
    let known = send_codes(bench, &mut deployment).await?;
    bench.print(&format!("  {made} verifications made, {known} codes known"));
    let wrong = bench.closed_loop(&mut deployment, Kind::Check { wrong: true }, false).await?;
    bench.add("check.wrong", Sample::rate(wrong.outcome.rate(), &wrong).over(inserts));
    let right = bench.closed_loop(&mut deployment, Kind::Check { wrong: false }, false).await?;
    bench.add("check.right", Sample::rate(right.outcome.rate(), &right).over(inserts));
    bench.add("check.right.bare", Sample::of(right.outcome.rate()).over(bare));
    let shortest = right.outcome.seconds.min(wrong.outcome.seconds);
    if shortest < bench.options.seconds * 0.95 {
        bench.report.note(format!(
            "check: all verifications were checked after {shortest:.1} s, in one round at least."
        ));
    }
    deployment.stop(&bench.services).await
}

type Row = (Uuid, Vec<u8>, i64, i32, i32);

/// Derives the codes as the programs do, and sends them to the load process.
async fn send_codes(bench: &Bench, deployment: &mut Deployment) -> Result<u64, BenchError> {
    let mut database = PgConnection::connect(deployment.database_url()).await?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, salt, key_id, epoch, code_length FROM verifications WHERE status = 'pending'",
    )
    .fetch_all(&mut database)
    .await?;
    database.close().await?;
    let mut text = String::new();
    for row in &rows {
        let code =
            code(deployment, row).ok_or_else(|| BenchError::Setup("a code cannot be derived".to_owned()))?;
        let _cannot_fail = writeln!(text, "{} {code}", row.0);
    }
    let file = bench.services.directory().join("codes.txt");
    std::fs::write(&file, text)?;
    let measured = deployment.load.measure(&Command::Codes { file }, &[]).await?;
    Ok(measured.outcome.done)
}

fn code(deployment: &Deployment, (id, salt, key, epoch, length): &Row) -> Option<String> {
    let salt = Salt(salt.as_slice().try_into().ok()?);
    let length = CodeLength::new(u8::try_from(*length).ok()?).ok()?;
    let code = deployment.keyring.code(KeyId::from_i64(*key)?, &salt, *id, *epoch, length)?;
    Some(code.expose().to_owned())
}
