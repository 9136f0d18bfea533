//! What the bus holds in memory for those who use it, in numbers: for metrics, and for whoever holds it to its bounds.
//!
//! Invariant: looking changes nothing; each number has a bound in [`crate::limits::Limits`], in the settings of the durable
//! subscription, or in what callers have under way.

use super::consumer::Consumer;
use super::{Bus, lock};
use crate::Tenant;
use std::sync::Arc;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holdings {
    /// Records and bytes that wait for each live subscription.
    pub queues: Vec<(usize, usize)>,
    /// What each durable subscription in memory has under way.
    pub durable: Vec<DurableHolding>,
    /// Questions that wait for their answer.
    pub questions: usize,
}

/// What one durable subscription has under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableHolding {
    /// Whose.
    pub tenant: Tenant,
    /// Its name.
    pub name: Arc<str>,
    /// Deliveries with the holder.
    pub out: usize,
    /// Deliveries that are not acknowledged, wherever they are.
    pub pending: usize,
    /// Acknowledgements of what was not handed out by this server yet.
    pub ahead: usize,
}

impl Bus {
    /// What is held now. Walks all connections: for people and their tools, not for each message.
    pub fn holdings(&self) -> Holdings {
        let shared = &self.shared;
        let queues = shared.connections.queues();
        let durable = shared.consumers.all().iter().map(|consumer| held_by(consumer)).collect();
        Holdings { queues, durable, questions: shared.replies.count() }
    }
}

fn held_by(consumer: &Consumer) -> DurableHolding {
    let (out, pending, ahead) = consumer.under_way();
    DurableHolding { tenant: consumer.tenant.clone(), name: consumer.name.clone(), out, pending, ahead }
}

impl super::connection::Connections {
    /// Records and bytes that wait for each subscription.
    fn queues(&self) -> Vec<(usize, usize)> {
        let open = self.open_now();
        let of = |inner: &Arc<super::connection::Inner>| -> Vec<(usize, usize)> {
            lock(&inner.subscriptions).values().map(|subscription| subscription.queued()).collect()
        };
        open.iter().flat_map(of).collect()
    }
}
