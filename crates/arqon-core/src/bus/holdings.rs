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

/// The sums, for metrics.
pub(super) fn gauges(bus: &Bus) -> [(&'static str, &'static str, f64); 5] {
    let Holdings { queues, durable, questions } = bus.holdings();
    let (mut out, mut ahead) = (0, 0);
    for holding in &durable {
        out += holding.out;
        ahead += holding.ahead;
    }
    let records: usize = queues.iter().map(|(records, _)| records).sum();
    let bytes: usize = queues.iter().map(|(_, bytes)| bytes).sum();
    [
        ("queued_records", "Records that wait in memory for subscriptions.", records as f64),
        ("queued_bytes", "Bytes of records that wait in memory for subscriptions.", bytes as f64),
        ("deliveries_out", "Deliveries of durable subscriptions that are not acknowledged yet.", out as f64),
        ("acknowledged_ahead", "Acknowledgements of what this server has not handed out yet.", ahead as f64),
        ("questions_open", "Questions that wait for their answer.", questions as f64),
    ]
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
