//! The tie between a message in the application's hands and the ledger of its subscription.
//!
//! Invariant: each message is settled once; one that is dropped unsettled is given back, so that it can come again.

use crate::shared::Shared;
use arqon_core::{Position, RoomName};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Settles one message.
pub(crate) struct Handle {
    shared: Arc<Shared>,
    feed: u64,
    room: RoomName,
    position: Position,
    settled: AtomicBool,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>, feed: u64, room: RoomName, position: Position) -> Self {
        Handle { shared, feed, room, position, settled: AtomicBool::new(false) }
    }

    /// Whether this call is the one that settles.
    fn first(&self) -> bool {
        !self.settled.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn acknowledge(&self) {
        if self.first() {
            self.shared.settle(self.feed, |feed| feed.ledger.acknowledge(&self.room, self.position));
        }
    }

    pub(crate) fn acknowledge_up_to(&self) {
        self.settled.store(true, Ordering::Relaxed);
        self.shared.settle(self.feed, |feed| {
            feed.ledger.acknowledge_up_to(&self.room, self.position);
            true
        });
    }

    pub(crate) fn reject(&self, delay: Option<Duration>, reason: &str) {
        if self.first() {
            self.shared.reject(self.feed, (&self.room, self.position), delay, reason);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.first() {
            self.shared.settle(self.feed, |feed| {
                feed.ledger.release(&self.room, self.position);
                false
            });
        }
    }
}
