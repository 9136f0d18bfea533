//! What a durable subscription remembers of one room, and how that is written down.
//!
//! Invariant: what is written and read again means the same; what was out is then lost, and comes again.

use super::{Dying, Which};
use crate::codec::{number, put, read_number, text};
use crate::record::Epoch;
use crate::{Position, Record};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Why a delivery failed whose holder went away.
pub(super) const AWAY: &str = "its subscriber went away while working on it";

/// Waits between tries: doubles from one second to five minutes.
fn back_off(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(9)).min(Duration::from_secs(300))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// With the holder until this moment of the monotonic clock.
    Out(Duration),
    /// Waiting for its next try.
    Waiting(Duration),
    /// Queued for its next try.
    Due,
    /// Its holder is gone; the next one reads it from the log again.
    Lost,
    /// Being moved to the dead letters.
    Dying,
    /// No record, but the beginning of a gap that the holder was told of and may not have heard: said again to the next
    /// one, unless something that came after it is acknowledged.
    Told,
}

pub(super) struct Pending {
    /// The history that it is of: a room's later ones go on from where the earlier ones ended.
    pub epoch: Epoch,
    pub record: Option<Arc<Record>>,
    pub deliveries: u32,
    pub failures: u32,
    pub stage: Stage,
    pub reason: Option<String>,
}

pub(super) struct RoomState {
    /// Nothing while the room is known from acknowledgements only: then it is read from its beginning.
    pub epoch: Option<Epoch>,
    pub seen: u64,
    pub pending: BTreeMap<u64, Pending>,
    /// Acknowledged before it was handed out in this life of the server, with the history that it is of.
    pub ahead: BTreeMap<u64, Epoch>,
    /// Changed since it was written last.
    pub dirty: bool,
    /// Written since, but not synced: a power failure may still take it back.
    pub unsynced: bool,
}

impl Pending {
    pub fn lost(epoch: Epoch) -> Self {
        Pending { epoch, record: None, deliveries: 0, failures: 0, stage: Stage::Lost, reason: None }
    }

    pub fn fail(&mut self, now: Duration, delay: Option<Duration>, reason: String, max: u32) {
        self.failures += 1;
        self.reason = Some(reason);
        self.stage = if self.failures >= max {
            Stage::Dying
        } else {
            Stage::Waiting(now + delay.unwrap_or_else(|| back_off(self.failures)))
        };
    }

    /// Whether its holder is gone, and nobody has said that it failed.
    pub fn is_only_lost(&self) -> bool {
        self.stage == Stage::Lost && self.reason.as_deref().is_none_or(|reason| reason == AWAY)
    }

    pub fn last_words(&self) -> Option<Dying> {
        if self.stage != Stage::Dying {
            return None;
        }
        let record = self.record.clone()?;
        let reason = self.reason.clone().unwrap_or_default();
        Some(Dying { record, deliveries: self.deliveries, reason })
    }
}

impl RoomState {
    /// As if everything up to `position` were done.
    pub fn at(position: Position) -> Self {
        let Position { epoch, offset } = position;
        RoomState { epoch: Some(epoch), seen: offset, dirty: true, ..RoomState::unknown() }
    }

    pub fn unknown() -> Self {
        let (pending, ahead) = (BTreeMap::new(), BTreeMap::new());
        RoomState { epoch: None, seen: 0, pending, ahead, dirty: false, unsynced: false }
    }

    /// Whether a record was acknowledged before it came up; forgets what lies below it.
    pub fn is_ahead(&mut self, position: Position) -> bool {
        let mut found = false;
        while let Some(first) = self.ahead.first_entry().filter(|first| *first.key() <= position.offset) {
            found = Position::new(*first.get(), *first.key()) == position;
            first.remove();
        }
        found
    }

    /// The room's history goes on after `place`; answers how many deliveries that were out are over by that. Where it
    /// goes on above what was seen, what is pending stays so. Where it goes on below, what lay above is gone, and if
    /// that is another history, so is all the rest.
    pub fn enter(&mut self, place: Position) -> u32 {
        let kept = match (place.offset >= self.seen, Some(place.epoch) == self.epoch) {
            (true, _) => u64::MAX,
            (false, true) => place.offset,
            (false, false) => 0,
        };
        let out = |p: &Pending| u32::from(matches!(p.stage, Stage::Out(_)));
        let gone = self.pending.iter().filter(|(o, _)| **o > kept).map(|(_, p)| out(p)).sum();
        self.pending.retain(|o, _| *o <= kept);
        self.ahead.retain(|o, _| *o <= kept);
        if kept < u64::MAX {
            self.seen = place.offset;
        }
        self.epoch = Some(place.epoch);
        self.dirty = true;
        gone
    }

    /// The offsets of what is pending that an acknowledgement means.
    pub fn meant_by(&self, which: &Which) -> Vec<u64> {
        match which {
            Which::One(p) => {
                let found = self.pending.get(&p.offset).filter(|pending| pending.epoch == p.epoch);
                found.map(|_| p.offset).into_iter().collect()
            }
            // What came in earlier histories lies below all of the present one.
            Which::UpTo(p) => {
                // What was rejected waits for its next try, and is not done. What is lost may be: a reader that comes
                // back on a new connection says in this way how far it had come.
                let meant = |pending: &Pending| {
                    (matches!(pending.stage, Stage::Out(_)) || pending.is_only_lost())
                        && (pending.epoch == p.epoch || Some(p.epoch) == self.epoch)
                };
                let below = self.pending.range(..=p.offset);
                below.filter(|(_, pending)| meant(pending)).map(|(offset, _)| *offset).collect()
            }
        }
    }

    /// A gap was said. What is read again because of it begins where the gap does, so that it is said as a whole.
    pub fn tell(&mut self, from: Option<Position>, to: Position) {
        let Position { epoch, offset } = to;
        self.pending.retain(|o, p| *o > offset || p.stage != Stage::Lost);
        self.ahead.retain(|o, _| *o > offset);
        if offset > self.floor() {
            let told = Pending { stage: Stage::Told, ..Pending::lost(epoch) };
            let first = from.map_or(1, |from| from.offset.saturating_add(1));
            self.pending.entry(first.min(offset)).or_insert(told);
        }
        self.seen = self.seen.max(offset);
        self.dirty = true;
    }

    /// Something that came after the gaps below it was acknowledged: they were heard.
    pub fn hear(&mut self, offset: u64) {
        let told = self.pending.range(..offset).filter(|(_, p)| p.stage == Stage::Told).map(|(o, _)| *o);
        for gap in told.collect::<Vec<_>>() {
            self.pending.remove(&gap);
        }
    }

    pub fn floor(&self) -> u64 {
        self.pending.first_key_value().map_or(self.seen, |(offset, _)| offset - 1)
    }

    pub fn encode(&self) -> Bytes {
        let mut out = vec![3];
        number(&mut out, self.epoch.map_or(0, |epoch| epoch.0));
        number(&mut out, self.seen);
        number(&mut out, self.pending.len() as u64);
        for (offset, pending) in &self.pending {
            number(&mut out, *offset);
            number(&mut out, pending.epoch.0);
            number(&mut out, u64::from(pending.deliveries));
            number(&mut out, u64::from(pending.failures));
            put(&mut out, pending.reason.as_deref().unwrap_or_default().as_bytes());
        }
        number(&mut out, self.ahead.len() as u64);
        for (offset, epoch) in &self.ahead {
            number(&mut out, *offset);
            number(&mut out, epoch.0);
        }
        out.into()
    }

    pub fn decode(mut data: Bytes) -> Option<Self> {
        let input = &mut data;
        let version = read_number(input).ok()?;
        if !(2..=3).contains(&version) {
            return None;
        }
        let epoch = Some(Epoch(read_number(input).ok()?)).filter(|epoch| epoch.0 != 0);
        let seen = read_number(input).ok()?;
        let count = read_number(input).ok()?;
        let mut pending = BTreeMap::new();
        for _ in 0..count {
            let offset = read_number(input).ok()?;
            let epoch = Epoch(read_number(input).ok()?);
            let deliveries = u32::try_from(read_number(input).ok()?).ok()?;
            let failures = u32::try_from(read_number(input).ok()?).ok()?;
            let reason = Some(text(input).ok()?.to_string()).filter(|r| !r.is_empty());
            pending.insert(offset, Pending { deliveries, failures, reason, ..Pending::lost(epoch) });
        }
        let mut ahead = BTreeMap::new();
        // The version before knew of none.
        let count = if version == 2 { 0 } else { read_number(input).ok()? };
        for _ in 0..count {
            let offset = read_number(input).ok()?;
            ahead.insert(offset, Epoch(read_number(input).ok()?));
        }
        // The process before this one may have written it without syncing it.
        Some(RoomState { epoch, seen, pending, ahead, dirty: false, unsynced: true })
    }
}
