//! Answers that are given again: read before anything is decided, kept in the transaction of the effect.

use std::collections::HashMap;

use crate::error::Result;
use crate::transaction::Transaction;
use hulak_common::idempotency::{KEPT, KeptAnswer, Recall, Remember};
use hulak_common::time::Timestamp;

/// The kept answers of one batch.
#[derive(Default)]
pub(super) struct FirstAnswers {
    known: HashMap<[u8; 32], KeptAnswer>,
    new: Vec<[u8; 32]>,
}

impl FirstAnswers {
    /// Read without locks: a transaction that keeps an answer of the same scope in the meantime makes this one a conflict,
    /// and the next try reads it.
    pub(super) async fn load<'a, S: Transaction, T: 'a>(
        tx: &mut S,
        requests: impl Iterator<Item = Option<&'a Remember<T>>>,
    ) -> Result<Self> {
        let scopes = super::sorted(requests.flatten().map(|request| request.scope));
        if scopes.is_empty() {
            return Ok(Self::default());
        }
        let known = tx.answers(&scopes).await?.into_iter().map(|kept| (kept.scope, kept)).collect();
        Ok(Self { known, new: Vec::new() })
    }

    /// What is known of a request.
    pub(super) fn recall<T>(&self, request: Option<&Remember<T>>, now: Timestamp) -> Recall {
        let Some(request) = request else { return Recall::First };
        self.known.get(&request.scope).map_or(Recall::First, |kept| kept.recall(request, now))
    }

    /// Keeps a first answer.
    pub(super) fn keep<T>(&mut self, request: Option<&Remember<T>>, answer: &T, now: Timestamp) {
        let Some(request) = request else { return };
        let (Some(text), Some(body)) = ((request.write)(answer, now), request.bodies.first()) else { return };
        let kept = KeptAnswer { scope: request.scope, body: *body, answer: text, created_at: now };
        self.known.insert(request.scope, kept);
        self.new.push(request.scope);
    }

    pub(super) async fn save<S: Transaction>(&self, tx: &mut S, now: Timestamp) -> Result<()> {
        let rows: Vec<_> = self.new.iter().filter_map(|scope| self.known.get(scope)).collect();
        tx.keep_answers(&rows, now - KEPT).await
    }
}
