//! One subscription: a bounded queue fed live by rooms, and a cursor per room for when it has to read instead.
//!
//! Each room it is attached to is, lane by lane, either *live* (the room pushes into the queue) or *behind* (the
//! connection reads on from a cursor, and turns it live under the room's lock once the cursor meets the head).
//! Invariant: within a room the records handed out have rising offsets, and what is left out is named by a gap.
//! Lock order: room, then subscription, then consumer, then connection.

use super::connection::Mailbox;
use super::consumer::{Consumer, Take};
use super::lane::Lane;
use super::lock;
use super::room::{Room, Route};
use super::subscribe::From;
use crate::limits::Limits;
use crate::port::{ChannelFilter, LogItem, Page, Read, ReadFrom};
use crate::{Delivery, Error, Gap, GapReason, Pattern, Position, Record, RoomKey, RoomName, Tenant};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};

/// The two histories that a room can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneKind {
    Durable = 0,
    Memory = 1,
}

impl LaneKind {
    fn of(position: Position) -> Self {
        if position.epoch.is_memory() { LaneKind::Memory } else { LaneKind::Durable }
    }
}

#[derive(Debug, Clone, Copy)]
enum LaneState {
    /// Pushed by the room; offsets up to `after` are known already.
    Live { after: u64 },
    /// Read by the connection from here.
    Behind(ReadFrom),
}

struct Attachment {
    room: Arc<Room>,
    filter: ChannelFilter,
    lanes: [LaneState; 2],
    /// Up to where it is known that the memory lane has lost records: from there on nothing was promised, or a gap has
    /// said so.
    lost: u64,
}

pub(super) struct Subscription {
    pub(super) id: Arc<str>,
    pub(super) tenant: Tenant,
    pub(super) patterns: Vec<Pattern>,
    pub(super) from: From,
    /// Messages of this sender are left out, where the subscriber does not want its own back.
    pub(super) skip_sender: Option<Arc<str>>,
    pub(super) consumer: Option<(Arc<Consumer>, u64)>,
    mailbox: Weak<Mailbox>,
    queue_records: usize,
    queue_bytes: usize,
    /// Plain subscriptions' credit: how many more may be handed out; `u32::MAX` is without limit.
    credit: AtomicU32,
    ended: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Whether it stands in the mailbox already.
    ready: bool,
    queue: VecDeque<(usize, Arc<Record>)>,
    bytes: usize,
    attachments: Vec<Attachment>,
    behind: VecDeque<(usize, LaneKind)>,
    /// A read of the log is under way for the first of `behind`.
    reading: bool,
    end: Option<Error>,
}

/// What one turn of a subscription did.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) deliveries: Vec<Delivery>,
    /// Records left out because they had expired.
    pub(super) expired: u64,
    pub(super) end: Option<Error>,
    /// A log read to be made before there is more.
    pub(super) read: Option<(usize, Read)>,
    /// Whether to come back at once.
    pub(super) more: bool,
}

/// What makes a subscription.
pub(super) struct Spec {
    pub(super) id: Arc<str>,
    pub(super) tenant: Tenant,
    pub(super) patterns: Vec<Pattern>,
    pub(super) from: From,
    pub(super) skip_sender: Option<Arc<str>>,
    pub(super) consumer: Option<(Arc<Consumer>, u64)>,
    pub(super) credit: Option<u32>,
}

impl Subscription {
    pub(super) fn new(spec: Spec, mailbox: &Arc<Mailbox>, limits: &Limits) -> Arc<Self> {
        Arc::new(Subscription {
            id: spec.id,
            tenant: spec.tenant,
            patterns: spec.patterns,
            from: spec.from,
            skip_sender: spec.skip_sender,
            consumer: spec.consumer,
            mailbox: Arc::downgrade(mailbox),
            queue_records: limits.queue_records,
            queue_bytes: limits.queue_bytes,
            credit: AtomicU32::new(spec.credit.unwrap_or(u32::MAX)),
            ended: AtomicBool::new(false),
            inner: Mutex::default(),
        })
    }

    pub(super) fn wants_room(&self, key: &RoomKey) -> bool {
        key.tenant == self.tenant && self.patterns.iter().any(|p| p.matches_room(&key.room))
    }

    pub(super) fn is_attached(&self, key: &RoomKey) -> bool {
        lock(&self.inner).attachments.iter().any(|a| *a.room.key == *key)
    }

    pub(super) fn rooms(&self) -> Vec<Arc<Room>> {
        lock(&self.inner).attachments.iter().map(|a| a.room.clone()).collect()
    }

    /// Joins a room where the subscription's own beginning says; not twice. Call `announce` afterwards.
    pub(super) fn attach(self: &Arc<Self>, room: &Arc<Room>) {
        if self.is_attached(&room.key) {
            return;
        }
        let durable = self.begin_durable(&room.key.room);
        self.attach_at(room, durable);
    }

    /// Joins a room at a place of its durable lane; answers after which place of its memory lane it hears it.
    pub(super) fn attach_at(self: &Arc<Self>, room: &Arc<Room>, durable: ReadFrom) -> Option<Position> {
        let pattern = self.patterns.iter().find(|p| p.matches_room(&room.key.room))?;
        let filter = ChannelFilter::of(pattern);
        // The room's lock is held throughout, so that what it gets in the meantime is not missed.
        let mut state = room.state();
        let (memory, known) = self.begin_memory(&room.key.room, state.lane.as_ref());
        let attachment = {
            let mut inner = lock(&self.inner);
            let index = inner.attachments.len();
            let lanes = [LaneState::Behind(durable), memory];
            inner.attachments.push(Attachment { room: room.clone(), filter: filter.clone(), lanes, lost: 0 });
            inner.behind.push_back((index, LaneKind::Durable));
            if matches!(memory, LaneState::Behind(_)) {
                inner.behind.push_back((index, LaneKind::Memory));
            }
            index
        };
        state.attach(filter, Route { subscription: self.clone(), attachment });
        known
    }

    fn begin_durable(&self, room: &RoomName) -> ReadFrom {
        if let Some((consumer, _)) = &self.consumer {
            return consumer.resume_from(room);
        }
        match &self.from {
            From::Positions { .. } => {
                self.from.position(room, false).map_or(ReadFrom::Earliest, ReadFrom::After)
            }
            // A room that this subscription meets later came into being after it.
            From::Earliest | From::Latest => ReadFrom::Earliest,
        }
    }

    fn begin_memory(&self, room: &RoomName, lane: Option<&Lane>) -> (LaneState, Option<Position>) {
        match &self.from {
            From::Earliest => (LaneState::Behind(ReadFrom::Earliest), None),
            From::Latest => {
                let end = lane.map(Lane::end);
                (LaneState::Live { after: end.map_or(0, |p| p.offset) }, end)
            }
            // Whoever comes back to a room without a place in its memory lane knew it before there was one.
            From::Positions { .. } => {
                let place = self.from.position(room, true);
                (LaneState::Behind(place.map_or(ReadFrom::Earliest, ReadFrom::After)), place)
            }
        }
    }

    /// Takes a record that the room has just got; answers whether `announce` must be called.
    pub(super) fn offer(&self, attachment: usize, record: &Arc<Record>) -> bool {
        let mut inner = lock(&self.inner);
        let lane = LaneKind::of(record.position);
        let offset = record.position.offset;
        let full = inner.queue.len() >= self.queue_records || inner.bytes >= self.queue_bytes;
        let LaneState::Live { after } = &mut inner.attachments[attachment].lanes[lane as usize] else {
            return false;
        };
        if offset <= *after {
            return false;
        }
        if full {
            let cursor = Position::new(record.position.epoch, offset - 1);
            inner.attachments[attachment].lanes[lane as usize] = LaneState::Behind(ReadFrom::After(cursor));
            inner.behind.push_back((attachment, lane));
            return false;
        }
        *after = offset;
        if self.skip_sender.as_ref().is_some_and(|sender| **sender == *record.message.sender) {
            return false;
        }
        inner.bytes += record.message.weight();
        inner.queue.push_back((attachment, record.clone()));
        !inner.ready
    }

    /// Puts the subscription into its connection's mailbox, if it has something and is not there.
    pub(super) fn announce(self: &Arc<Self>) {
        let Some(mailbox) = self.mailbox.upgrade() else { return };
        let urgency = {
            let mut inner = lock(&self.inner);
            let waits = !inner.queue.is_empty() || !inner.behind.is_empty() || inner.end.is_some();
            let redelivers = self.consumer.as_ref().is_some_and(|(c, _)| c.has_due());
            if inner.ready || !(waits || redelivers) {
                return;
            }
            inner.ready = true;
            inner.queue.front().map_or(crate::Priority::Normal, |(_, record)| record.message.priority)
        };
        mailbox.put(self.clone(), urgency);
    }

    /// Ends it with a reason that the subscriber is told.
    pub(super) fn end(self: &Arc<Self>, reason: Error) {
        lock(&self.inner).end = Some(reason);
        self.announce();
    }

    pub(super) fn add_credit(self: &Arc<Self>, more: u32) {
        let _ = self.credit.fetch_update(Relaxed, Relaxed, |c| {
            if c == u32::MAX { None } else { Some(c.saturating_add(more).min(u32::MAX - 1)) }
        });
        self.announce();
    }

    /// Nothing more is handed out.
    pub(super) fn finish(&self) {
        self.ended.store(true, Relaxed);
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// Hands out what may be handed out, at most `max` records.
    pub(super) fn turn(&self, max: usize, now: crate::Timestamp) -> Turn {
        let mut turn = Turn::default();
        let mut inner = lock(&self.inner);
        inner.ready = false;
        if let Some(reason) = inner.end.take() {
            self.ended.store(true, Relaxed);
            turn.end = Some(reason);
            return turn;
        }
        if self.is_ended() {
            return turn;
        }
        if let Some((consumer, holder)) = &self.consumer {
            consumer.take_due(*holder, max, &mut turn.deliveries);
        }
        while turn.deliveries.len() < max {
            let Some((_, record)) = inner.queue.front() else { break };
            let record = record.clone();
            if !self.hand_out(&record, now, &mut turn) {
                return turn;
            }
            inner.bytes = inner.bytes.saturating_sub(record.message.weight());
            inner.queue.pop_front();
        }
        let due = self.consumer.as_ref().is_some_and(|(consumer, _)| consumer.has_due());
        if !inner.queue.is_empty() || (due && self.has_room()) {
            turn.more = true;
            return turn;
        }
        if turn.deliveries.len() < max && self.has_room() {
            self.catch_up(inner, max, now, &mut turn);
        } else {
            turn.more = !inner.behind.is_empty() && !inner.reading && self.has_room();
        }
        turn
    }

    /// Whether another record may be handed out before something is acknowledged or credit is added.
    fn has_room(&self) -> bool {
        let credit = self.credit.load(Relaxed) > 0;
        credit && self.consumer.as_ref().is_none_or(|(consumer, _)| consumer.has_room())
    }

    /// Hands out one record; answers `false` when the subscriber may not have more now.
    fn hand_out(&self, record: &Arc<Record>, now: crate::Timestamp, turn: &mut Turn) -> bool {
        let acknowledged = !record.position.epoch.is_memory();
        let attempt = match &self.consumer {
            Some((consumer, holder)) if acknowledged => match consumer.take(*holder, record, now) {
                Take::Deliver(attempt) => attempt,
                Take::Skip => return true,
                Take::Expired => {
                    turn.expired += 1;
                    return true;
                }
                Take::Full => return false,
            },
            _ if record.message.is_expired(now) => {
                turn.expired += 1;
                return true;
            }
            _ => 0,
        };
        if self.credit.load(Relaxed) != u32::MAX {
            let spent = self.credit.fetch_update(Relaxed, Relaxed, |c| c.checked_sub(1));
            if spent.is_err() {
                return false;
            }
        }
        turn.deliveries.push(Delivery::Record { record: record.clone(), attempt });
        true
    }

    /// Works on the first lane that is behind: the memory lane here and now, the log by asking for a read.
    fn catch_up(
        &self,
        mut inner: std::sync::MutexGuard<'_, Inner>,
        max: usize,
        now: crate::Timestamp,
        turn: &mut Turn,
    ) {
        if inner.reading {
            return;
        }
        let Some(&(index, lane)) = inner.behind.front() else { return };
        let attachment = &inner.attachments[index];
        let LaneState::Behind(from) = attachment.lanes[lane as usize] else {
            inner.behind.pop_front();
            turn.more = true;
            return;
        };
        let (room, filter, lost) = (attachment.room.clone(), attachment.filter.clone(), attachment.lost);
        let left = max - turn.deliveries.len();
        if lane == LaneKind::Durable {
            let key = room.key.clone();
            let read = Read { room: key, from, filter, max_records: left, max_bytes: self.queue_bytes / 4 };
            turn.read = Some((index, read));
            inner.reading = true;
            return;
        }
        drop(inner);
        self.catch_up_memory((index, &room), (from, lost, &filter), max, now, turn);
    }

    fn catch_up_memory(
        &self,
        (index, room): (usize, &Arc<Room>),
        (from, lost, filter): (ReadFrom, u64, &ChannelFilter),
        max: usize,
        now: crate::Timestamp,
        turn: &mut Turn,
    ) {
        // The room's lock is held until the lane is live again, so nothing is pushed in between.
        let state = room.state();
        let Some(lane) = &state.lane else {
            self.resume(index, LaneKind::Memory, Resume::Live { after: 0 });
            if let ReadFrom::After(from) = from {
                turn.deliveries.push(gap(room, Some(from), from, GapReason::EpochChanged));
            }
            turn.more = true;
            return;
        };
        let after = match from {
            ReadFrom::After(position) if position.epoch == lane.epoch => Some(position.offset),
            ReadFrom::After(position) => {
                let to = Position::new(lane.epoch, 0);
                turn.deliveries.push(gap(room, Some(position), to, GapReason::EpochChanged));
                None
            }
            _ => None,
        };
        let left = max.saturating_sub(turn.deliveries.len()).max(1);
        let read = lane.read((after, lost), filter, left);
        lock(&self.inner).attachments[index].lost = read.lost;
        if let Some(to) = read.gone {
            let from = after.map(|offset| Position::new(lane.epoch, offset));
            turn.deliveries.push(gap(room, from, to, GapReason::Overrun));
        }
        let mut cursor = read.gone.map_or(after.unwrap_or(0), |p| p.offset);
        let mut stopped = read.more;
        for record in &read.records {
            if turn.deliveries.len() >= max || !self.hand_out(record, now, turn) {
                stopped = true;
                break;
            }
            cursor = record.position.offset;
        }
        let next = if stopped {
            Resume::Behind(ReadFrom::After(Position::new(lane.epoch, cursor)))
        } else {
            Resume::Live { after: lane.end().offset }
        };
        turn.more = self.resume(index, LaneKind::Memory, next) && (!stopped || self.has_room());
    }

    /// Forgets a read that failed, so that the next turn asks again.
    pub(super) fn read_failed(&self) {
        lock(&self.inner).reading = false;
    }

    /// Takes the page that `turn.read` asked for.
    pub(super) fn take_page(&self, index: usize, page: Page, max: usize, now: crate::Timestamp) -> Turn {
        let mut turn = Turn::default();
        lock(&self.inner).reading = false;
        if self.is_ended() {
            return turn;
        }
        let mut cursor = None;
        let mut stopped = false;
        for item in page.items {
            if turn.deliveries.len() >= max {
                stopped = true;
                break;
            }
            match item {
                LogItem::Gap(gap) => {
                    cursor = Some(gap.to);
                    if let Some((consumer, holder)) = &self.consumer {
                        consumer.pass_gap(*holder, &gap);
                    }
                    turn.deliveries.push(Delivery::Gap(gap));
                }
                LogItem::Record(record) => {
                    let own = self.skip_sender.as_ref().is_some_and(|s| **s == *record.message.sender);
                    if !own && !self.hand_out(&record, now, &mut turn) {
                        stopped = true;
                        break;
                    }
                    cursor = Some(record.position);
                }
            }
        }
        if !stopped {
            cursor = page.next.or(cursor);
        }
        turn.more =
            self.settle_cursor(index, cursor, page.at_end && !stopped) && (!stopped || self.has_room());
        turn
    }

    /// Moves the durable cursor; turns live if it has met the room's head. Answers whether there is more to do.
    fn settle_cursor(&self, index: usize, cursor: Option<Position>, at_end: bool) -> bool {
        let room = lock(&self.inner).attachments[index].room.clone();
        let state = room.state();
        let reached = cursor.map_or(0, |p| p.offset);
        let next = if at_end && state.head <= reached {
            Resume::Live { after: reached }
        } else {
            match cursor {
                Some(position) => Resume::Behind(ReadFrom::After(position)),
                None => Resume::Unchanged,
            }
        };
        self.resume(index, LaneKind::Durable, next)
    }

    fn resume(&self, index: usize, lane: LaneKind, next: Resume) -> bool {
        let mut inner = lock(&self.inner);
        match next {
            Resume::Unchanged => {}
            Resume::Live { after } => {
                inner.attachments[index].lanes[lane as usize] = LaneState::Live { after };
                inner.behind.retain(|entry| *entry != (index, lane));
            }
            Resume::Behind(from) => {
                inner.attachments[index].lanes[lane as usize] = LaneState::Behind(from);
                // One room's long history must not starve the others.
                if let Some(entry) = inner.behind.pop_front() {
                    inner.behind.push_back(entry);
                }
            }
        }
        !inner.behind.is_empty() || !inner.queue.is_empty()
    }
}

enum Resume {
    Live { after: u64 },
    Behind(ReadFrom),
    Unchanged,
}

fn gap(room: &Room, from: Option<Position>, to: Position, reason: GapReason) -> Delivery {
    Delivery::Gap(Gap { room: room.key.clone(), from, to, reason })
}
