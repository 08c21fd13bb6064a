//! What callers ask of the store, and what they are answered.

pub(crate) mod accounts;
pub(crate) mod claims;
pub(crate) mod clients;
pub(crate) mod pages;
pub(crate) mod staff;
pub(crate) mod verifications;

use std::sync::Arc;

use crate::error::StoreError;
use hulak_common::job::StatusEvent;

/// Answers, and the changes that pollers want to hear of.
#[derive(Debug)]
pub struct Batch<T> {
    /// One answer per item, in order.
    pub answers: Vec<Result<T, Arc<StoreError>>>,
    /// What changed.
    pub events: Vec<StatusEvent>,
}

impl<T> Batch<T> {
    pub(crate) fn done((answers, events): (Vec<T>, Vec<StatusEvent>)) -> Self {
        Self { answers: answers.into_iter().map(Ok).collect(), events }
    }

    pub(crate) fn failed(items: usize, error: StoreError) -> Self {
        let error = Arc::new(error);
        Self { answers: (0..items).map(|_| Err(Arc::clone(&error))).collect(), events: Vec::new() }
    }
}
