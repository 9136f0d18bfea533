//! One subscription: a bounded queue fed live by rooms, and a cursor per room for when it has to read instead.
//!
//! Each room it is attached to is, lane by lane, either *live* (the room pushes into the queue) or *behind* (the
//! connection reads on from a cursor, and turns it live under the room's lock once the cursor meets the head).
//! Invariant: within a room the records handed out have rising offsets, and what is left out is named by a gap.
//! Lock order: room, then subscription, then consumer, then connection.

use super::connection::{Item, Mailbox, Outgoing};
use super::consumer::{Consumer, Take};
use super::lane::Lane;
use super::lock;
use super::room::{Room, Route};
use super::subscribe::From;
use crate::hash::Set;
use crate::limits::Limits;
use crate::port::{ChannelFilter, LogItem, Page, Read, ReadFrom};
use crate::{
    Delivery, Error, Gap, GapReason, Pattern, Position, Priority, Record, RoomKey, RoomName, Tenant,
    Timestamp,
};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// An empty queue keeps room for so many records; what a burst took beyond that is given back.
const QUEUE_KEPT: usize = 256;

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
    queue: VecDeque<Arc<Record>>,
    bytes: usize,
    attachments: Vec<Attachment>,
    /// The rooms of the attachments: a subscription may have joined thousands.
    joined: Set<Arc<RoomKey>>,
    behind: VecDeque<(usize, LaneKind)>,
    /// A read of the log is under way for the first of `behind`.
    reading: bool,
    end: Option<Error>,
    /// Times that a lane left the queue for reading, not counted yet.
    fell_behind: u64,
}

/// One turn of a subscription: how much it may hand out, to where, and what came of it.
pub(super) struct Turn<'a> {
    out: &'a mut Vec<Outgoing>,
    /// `out` may grow to this length.
    limit: usize,
    now: Timestamp,
    /// Records left out because they had expired.
    pub(super) expired: u64,
    /// Times that a lane was left for reading since the last turn.
    pub(super) fell_behind: u64,
    pub(super) end: Option<Error>,
    /// A log read to be made before there is more.
    pub(super) read: Option<(usize, Read)>,
    /// Whether to come back at once.
    pub(super) more: bool,
}

impl<'a> Turn<'a> {
    /// A turn that appends at most `max` items to `out`.
    pub(super) fn new(out: &'a mut Vec<Outgoing>, max: usize, now: Timestamp) -> Self {
        let limit = out.len() + max;
        Turn { out, limit, now, expired: 0, fell_behind: 0, end: None, read: None, more: false }
    }

    fn left(&self) -> usize {
        self.limit.saturating_sub(self.out.len())
    }

    fn push(&mut self, subscription: &Subscription, delivery: Delivery) {
        self.out.push(Outgoing { subscription: subscription.id.clone(), item: Item::Delivery(delivery) });
    }
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
        *key.tenant() == self.tenant && self.patterns.iter().any(|p| p.matches_room(key.room()))
    }

    pub(super) fn is_attached(&self, key: &RoomKey) -> bool {
        lock(&self.inner).joined.contains(key)
    }

    pub(super) fn rooms(&self) -> Vec<Arc<Room>> {
        lock(&self.inner).attachments.iter().map(|a| a.room.clone()).collect()
    }

    /// Joins a room where the subscription's own beginning says; not twice. Call `announce` afterwards.
    pub(super) fn attach(self: &Arc<Self>, room: &Arc<Room>) {
        if self.is_attached(&room.key) {
            return;
        }
        let durable = self.begin_durable(room.key.room());
        self.attach_at(room, durable);
    }

    /// Joins a room at a place of its durable lane; answers after which place of its memory lane it hears it.
    pub(super) fn attach_at(self: &Arc<Self>, room: &Arc<Room>, durable: ReadFrom) -> Option<Position> {
        let pattern = self.patterns.iter().find(|p| p.matches_room(room.key.room()))?;
        let filter = ChannelFilter::of(pattern);
        // The room's lock is held throughout, so that what it gets in the meantime is not missed.
        let mut state = room.state();
        let (memory, known) = self.begin_memory(room.key.room(), state.lane.as_ref());
        let attachment = {
            let mut inner = lock(&self.inner);
            let index = inner.attachments.len();
            inner.joined.insert(room.key.clone());
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

    /// Takes records of one lane that the room has just got, in their order. If that is the first that waits, it
    /// answers with how urgent it is, and `enter_mailbox` must be called.
    pub(super) fn offer(
        &self,
        attachment: usize,
        records: impl Iterator<Item = Arc<Record>>,
    ) -> Option<Priority> {
        let mut guard = lock(&self.inner);
        let inner = &mut *guard;
        let before = inner.queue.len();
        for record in records {
            if !self.take_live(inner, attachment, record) {
                break;
            }
        }
        if inner.ready || inner.queue.len() == before {
            return None;
        }
        inner.ready = true;
        inner.queue.front().map(|record| record.message.priority)
    }

    /// Answers whether the lane is (still) live.
    fn take_live(&self, inner: &mut Inner, attachment: usize, record: Arc<Record>) -> bool {
        let lane = LaneKind::of(record.position);
        let offset = record.position.offset;
        let state = &mut inner.attachments[attachment].lanes[lane as usize];
        let LaneState::Live { after } = state else { return false };
        if offset <= *after {
            return true;
        }
        if inner.queue.len() >= self.queue_records || inner.bytes >= self.queue_bytes {
            *state = LaneState::Behind(ReadFrom::After(Position::new(record.position.epoch, offset - 1)));
            inner.behind.push_back((attachment, lane));
            inner.fell_behind += 1;
            return false;
        }
        *after = offset;
        if self.skip_sender.as_ref().is_none_or(|sender| **sender != *record.message.sender) {
            inner.bytes += record.message.weight();
            inner.queue.push_back(record);
        }
        true
    }

    /// Stands in its connection's mailbox from now on, as its state says already.
    pub(super) fn enter_mailbox(self: Arc<Self>, urgency: Priority) {
        if let Some(mailbox) = self.mailbox.upgrade() {
            mailbox.put(self, urgency);
        }
    }

    /// Puts the subscription into its connection's mailbox, if it has something and is not there.
    pub(super) fn announce(self: &Arc<Self>) {
        let urgency = {
            let mut inner = lock(&self.inner);
            let waits = !inner.queue.is_empty() || !inner.behind.is_empty() || inner.end.is_some();
            let redelivers = self.consumer.as_ref().is_some_and(|(c, _)| c.has_due());
            if inner.ready || !(waits || redelivers) {
                return;
            }
            inner.ready = true;
            inner.queue.front().map_or(Priority::Normal, |record| record.message.priority)
        };
        self.clone().enter_mailbox(urgency);
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

    /// Hands out what may be handed out.
    pub(super) fn turn(&self, turn: &mut Turn<'_>) {
        let mut inner = lock(&self.inner);
        inner.ready = false;
        turn.fell_behind = std::mem::take(&mut inner.fell_behind);
        if let Some(reason) = inner.end.take() {
            self.ended.store(true, Relaxed);
            turn.end = Some(reason);
            return;
        }
        if self.is_ended() {
            return;
        }
        self.hand_out_due(turn);
        while turn.left() > 0 {
            let Some(record) = inner.queue.pop_front() else { break };
            let weight = record.message.weight();
            if let Err(record) = self.hand_out(record, turn) {
                inner.queue.push_front(record);
                return;
            }
            inner.bytes = inner.bytes.saturating_sub(weight);
        }
        if inner.queue.is_empty() && inner.queue.capacity() > QUEUE_KEPT {
            inner.queue = VecDeque::new();
        }
        let due = self.consumer.as_ref().is_some_and(|(consumer, _)| consumer.has_due());
        if !inner.queue.is_empty() || (due && self.has_room()) {
            turn.more = true;
            return;
        }
        if turn.left() > 0 && self.has_room() {
            self.catch_up(inner, turn);
        } else {
            turn.more = !inner.behind.is_empty() && !inner.reading && self.has_room();
        }
    }

    /// Hands out what comes again.
    fn hand_out_due(&self, turn: &mut Turn<'_>) {
        let Some((consumer, holder)) = &self.consumer else { return };
        let mut due = Vec::new();
        consumer.take_due(*holder, turn.left(), &mut due);
        due.into_iter().for_each(|delivery| turn.push(self, delivery));
    }

    /// Whether another record may be handed out before something is acknowledged or credit is added.
    fn has_room(&self) -> bool {
        let credit = self.credit.load(Relaxed) > 0;
        credit && self.consumer.as_ref().is_none_or(|(consumer, _)| consumer.has_room())
    }

    /// Hands out one record; gives it back when the subscriber may not have more now.
    fn hand_out(&self, record: Arc<Record>, turn: &mut Turn<'_>) -> Result<(), Arc<Record>> {
        let acknowledged = !record.position.epoch.is_memory();
        let attempt = match &self.consumer {
            Some((consumer, holder)) if acknowledged => match consumer.take(*holder, &record, turn.now) {
                Take::Deliver(attempt) => attempt,
                Take::Skip => return Ok(()),
                Take::Expired => {
                    turn.expired += 1;
                    return Ok(());
                }
                Take::Full => return Err(record),
            },
            _ if record.message.is_expired(turn.now) => {
                turn.expired += 1;
                return Ok(());
            }
            _ => 0,
        };
        if self.credit.load(Relaxed) != u32::MAX {
            let spent = self.credit.fetch_update(Relaxed, Relaxed, |c| c.checked_sub(1));
            if spent.is_err() {
                return Err(record);
            }
        }
        turn.push(self, Delivery::Record { record, attempt });
        Ok(())
    }

    /// Works on the first lane that is behind: the memory lane here and now, the log by asking for a read.
    fn catch_up(&self, mut inner: MutexGuard<'_, Inner>, turn: &mut Turn<'_>) {
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
        if lane == LaneKind::Durable {
            // What may not be handed out would be read again.
            let credit = usize::try_from(self.credit.load(Relaxed)).unwrap_or(usize::MAX);
            let max_records = turn.left().min(credit).max(1);
            let (key, max_bytes) = (room.key.clone(), self.queue_bytes / 4);
            turn.read = Some((index, Read { room: key, from, filter, max_records, max_bytes }));
            inner.reading = true;
            return;
        }
        drop(inner);
        self.catch_up_memory((index, &room), (from, lost, &filter), turn);
    }

    fn catch_up_memory(
        &self,
        (index, room): (usize, &Arc<Room>),
        (from, lost, filter): (ReadFrom, u64, &ChannelFilter),
        turn: &mut Turn<'_>,
    ) {
        // The room's lock is held until the lane is live again, so nothing is pushed in between.
        let state = room.state();
        let Some(lane) = &state.lane else {
            self.resume(index, LaneKind::Memory, Resume::Live { after: 0 });
            if let ReadFrom::After(from) = from {
                turn.push(self, gap(room, Some(from), from, GapReason::EpochChanged));
            }
            turn.more = true;
            return;
        };
        let after = match from {
            ReadFrom::After(position) if position.epoch == lane.epoch => Some(position.offset),
            ReadFrom::After(position) => {
                let to = Position::new(lane.epoch, 0);
                turn.push(self, gap(room, Some(position), to, GapReason::EpochChanged));
                None
            }
            _ => None,
        };
        let read = lane.read((after, lost), filter, turn.left().max(1));
        lock(&self.inner).attachments[index].lost = read.lost;
        if let Some(to) = read.gone {
            let from = after.map(|offset| Position::new(lane.epoch, offset));
            turn.push(self, gap(room, from, to, GapReason::Overrun));
        }
        let mut cursor = read.gone.map_or(after.unwrap_or(0), |p| p.offset);
        let mut stopped = read.more;
        for record in read.records {
            let offset = record.position.offset;
            if turn.left() == 0 || self.hand_out(record, turn).is_err() {
                stopped = true;
                break;
            }
            cursor = offset;
        }
        let next = if stopped {
            Resume::Behind(ReadFrom::After(Position::new(lane.epoch, cursor)))
        } else {
            Resume::Live { after: lane.end().offset }
        };
        turn.more = self.resume(index, LaneKind::Memory, next) && (!stopped || self.has_room());
    }

    /// Records and bytes that wait.
    pub(super) fn queued(&self) -> (usize, usize) {
        let inner = lock(&self.inner);
        (inner.queue.len(), inner.bytes)
    }

    /// Forgets a read that failed, so that the next turn asks again.
    pub(super) fn read_failed(&self) {
        lock(&self.inner).reading = false;
    }

    /// Takes the page that `turn.read` asked for.
    pub(super) fn take_page(&self, index: usize, page: Page, turn: &mut Turn<'_>) {
        lock(&self.inner).reading = false;
        if self.is_ended() {
            return;
        }
        let mut cursor = None;
        let mut stopped = false;
        for item in page.items {
            if turn.left() == 0 {
                stopped = true;
                break;
            }
            match item {
                LogItem::Gap(gap) => {
                    cursor = Some(gap.to);
                    if let Some((consumer, holder)) = &self.consumer {
                        consumer.pass_gap(*holder, &gap);
                    }
                    turn.push(self, Delivery::Gap(gap));
                }
                LogItem::Record(record) => {
                    let position = record.position;
                    let own = self.skip_sender.as_ref().is_some_and(|s| **s == *record.message.sender);
                    if !own && self.hand_out(record, turn).is_err() {
                        stopped = true;
                        break;
                    }
                    cursor = Some(position);
                }
            }
        }
        if !stopped {
            cursor = page.next.or(cursor);
        }
        turn.more =
            self.settle_cursor(index, cursor, page.at_end && !stopped) && (!stopped || self.has_room());
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
