//! When a job occurs, and what is to be done about it at a moment: no clock, no store.
//!
//! Invariant: the number of an occurrence and its time depend on the job alone, not on when somebody looks.

use super::expression::Expression;
use super::job::Missed;
use super::zone;
use crate::{Error, Result, Timestamp};
use jiff::tz::TimeZone;
use std::time::Duration;

/// How late an occurrence may be sent without counting as missed: a restart, a slow disk.
pub(crate) const GRACE: Duration = Duration::from_secs(5);
/// Occurrences that are sent at once for one job; the others come in the next beats.
const BURST: usize = 100;
/// Occurrences that are looked at in one beat: a calendar that is far behind must not hold the others up.
const STEPS: usize = 5000;

/// One occurrence of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// From one.
    pub(crate) number: u64,
    pub(crate) at: Timestamp,
}

/// A cron expression in a time zone.
#[derive(Debug, Clone)]
pub(crate) struct Calendar {
    text: Box<str>,
    zone: Box<str>,
    expression: Expression,
    rules: TimeZone,
}

impl PartialEq for Calendar {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.zone == other.zone
    }
}

impl Calendar {
    /// Reads both.
    pub(crate) fn parse(text: &str, zone: &str) -> Result<Calendar> {
        let expression = Expression::parse(text)?;
        Ok(Calendar { text: text.into(), zone: zone.into(), expression, rules: zone::find(zone)? })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn zone(&self) -> &str {
        &self.zone
    }

    fn after(&self, at: Timestamp) -> Option<Timestamp> {
        zone::next(&self.expression, &self.rules, at)
    }
}

/// When a job occurs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Timing {
    /// From its making to the first occurrence; unused with a calendar.
    pub(crate) delay: Duration,
    /// From one to the next.
    pub(crate) every: Option<Duration>,
    /// How many; 0 is without end.
    pub(crate) count: u64,
    pub(crate) calendar: Option<Calendar>,
}

impl Timing {
    /// The first occurrence of a job that is made now.
    pub(super) fn first(&self, now: Timestamp) -> Result<Slot> {
        let Some(calendar) = &self.calendar else { return Ok(Slot { number: 1, at: now.plus(self.delay) }) };
        let at = calendar.after(now).ok_or_else(|| {
            Error::invalid("args.cron", format!("`{}` never comes", calendar.text)).with_reason("NEVER_DUE")
        })?;
        Ok(Slot { number: 1, at })
    }

    /// The one after it, unless it was the last.
    fn after(&self, slot: Slot) -> Option<Slot> {
        let number = slot.number + 1;
        if self.count > 0 && number > self.count {
            return None;
        }
        let at = match (&self.calendar, self.every) {
            (Some(calendar), _) => calendar.after(slot.at)?,
            (None, Some(every)) => slot.at.plus(every),
            (None, None) => return None,
        };
        Some(Slot { number, at })
    }

    /// The last occurrence not after a moment, in one step where that can be reckoned.
    fn leap(&self, slot: Slot, to: Timestamp) -> Slot {
        let Some(every) = self.every.filter(|_| self.calendar.is_none() && slot.at < to) else { return slot };
        let every = u64::try_from(every.as_micros()).unwrap_or(u64::MAX).max(1);
        let behind = (to.0 - slot.at.0) / every;
        let left = if self.count == 0 { u64::MAX } else { self.count.saturating_sub(slot.number) };
        let steps = behind.min(left);
        Slot { number: slot.number + steps, at: Timestamp(slot.at.0 + steps * every) }
    }
}

/// What is to be done for a job now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beat {
    /// Occurrences to be sent.
    pub(super) send: Vec<Slot>,
    /// Where it goes on; none where the job is done.
    pub(super) next: Option<Slot>,
}

/// See [`Beat`]. Occurrences up to `skip_until` are left out.
pub(super) fn beat(
    timing: &Timing,
    next: Slot,
    (missed, skip_until): (Missed, Option<Timestamp>),
    now: Timestamp,
) -> Beat {
    let is_skipped = |slot: Slot| skip_until.is_some_and(|until| slot.at <= until);
    let is_late = |slot: Slot| now.since(slot.at) > GRACE;
    let mut start = next;
    if let Some(until) = skip_until {
        start = timing.leap(start, until.min(now));
    }
    if missed != Missed::All {
        start = timing.leap(start, now.minus(GRACE));
    }
    let mut next = Some(start);
    let (mut send, mut made_up) = (Vec::new(), None);
    for _ in 0..STEPS {
        let Some(slot) = next.filter(|slot| slot.at <= now && send.len() < BURST) else { break };
        match missed {
            _ if is_skipped(slot) => {}
            Missed::Once if is_late(slot) => made_up = Some(slot),
            Missed::Skip if is_late(slot) => {}
            _ => send.push(slot),
        }
        next = timing.after(slot);
    }
    // Where more late ones follow, a later one of them is sent.
    if let Some(slot) = made_up.filter(|_| !next.is_some_and(is_late)) {
        send.insert(0, slot);
    }
    Beat { send, next }
}

#[cfg(test)]
#[path = "timing/tests.rs"]
mod tests;
