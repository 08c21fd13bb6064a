//! That PostgreSQL looks rows up one by one, whatever it believes of the tables.

use hulak_common::verification::{Status, Verification};

use crate::harness::*;
use crate::racing::new;

/// Batches of the burst, so many that PostgreSQL has settled on a plan long before the last one.
const BATCHES: u32 = 20;
const BATCH: u32 = 20;

/// Counted last in a quiet hour, when nothing was pending and nothing to be published: the indexes of those looked empty. Then
/// everybody comes, and no look-up may read all that they hold by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_burst_after_a_quiet_hour_is_looked_up_by_number() {
    looked_up_by_number(5_000).await;
}

/// Counted last when there was next to nothing: every index looked as good as any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_burst_is_looked_up_by_number() {
    looked_up_by_number(0).await;
}

/// Counting 30,000 rows of each column, as PostgreSQL does of itself, takes a processor for so long that requests wait for it. One
/// column that is forgotten makes it count that many of the whole table.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_tables_that_grow_are_counted_by_a_small_sample() {
    let world = Kind::Postgres.world(rules()).await;
    let columns = |of: &str| {
        format!(
            "pg_attribute JOIN pg_class ON pg_class.oid = attrelid \
             LEFT JOIN pg_index ON indexrelid = attrelid \
             WHERE coalesce(indrelid, attrelid) IN ('verifications'::regclass, 'messages'::regclass, 'numbers'::regclass, \
                 'client_numbers'::regclass, 'answers'::regclass) \
                 AND attnum > 0 AND NOT attisdropped AND (relkind = 'r' OR indkey[attnum - 1] = 0) AND {of}"
        )
    };
    assert_eq!(world.count(&columns("coalesce(attstattarget, -1) NOT BETWEEN 0 AND 10")).await, 0);
    assert!(world.count(&columns("attstattarget = 10")).await > 60, "columns were looked at");
    assert_eq!(world.count(&columns("relkind = 'i'")).await, 1, "and the expression in an index");
    world.close().await;
}

/// A burst, after PostgreSQL has counted this many numbers whose verifications had ended.
async fn looked_up_by_number(ended: u32) {
    let world = Kind::Postgres.world(rules()).await;
    quiet(&world, ended).await;
    for first in (1..=BATCHES * BATCH).step_by(usize::try_from(BATCH).unwrap()) {
        let batch: Vec<_> = (first..first + BATCH).map(ask).collect();
        let begun: Vec<Verification> =
            all(world.store.create(&batch, START).await).into_iter().map(new).collect();
        let confirmed: Vec<_> = begun.iter().map(|row| (row.newest_message(), at(1))).collect();
        world.store.confirm_published(&confirmed).await.unwrap();
        let wishes: Vec<_> = begun.iter().map(|row| wish(row.newest_message())).collect();
        assert_eq!(all(world.store.claim(&wishes, at(2)).await).len(), batch.len());
    }
    world.close().await;
    let read = |index: &'static str| {
        let filter = format!("pg_stat_user_indexes WHERE indexrelname = '{index}' AND idx_tup_read > 0");
        let world = &world;
        async move { world.count(&filter).await }
    };
    assert_eq!(read("verifications_overdue").await, 0, "it is the reaper's");
    assert_eq!(read("messages_outbox").await, 0, "it is the relay's");
    assert_eq!(read("verifications_listed").await, 0, "it has all of a client's");
    assert_eq!(read("verifications_of_number").await, 0, "it has all that a number ever asked for");
    assert_eq!(read("messages_pkey").await, 1, "the counters tell what was read");
}

/// Numbers that are known, with one verification each that has ended.
async fn quiet(world: &World, ended: u32) {
    let pattern = world.begin(&ask(0), START).await;
    world.force(&pattern, Status::Expired).await;
    world.sql("UPDATE messages SET state = 'expired', publish_at = NULL").await;
    let id = "md5(n::text)::uuid";
    for (table, changed) in [
        ("numbers", "'asked', ''".to_owned()),
        ("verifications", format!("'id', {id}")),
        ("messages", format!("'verification_id', {id}")),
    ] {
        let copy = format!("jsonb_populate_record(o, jsonb_build_object('phone', o.phone + n, {changed}))");
        let sql =
            format!("INSERT INTO {table} SELECT ({copy}).* FROM {table} o, generate_series(1, {ended}) n");
        world.sql(&sql).await;
        world.sql(&format!("VACUUM ANALYZE {table}")).await;
    }
}
