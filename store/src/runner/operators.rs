//! What operators do and see, over both databases. The calls are the same; only who runs a statement differs.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{query, query_as};
use uuid::Uuid;

use super::super::operators::{self as sql, OperatorStore, add_up, first_id, moment_of};
use super::super::transaction::Backend as _;
use super::super::{Postgres, Sqlite, StoreError, rows};
use super::Database;
use crate::StoredSample;
use hulak_common::audit::AuditEntry;
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::{ClientNumber, Number};
use hulak_common::staff::{BlockEverywhere, NewSession, NumberFile, Operator, Search};
use hulak_common::time::Timestamp;
use hulak_common::usage::{Day, Usage};
use hulak_common::verification::{Message, VERIFICATION_LIFE, Verification};
use hulak_common::worker_registry::{Pause, WorkerRecord, WorkerState};

/// What is added up at once: a minute of verifications.
const SLICE: Duration = Duration::from_secs(60);
/// How much longer than a verification may live its messages are left alone: for ids that were made a moment before their
/// rows, and for workers that hold a message to the end.
const SETTLED: Duration = Duration::from_secs(300);

fn minute(at: Timestamp) -> Timestamp {
    let minute = SLICE.as_millis() as i64;
    Timestamp::from_millis(at.as_millis().div_euclid(minute) * minute)
}

/// The only row of a statement that has one.
fn one<T>(mut rows: Vec<(T,)>) -> Option<T> {
    rows.pop().map(|(value,)| value)
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

macro_rules! operator_store {
    ($backend:ty) => {
        impl Database<$backend> {
            async fn client_names(&self) -> Result<Vec<(Uuid, String)>, StoreError> {
                self.backend.read(query_as(sql::CLIENT_NAMES)).await
            }

            /// Up to which moment everything is added up. Set when there is none yet: to where the first verification is.
            async fn progress(&self, settled: Timestamp) -> Result<Timestamp, StoreError> {
                let first = query_as(sql::NEXT_VERIFICATION).bind(Uuid::nil());
                if let Some(until) = one(self.backend.read(query_as(sql::PROGRESS)).await?) {
                    return Ok(until);
                }
                let first = one(self.backend.read(first).await?).map_or(settled, |id| minute(moment_of(id)));
                self.backend.execute(query(sql::BEGIN_PROGRESS).bind(first.min(settled))).await?;
                Ok(one(self.backend.read(query_as(sql::PROGRESS)).await?).unwrap_or(settled))
            }

            /// Adds up one slice. `None` when the next one is not settled, or somebody else was at it.
            async fn roll_up_one(&self, settled: Timestamp) -> Result<Option<()>, StoreError> {
                let from = self.progress(settled).await?;
                let next = query_as(sql::NEXT_VERIFICATION).bind(first_id(from));
                // Minutes in which nothing was asked for are left out at once.
                let next = one(self.backend.read(next).await?).map_or(settled, |id| minute(moment_of(id)));
                let from_row = next.max(from);
                let until = from_row + SLICE;
                if until > settled {
                    return Ok(None);
                }
                let range = (first_id(from_row), first_id(until));
                let open = query_as(sql::STILL_OPEN).bind(range.0).bind(range.1);
                if one::<i64>(self.backend.read(open).await?) != Some(0) {
                    return Ok(None);
                }
                // What is settled does not change any more, so it may be read before anybody decides who adds it.
                let rows =
                    self.backend.read(query_as(sql::USAGE_BETWEEN).bind(range.0).bind(range.1)).await?;
                Ok(self.backend.add_usage(from, until, rows).await?.then_some(()))
            }
        }

        #[async_trait]
        impl OperatorStore for Database<$backend> {
            async fn open_session(&self, session: &NewSession) -> Result<(), StoreError> {
                let insert = query(sql::OPEN_SESSION)
                    .bind(session.hash.to_vec())
                    .bind(session.key.to_vec())
                    .bind(session.expires_at);
                self.backend.execute(insert).await.map(drop)
            }

            async fn session(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<Operator>, StoreError> {
                let select = query_as::<_, sql::OperatorRow>(sql::SESSION).bind(hash.to_vec()).bind(now);
                self.backend.read(select).await?.pop().map(TryInto::try_into).transpose()
            }

            async fn close_session(&self, hash: &[u8; 32]) -> Result<(), StoreError> {
                self.backend.execute(query(sql::CLOSE_SESSION).bind(hash.to_vec())).await.map(drop)
            }

            async fn audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
                let insert = query(sql::AUDIT)
                    .bind(entry.id)
                    .bind(entry.at)
                    .bind(entry.who.clone())
                    .bind(entry.key_prefix.clone())
                    .bind(entry.act.as_str())
                    .bind(entry.what.clone());
                self.backend.execute(insert).await.map(drop)
            }

            async fn audit_log(
                &self,
                before: Option<Uuid>,
                limit: u32,
            ) -> Result<Vec<AuditEntry>, StoreError> {
                let select = query_as::<_, sql::AuditRow>(sql::AUDIT_LOG)
                    .bind(before.unwrap_or(Uuid::max()))
                    .bind(i64::from(limit));
                rows::all(self.backend.read(select).await?)
            }

            async fn search(
                &self,
                search: Search,
                limit: u32,
            ) -> Result<Vec<(String, Verification)>, StoreError> {
                let ids: Vec<Uuid> = match search {
                    Search::Id(id) => vec![id],
                    Search::Phone(phone) => {
                        let select = query_as(sql::SEARCH_PHONE).bind(phone.to_i64()).bind(i64::from(limit));
                        self.backend.read(select).await?.into_iter().map(|(id,)| id).collect()
                    }
                };
                let mut found = self.backend.verifications(&ids).await?;
                found.sort_by_key(|row| std::cmp::Reverse(row.id));
                let names: HashMap<_, _> = self.client_names().await?.into_iter().collect();
                let name = |row: &Verification| names.get(&row.key.client).cloned().unwrap_or_default();
                Ok(found.into_iter().map(|row| (name(&row), row)).collect())
            }

            async fn messages(&self, verification: Uuid) -> Result<Vec<Message>, StoreError> {
                let select = query_as::<_, rows::MessageRow>(sql::MESSAGES).bind(verification);
                rows::all(self.backend.read(select).await?)
            }

            async fn number_file(&self, phone: PhoneNumber) -> Result<NumberFile, StoreError> {
                let number = query_as::<_, rows::NumberRow>(sql::NUMBER).bind(phone.to_i64());
                let clients = query_as::<_, rows::ClientNumberRow>(sql::CLIENT_NUMBERS).bind(phone.to_i64());
                let number = self.backend.read(number).await?.pop();
                let clients: Vec<ClientNumber> = rows::all(self.backend.read(clients).await?)?;
                let names: HashMap<_, _> = self.client_names().await?.into_iter().collect();
                let named = |row: ClientNumber| (names.get(&row.client).cloned().unwrap_or_default(), row);
                let mut clients: Vec<_> = clients.into_iter().map(named).collect();
                clients.sort_by(|a, b| a.0.cmp(&b.0));
                let number = number.map_or_else(|| Ok(Number::new(phone)), TryInto::try_into)?;
                Ok(NumberFile { number, clients })
            }

            async fn block_everywhere(&self, block: &BlockEverywhere) -> Result<(), StoreError> {
                let phone = block.phone.to_i64();
                let statement = match &block.block {
                    Some((until, reason)) => {
                        query(sql::BLOCK_EVERYWHERE).bind(phone).bind(*until).bind(reason.clone())
                    }
                    None => query(sql::UNBLOCK_EVERYWHERE).bind(phone),
                };
                self.backend.execute(statement).await.map(drop)
            }

            async fn pause(&self, pause: &Pause) -> Result<(), StoreError> {
                let insert =
                    query(sql::PAUSE).bind(pause.since).bind(pause.by.clone()).bind(pause.reason.clone());
                self.backend.execute(insert).await.map(drop)
            }

            async fn resume(&self) -> Result<(), StoreError> {
                self.backend.execute(query(sql::RESUME)).await.map(drop)
            }

            async fn paused(&self) -> Result<Option<Pause>, StoreError> {
                let found = self.backend.read(query_as::<_, sql::PauseRow>(sql::PAUSED)).await?.pop();
                Ok(found.map(Into::into))
            }

            async fn report(&self, worker: Uuid, state: &WorkerState) -> Result<bool, StoreError> {
                self.backend.execute(query(sql::REPORT).bind(worker).bind(to_json(state)?)).await?;
                Ok(self.paused().await?.is_some())
            }

            async fn workers(&self) -> Result<Vec<WorkerRecord>, StoreError> {
                let found = self.backend.read(query_as::<_, sql::WorkerRow>(sql::WORKERS)).await?;
                let mut workers: Vec<WorkerRecord> = found.into_iter().map(Into::into).collect();
                workers.sort_by_key(|worker| worker.id);
                Ok(workers)
            }

            async fn waiting_count(&self, limit: u32, now: Timestamp) -> Result<u64, StoreError> {
                let count = query_as(sql::WAITING_COUNT).bind(now).bind(i64::from(limit));
                let count: Option<i64> = one(self.backend.read(count).await?);
                Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
            }

            async fn put_sample(&self, sample: &StoredSample) -> Result<(), StoreError> {
                let insert =
                    query(sql::PUT_SAMPLE).bind(sample.at).bind(sample.process).bind(sample.body.clone());
                self.backend.execute(insert).await.map(drop)
            }

            async fn samples(
                &self,
                after: (Timestamp, Uuid),
                limit: u32,
            ) -> Result<Vec<StoredSample>, StoreError> {
                let select = query_as::<_, sql::SampleRow>(sql::SAMPLES)
                    .bind(after.0)
                    .bind(after.1)
                    .bind(i64::from(limit));
                Ok(self.backend.read(select).await?.into_iter().map(Into::into).collect())
            }

            async fn roll_up(&self, slices: u32, now: Timestamp) -> Result<u32, StoreError> {
                let settled = minute(now - VERIFICATION_LIFE.max(self.rules.code_ttl) - SETTLED);
                let mut done = 0;
                while done < slices && self.roll_up_one(settled).await?.is_some() {
                    done += 1;
                }
                Ok(done)
            }

            async fn usage(&self, from: Day) -> Result<Vec<Usage>, StoreError> {
                // In this order: what is added up in between is looked at and left out, or in both; then it is read anew.
                let names = self.client_names().await?;
                for _ in 0..super::TRIES {
                    let until: Option<Timestamp> = one(self.backend.read(query_as(sql::PROGRESS)).await?);
                    let days = query_as::<_, sql::UsageRow>(sql::USAGE_DAYS).bind(from.number());
                    let mut rows = self.backend.read(days).await?;
                    let since = first_id(until.unwrap_or_default());
                    let recent = query_as::<_, sql::UsageRow>(sql::USAGE_SINCE).bind(since);
                    rows.extend(
                        self.backend.read(recent).await?.into_iter().filter(|row| row.day >= from.number()),
                    );
                    if one(self.backend.read(query_as(sql::PROGRESS)).await?) == until {
                        return Ok(add_up(rows, &names));
                    }
                }
                Err(StoreError::Conflict("the days are just being added up".to_owned()))
            }

            async fn forget_operators(&self, limit: u32, now: Timestamp) -> Result<(), StoreError> {
                self.backend.forget_operators(i64::from(limit), now).await
            }
        }
    };
}

operator_store!(Postgres);
operator_store!(Sqlite);
