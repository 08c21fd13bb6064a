//! The channels that one connection publishes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection};
use tokio::sync::Semaphore;

use super::topology;
use crate::contract::Topology;

/// Batches under way at a time.
const MAX_CHANNELS: usize = 8;

/// The publishing channels of one connection.
///
/// A batch has a channel of its own while it is under way. lapin attaches a returned message to the next confirm on the
/// channel; if batches shared one, a batch could take a returned message for a published one.
#[derive(Debug)]
pub(super) struct Channels {
    pub(super) topology: Topology,
    idle: Mutex<Vec<Channel>>,
    pub(super) slots: Semaphore,
    announcing: Mutex<Option<Channel>>,
    /// A queue or an exchange is missing: it is declared again before the next message.
    stale: AtomicBool,
}

impl Channels {
    pub(super) fn new(topology: Topology) -> Self {
        Self {
            topology,
            idle: Mutex::default(),
            slots: Semaphore::new(MAX_CHANNELS),
            announcing: Mutex::default(),
            stale: AtomicBool::new(false),
        }
    }

    /// A channel with confirms that no other batch uses.
    pub(super) async fn confirmed(&self, connection: &Connection) -> lapin::Result<Channel> {
        self.refresh(connection).await?;
        loop {
            let idle = lock(&self.idle).pop();
            match idle {
                Some(channel) if channel.status().connected() => return Ok(channel),
                Some(_) => {}
                None => break,
            }
        }
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }

    /// Declares the queues and exchanges again, if one is missing.
    async fn refresh(&self, connection: &Connection) -> lapin::Result<()> {
        if self.stale.load(Ordering::Acquire) {
            topology::declare(connection, &self.topology).await?;
            self.stale.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// The channel for events. All batches share it: without confirms they cannot be mixed up.
    pub(super) async fn announcing(&self, connection: &Connection) -> lapin::Result<Channel> {
        let known = lock(&self.announcing).clone();
        match known {
            Some(channel) if channel.status().connected() => return Ok(channel),
            // The broker closes a channel that publishes to a missing exchange.
            Some(_) => self.stale.store(true, Ordering::Release),
            None => {}
        }
        self.refresh(connection).await?;
        let channel = connection.create_channel().await?;
        *lock(&self.announcing) = Some(channel.clone());
        Ok(channel)
    }

    /// Takes back a channel whose confirms have all come.
    pub(super) fn give_back(&self, channel: Channel) {
        lock(&self.idle).push(channel);
    }

    /// Has the queues and exchanges declared again before the next message.
    pub(super) fn declare_again(&self) {
        self.stale.store(true, Ordering::Release);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
