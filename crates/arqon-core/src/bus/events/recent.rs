//! The last events, for who asks now and then instead of listening; kept only where the configuration says so.
//!
//! Invariant: at most as many as were asked for are kept, and none that is less grave than `info`.

use super::{Event, EventSet, EventType, Severity};
use crate::Tenant;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// An event that was told.
#[derive(Debug, Clone)]
pub struct RecentEvent {
    /// Whom it concerns.
    pub tenant: Tenant,
    /// What it is.
    pub what: EventType,
    /// How grave it is.
    pub severity: Severity,
    /// All of it, as a JSON object.
    pub event: Bytes,
}

/// How much is told, and to how many.
#[derive(Debug, Clone, Default)]
pub struct EventCounts {
    /// Subscriptions that hear events.
    pub listeners: usize,
    /// Told and not published yet.
    pub waiting: usize,
    /// Published since the start.
    pub published: u64,
    /// Left out since the start.
    pub dropped: u64,
    /// How many of the last events are kept, at most.
    pub keeps: usize,
    /// Published since the start, by type.
    pub by_type: BTreeMap<&'static str, u64>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Recent {
    keeps: usize,
    /// When the server began is kept: that is once, and told to each tenant.
    knows_start: bool,
    events: VecDeque<RecentEvent>,
    pub(super) by_type: BTreeMap<&'static str, u64>,
}

impl Recent {
    pub(super) fn keeps(&self) -> usize {
        self.keeps
    }

    pub(super) fn keep(&mut self, count: usize) {
        self.keeps = count;
    }

    /// The types that are kept.
    pub(super) fn wanted(&self) -> EventSet {
        let is_kept = |what: &EventType| self.keeps > 0 && what.severity() >= Severity::Info;
        EventType::ALL.iter().copied().filter(is_kept).collect()
    }

    pub(super) fn add(&mut self, event: &Event, json: &Bytes) {
        *self.by_type.entry(event.what.as_str()).or_default() += 1;
        if event.severity >= Severity::Info && self.keeps > 0 {
            self.keep_one(event, json);
        }
    }

    /// Whether events are kept, and when the server began is not among them.
    pub(super) fn is_start_due(&self) -> bool {
        self.keeps > 0 && !self.knows_start
    }

    pub(super) fn keep_one(&mut self, event: &Event, json: &Bytes) {
        if event.what == EventType::SystemStarted && std::mem::replace(&mut self.knows_start, true) {
            return;
        }
        while self.events.len() >= self.keeps {
            self.events.pop_front();
        }
        let (tenant, what, severity) = (event.tenant.clone(), event.what, event.severity);
        self.events.push_back(RecentEvent { tenant, what, severity, event: json.clone() });
    }

    /// The last of those that are wanted, the oldest first.
    pub(super) fn last(&self, count: usize, is_wanted: impl Fn(&RecentEvent) -> bool) -> Vec<RecentEvent> {
        let found = self.events.iter().rev().filter(|event| is_wanted(event)).take(count);
        let mut list: Vec<RecentEvent> = found.cloned().collect();
        list.reverse();
        list
    }
}
