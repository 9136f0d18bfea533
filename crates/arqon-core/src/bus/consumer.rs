//! What a durable subscription remembers: how far it has come in each room, what is out with its holder, what comes again.
//!
//! Per room it keeps `seen` (everything up to it was handed out or left out by the pattern) and the *pending* ones
//! among those: not acknowledged yet. An offset up to `seen` that is not pending is done. Beyond `seen` a few may be done
//! *ahead*: a holder comes back after a crash that took the last moments of all this, and acknowledges again. Invariants:
//! nothing is forgotten before it is acknowledged, dead-lettered or named in a gap; only the newest holder can change
//! anything.

mod room;

use super::lock;
use super::subscription::Subscription;
use crate::env::Clock;
use crate::hash::Map;
use crate::port::ReadFrom;
use crate::{
    Code, Delivery, Error, Gap, GapReason, Pattern, Position, Record, Result, RoomName, Tenant, Timestamp,
};
use bytes::Bytes;
use room::{AWAY, Pending, RoomState, Stage};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// How a durable subscription behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// Deliveries that may be out unacknowledged.
    pub credit: u32,
    /// How long an acknowledgement may take before the message counts as failed once.
    pub ack_wait: Duration,
    /// Failures (rejected, or not acknowledged in time) before the message is dead-lettered.
    pub max_deliver: u32,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        ConsumerSettings { credit: 1024, ack_wait: Duration::from_secs(30), max_deliver: 5 }
    }
}

/// Most unacknowledged messages of one room, whatever their stage: what waits for its next try or for its dead letter
/// does not count against the credit, and must be bounded too.
const PENDING_MAX: usize = CREDIT_MAX as usize;
/// Most deliveries of one durable subscription that may be out: each is held in memory until it is acknowledged.
pub(super) const CREDIT_MAX: u32 = 65_536;
/// Most acknowledgements of one room that are ahead of what was handed out: a holder can owe no more than its credit.
const AHEAD_MAX: usize = CREDIT_MAX as usize;
/// Longest reason of a rejection that is kept, in characters.
const REASON_MAX: usize = 1_024;

#[derive(Default)]
struct State {
    holder: u64,
    subscription: Weak<Subscription>,
    out: u32,
    /// A room has as many pending ones as it may; cleared by whatever may have made place.
    crowded: bool,
    rooms: Map<RoomName, RoomState>,
    due: VecDeque<(RoomName, u64)>,
}

/// A named subscription, whether or not anybody holds it.
pub(super) struct Consumer {
    pub(super) tenant: Tenant,
    pub(super) name: Arc<str>,
    pub(super) patterns: Vec<Pattern>,
    pub(super) settings: ConsumerSettings,
    pub(super) created_at: Timestamp,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// One write at a time, so that an older state never lands on a newer one.
    pub(super) writing: futures_util::lock::Mutex<()>,
}

/// What to do with a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Take {
    Deliver(u32),
    Skip,
    Expired,
    Full,
}

/// Which deliveries an acknowledgement means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which {
    One(Position),
    UpTo(Position),
}

/// A delivery given up.
pub(super) struct Dying {
    pub(super) record: Arc<Record>,
    pub(super) deliveries: u32,
    pub(super) reason: String,
}

/// Numbers of one consumer for people.
pub(super) struct Progress {
    pub(super) room: RoomName,
    pub(super) seen: Position,
    pub(super) pending: usize,
}

impl Consumer {
    pub(super) fn new(
        (tenant, name): (Tenant, Arc<str>),
        patterns: Vec<Pattern>,
        settings: ConsumerSettings,
        created_at: Timestamp,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Consumer {
            tenant,
            name,
            patterns,
            settings,
            created_at,
            clock,
            state: Mutex::default(),
            writing: Default::default(),
        }
    }

    /// Starts a room at a place, as if everything up to it were done.
    pub(super) fn start_at(&self, room: RoomName, position: Position) {
        lock(&self.state).rooms.insert(room, RoomState::at(position));
    }

    /// Makes `subscription` the only holder; answers its number, and the holder that was until now.
    pub(super) fn hold(&self, subscription: &Arc<Subscription>, holder: u64) -> Option<Arc<Subscription>> {
        let mut state = lock(&self.state);
        state.lose_all(false);
        state.holder = holder;
        std::mem::replace(&mut state.subscription, Arc::downgrade(subscription)).upgrade()
    }

    /// The holder's connection is gone: what was out comes again to the next one. If it has `failed`, the oldest of each
    /// room counts as tried, and only that, since the others were most likely not begun; so a message that kills its
    /// holder still ends.
    pub(super) fn release(&self, holder: u64, failed: bool) {
        let mut state = lock(&self.state);
        if state.holder == holder {
            state.lose_all(failed);
            state.holder = 0;
        }
    }

    /// Whether somebody holds it now.
    pub(super) fn is_held(&self) -> bool {
        lock(&self.state).holder != 0
    }

    pub(super) fn holder(&self) -> Option<Arc<Subscription>> {
        lock(&self.state).subscription.upgrade()
    }

    /// Where reading a room goes on.
    pub(super) fn resume_from(&self, room: &RoomName) -> ReadFrom {
        let state = lock(&self.state);
        let Some((room, epoch)) = state.rooms.get(room).and_then(|room| Some((room, room.epoch?))) else {
            return ReadFrom::Earliest;
        };
        let epoch = room.pending.first_key_value().map_or(epoch, |(_, pending)| pending.epoch);
        ReadFrom::After(Position::new(epoch, room.floor()))
    }

    pub(super) fn has_room(&self) -> bool {
        let state = lock(&self.state);
        state.out < self.settings.credit && !state.crowded
    }

    pub(super) fn has_due(&self) -> bool {
        !lock(&self.state).due.is_empty()
    }

    /// Decides about a record that comes up in its room's order.
    pub(super) fn take(&self, holder: u64, record: &Arc<Record>, now: Timestamp) -> Take {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        if state.holder != holder || state.out >= self.settings.credit {
            return Take::Full;
        }
        let Position { epoch, offset } = record.position;
        let name = record.room.room();
        if !state.rooms.contains_key(name) {
            state.rooms.insert(name.clone(), RoomState::at(Position::new(epoch, 0)));
        }
        let Some(room) = state.rooms.get_mut(name) else { return Take::Skip };
        // What is read again below that may be of an earlier history: the room stays in its last one.
        let later = offset > room.seen;
        if *room.epoch.get_or_insert(epoch) != epoch && later {
            state.out -= room.enter(Position::new(epoch, offset - 1));
        }
        let due = Stage::Out(self.clock.monotonic() + self.settings.ack_wait);
        if later {
            if room.pending.len() >= PENDING_MAX {
                state.crowded = true;
                return Take::Full;
            }
            room.seen = offset;
            if room.is_ahead(record.position) {
                room.dirty = true;
                return Take::Skip;
            }
            room.pending.insert(offset, Pending::lost(epoch));
        }
        let Some(pending) =
            room.pending.get_mut(&offset).filter(|p| matches!(p.stage, Stage::Lost | Stage::Told))
        else {
            return Take::Skip;
        };
        room.dirty = true;
        pending.record = Some(record.clone());
        if record.message.is_expired(now) {
            // It stays until its dead letter is on disk.
            pending.reason = Some("expired before it was delivered".to_owned());
            pending.stage = Stage::Dying;
            return Take::Expired;
        }
        if pending.failures >= self.settings.max_deliver {
            // Its last holder went away, too.
            pending.stage = Stage::Dying;
            return Take::Skip;
        }
        pending.deliveries += 1;
        pending.stage = due;
        state.out += 1;
        Take::Deliver(pending.deliveries)
    }

    /// Records that a gap has taken the place of are over.
    pub(super) fn pass_gap(&self, holder: u64, gap: &Gap) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        if state.holder != holder {
            return;
        }
        let name = gap.room.room().clone();
        let room = state.rooms.entry(name).or_insert_with(|| RoomState::at(Position::new(gap.to.epoch, 0)));
        let other = *room.epoch.get_or_insert(gap.to.epoch) != gap.to.epoch;
        if gap.reason == GapReason::EpochChanged || (other && gap.to.offset >= room.seen) {
            state.out -= room.enter(gap.to);
        }
        room.tell(gap.from, gap.to);
    }

    /// Deliveries whose next try is due.
    pub(super) fn take_due(&self, holder: u64, max: usize, out: &mut Vec<Delivery>) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        if state.holder != holder {
            return;
        }
        let until = self.clock.monotonic() + self.settings.ack_wait;
        while out.len() < max && state.out < self.settings.credit {
            let Some((room, offset)) = state.due.pop_front() else { return };
            let pending = state.rooms.get_mut(&room).and_then(|room| room.pending.get_mut(&offset));
            let Some(pending) = pending.filter(|p| p.stage == Stage::Due) else { continue };
            let Some(record) = pending.record.clone() else { continue };
            pending.deliveries += 1;
            pending.stage = Stage::Out(until);
            state.out += 1;
            out.push(Delivery::Record { record, attempt: pending.deliveries });
        }
    }

    /// Marks deliveries as done; answers how many, and which single ones lie beyond what was handed out: perhaps to a
    /// holder from before a crash. What is done already is fine.
    pub(super) fn acknowledge(
        &self,
        holder: u64,
        room: &RoomName,
        which: &[Which],
    ) -> Result<(usize, Vec<Position>)> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        self.check_holder(state, holder)?;
        let single = |which: &Which| match which {
            Which::One(position) => Some(*position),
            Which::UpTo(_) => None,
        };
        let Some(room) = state.rooms.get_mut(room) else {
            return Ok((0, which.iter().filter_map(single).collect()));
        };
        let (mut done, mut heard) = (0, 0);
        for which in which {
            for offset in room.meant_by(which) {
                let Some(pending) = room.pending.remove(&offset) else { continue };
                room.dirty = true;
                done += usize::from(pending.stage != Stage::Told);
                if let Stage::Out(_) = pending.stage {
                    heard = heard.max(offset);
                    state.out -= 1;
                }
            }
        }
        if heard > 0 {
            room.hear(heard);
        }
        state.crowded &= done == 0;
        let ahead = which.iter().filter_map(single).filter(|position| position.offset > room.seen);
        Ok((done, ahead.collect()))
    }

    /// Marks as done what stands in the log and was not handed out in this life of the server.
    pub(super) fn acknowledge_ahead(
        &self,
        holder: u64,
        room: &RoomName,
        positions: &[Position],
    ) -> Result<()> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        self.check_holder(state, holder)?;
        let room = state.rooms.entry(room.clone()).or_insert_with(RoomState::unknown);
        for position in positions.iter().filter(|position| position.offset > room.seen) {
            room.ahead.insert(position.offset, position.epoch);
        }
        room.dirty = true;
        if room.ahead.len() <= AHEAD_MAX {
            return Ok(());
        }
        // What is too much is not done: it is handed out.
        while room.ahead.len() > AHEAD_MAX {
            room.ahead.pop_last();
        }
        Err(Error::new(Code::Exhausted, "too many acknowledgements of what was not handed out on this connection")
            .with_hint("acknowledge what is delivered; what was acknowledged before is delivered again where the server does not know of it"))
    }

    /// Gives a delivery back: it comes again after a delay, or is given up after too many failures.
    pub(super) fn reject(
        &self,
        holder: u64,
        (room, position): (&RoomName, Position),
        delay: Option<Duration>,
        reason: Option<String>,
    ) -> Result<()> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        self.check_holder(state, holder)?;
        let now = self.clock.monotonic();
        let not_out = || {
            Error::new(Code::NotFound, format!("`{position}` of `{room}` is not out for delivery"))
                .with_field("position")
                .with_hint("it was acknowledged, rejected or timed out before")
        };
        let is_out = |p: &Pending| p.epoch == position.epoch && matches!(p.stage, Stage::Out(_));
        let found = state.rooms.get_mut(room).ok_or_else(not_out)?;
        let pending = found.pending.get_mut(&position.offset).filter(|p| is_out(p)).ok_or_else(not_out)?;
        let reason = reason.map_or_else(
            || "rejected".to_owned(),
            |r| format!("rejected: {}", r.chars().take(REASON_MAX).collect::<String>()),
        );
        pending.fail(now, delay, reason, self.settings.max_deliver);
        found.dirty = true;
        state.out -= 1;
        Ok(())
    }

    fn check_holder(&self, state: &State, holder: u64) -> Result<()> {
        if state.holder == holder {
            return Ok(());
        }
        Err(fenced(&self.name))
    }

    /// Moves on what the clock decides; answers what is to be given up, and whether the holder may have more now.
    pub(super) fn tick(&self) -> (Vec<Dying>, bool) {
        let now = self.clock.monotonic();
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let mut dying = Vec::new();
        let mut freed = false;
        let late = format!("not acknowledged within {} s", self.settings.ack_wait.as_secs_f32());
        for (name, room) in &mut state.rooms {
            for (offset, pending) in &mut room.pending {
                match pending.stage {
                    Stage::Out(until) if until <= now => {
                        pending.fail(now, None, late.clone(), self.settings.max_deliver);
                        room.dirty = true;
                        state.out -= 1;
                        freed = true;
                    }
                    Stage::Waiting(until) if until <= now => {
                        pending.stage = Stage::Due;
                        state.due.push_back((name.clone(), *offset));
                    }
                    _ => {}
                }
                dying.extend(pending.last_words());
            }
        }
        (dying, freed || !state.due.is_empty())
    }

    /// A dead letter is on disk: the delivery is over.
    pub(super) fn bury(&self, room: &RoomName, position: Position) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let Some(room) = state.rooms.get_mut(room) else { return };
        let is_it = |p: &Pending| p.epoch == position.epoch && p.stage == Stage::Dying;
        if room.pending.get(&position.offset).is_some_and(is_it) {
            room.pending.remove(&position.offset);
            room.dirty = true;
            state.crowded = false;
        }
    }

    /// The rooms whose state changed since the last call, encoded; with `synced` also those that were written, but
    /// not synced.
    pub(super) fn take_dirty(&self, synced: bool) -> Vec<(RoomName, Bytes)> {
        let mut state = lock(&self.state);
        let dirty = state.rooms.iter_mut().filter(|(_, room)| room.dirty || (synced && room.unsynced));
        dirty
            .map(|(name, room)| {
                (room.dirty, room.unsynced) = (false, !synced);
                (name.clone(), room.encode())
            })
            .collect()
    }

    /// Writing failed: these rooms have to be written again.
    pub(super) fn mark_dirty(&self, rooms: &[RoomName]) {
        let mut state = lock(&self.state);
        for name in rooms {
            if let Some(room) = state.rooms.get_mut(name) {
                room.dirty = true;
            }
        }
    }

    /// The offset up to which everything of the room is done.
    pub(super) fn floor(&self, room: &RoomName) -> Option<u64> {
        lock(&self.state).rooms.get(room).map(RoomState::floor)
    }

    /// Deliveries that are out, those that are not acknowledged, and acknowledgements ahead of them.
    pub(super) fn under_way(&self) -> (usize, usize, usize) {
        let state = lock(&self.state);
        let rooms = || state.rooms.values();
        let (pending, ahead) = (rooms().map(|r| r.pending.len()).sum(), rooms().map(|r| r.ahead.len()).sum());
        (state.out as usize, pending, ahead)
    }

    pub(super) fn progress(&self) -> Vec<Progress> {
        let state = lock(&self.state);
        let mut list: Vec<Progress> = state
            .rooms
            .iter()
            .filter_map(|(room, s)| {
                let seen = Position::new(s.epoch?, s.seen);
                Some(Progress { room: room.clone(), seen, pending: s.pending.len() })
            })
            .collect();
        list.sort_by(|a, b| a.room.cmp(&b.room));
        list
    }

    /// Takes a room's stored state over.
    pub(super) fn restore(&self, room: RoomName, data: Bytes) -> Result<()> {
        let restored = RoomState::decode(data).ok_or_else(|| {
            Error::new(Code::Internal, format!("the stored state of subscription `{}` is damaged", self.name))
        })?;
        lock(&self.state).rooms.insert(room, restored);
        Ok(())
    }
}

/// Said to a holder that was replaced.
pub(super) fn fenced(name: &str) -> Error {
    Error::new(Code::Fenced, format!("another subscriber has taken `{name}` over"))
        .with_hint("run one subscriber per durable name; use another name for a second one")
}

impl State {
    fn lose_all(&mut self, failed: bool) {
        for room in self.rooms.values_mut() {
            let mut oldest = failed;
            for pending in room.pending.values_mut() {
                if oldest && matches!(pending.stage, Stage::Out(_)) {
                    pending.failures += 1;
                    pending.reason = Some(AWAY.to_owned());
                }
                oldest = false;
                if !matches!(pending.stage, Stage::Dying | Stage::Told) {
                    pending.stage = Stage::Lost;
                }
            }
            room.dirty = true;
        }
        self.out = 0;
        self.crowded = false;
        self.due.clear();
    }
}
