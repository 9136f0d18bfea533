//! What the judge has written down, and the laws that can be checked at the moment of each event.
//!
//! Invariant: a place of a room's log belongs to one message for good, whoever says so.

use super::{Asked, Begin, Draft, Given, Hole, Place, ReaderId, Reading, Violation};
use std::collections::{BTreeMap, BTreeSet};

/// A room of a tenant.
pub(super) type RoomId = (String, String);

/// A message that was sent.
#[derive(Debug)]
pub(super) struct Sent {
    pub draft: Draft,
    /// When.
    pub step: u64,
    /// Its number among all that were sent.
    pub order: u64,
    /// Where it was seen.
    pub places: Vec<Place>,
    /// Where its sender was told that it stands.
    pub told: Option<Place>,
    /// It was sent to whoever has a skill; the room of its draft is that agent's inbox once it is known.
    pub to_skill: bool,
}

/// A place of a room's log that is known to be taken.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub epoch: u64,
    /// The message, once it is known which.
    pub label: Option<String>,
}

/// Two messages of one sender to one room, not in the order of sending.
#[derive(Debug, Clone)]
pub(super) struct Disorder {
    pub room: RoomId,
    /// The last place before both of what the sender had sent before the first of them.
    pub after: u64,
    /// Where the one stands that was sent later.
    pub before: u64,
    pub text: String,
}

/// A hole that was named.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub step: u64,
    pub from: u64,
    pub to: u64,
}

#[derive(Debug)]
pub(super) struct Reader {
    pub reading: Reading,
    /// When it was answered.
    pub step: u64,
    pub ended: bool,
    /// Offsets that it was given, by room; of the log on disk.
    pub seen: BTreeMap<String, BTreeSet<u64>>,
    /// Holes that it was told of.
    pub holes: BTreeMap<String, Vec<(u64, u64)>>,
    /// The last place, by room and kind of history.
    last: BTreeMap<(String, bool), Place>,
    pub asked: Asked,
    /// When it acknowledged something last.
    acknowledged: BTreeMap<(String, u64), u64>,
}

impl Reader {
    pub fn new(reading: Reading, step: u64) -> Self {
        Reader {
            reading,
            step,
            ended: false,
            seen: BTreeMap::new(),
            holes: BTreeMap::new(),
            last: BTreeMap::new(),
            asked: Vec::new(),
            acknowledged: BTreeMap::new(),
        }
    }
}

/// A durable name.
#[derive(Debug)]
pub(super) struct Name {
    pub pattern: String,
    pub begin: Begin,
    /// When it was first answered.
    pub step: u64,
    pub seen: BTreeSet<(String, u64)>,
    pub holes: BTreeMap<String, Vec<(u64, u64)>>,
    /// Acknowledged by somebody at some time.
    pub tried: BTreeSet<(String, u64)>,
    /// Acknowledged, and confirmed to be: when, and to whom.
    done: BTreeMap<(String, u64), (u64, ReaderId)>,
    pub buried: BTreeSet<(String, u64)>,
    /// When each of its holders asked for it and was answered.
    pub holders: Vec<(u64, u64)>,
}

impl Name {
    pub fn new(reading: &Reading, step: u64) -> Self {
        Name {
            pattern: reading.pattern.clone(),
            begin: reading.begin.clone(),
            step,
            seen: BTreeSet::new(),
            holes: BTreeMap::new(),
            tried: BTreeSet::new(),
            done: BTreeMap::new(),
            buried: BTreeSet::new(),
            holders: Vec::new(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Book {
    steps: u64,
    pub violation: Option<Violation>,
    pub damaged: bool,
    /// Rooms may vanish as a whole, since nothing of them was flushed.
    pub unflushed: bool,
    /// When the server was started last.
    pub restarted: u64,
    /// When each client made its last connection.
    pub dialled: BTreeMap<String, u64>,
    pub trimmed: Vec<String>,
    pub sent: BTreeMap<String, Sent>,
    /// Sent, to be confirmed, and not answered.
    pub open: BTreeSet<String>,
    pub by_payload: BTreeMap<(String, Vec<u8>), String>,
    pub rooms: BTreeMap<RoomId, BTreeMap<u64, Taken>>,
    /// Where what was sent under each key was seen.
    pub keys: BTreeMap<(RoomId, String), BTreeSet<u64>>,
    /// Pairs of messages that stand in another order than they were sent in, to be excused by damage between them.
    pub disordered: Vec<Disorder>,
    named: BTreeMap<RoomId, Vec<Named>>,
    pub readers: Vec<Reader>,
    pub names: BTreeMap<(String, String), Name>,
    pub deliveries: usize,
}

impl Book {
    pub fn new(trimmed: Vec<String>) -> Self {
        Book { trimmed, ..Book::default() }
    }

    pub fn step(&mut self) -> u64 {
        self.steps += 1;
        self.steps
    }

    pub fn break_law(&mut self, law: &'static str, text: String) {
        self.violation.get_or_insert(Violation { law, text });
    }

    /// Writes down that a place is taken, by `label` if that is known.
    fn take(&mut self, room: &RoomId, place: Place, label: Option<&str>) {
        let taken = self.rooms.entry(room.clone()).or_default();
        let entry = taken.entry(place.offset).or_insert(Taken { epoch: place.epoch, label: None });
        let mut broken = None;
        if entry.epoch != place.epoch {
            broken = Some(format!("{}/{} {} is in two histories", room.0, room.1, place.offset));
        }
        match (&entry.label, label) {
            (Some(old), Some(new)) if old != new => {
                broken = Some(format!("{}/{} {} was {old} and is {new}", room.0, room.1, place.offset));
            }
            (None, Some(new)) => entry.label = Some(new.to_owned()),
            _ => {}
        }
        if let Some(text) = broken {
            self.break_law("unchanged", text);
        }
    }

    /// A message was seen in a room. What is sent to a skill stands in one agent's inbox, also if it is sent again; only a
    /// server that was started since then may have chosen another one.
    fn is_home(&mut self, label: &str, room: &str) -> bool {
        let restarted = self.restarted;
        let Some(Sent { draft, step, to_skill, .. }) = self.sent.get_mut(label) else { return false };
        if !*to_skill || draft.room == room {
            return draft.room == room;
        }
        let unknown = draft.room.starts_with("@skill/");
        if unknown || *step < restarted {
            room.clone_into(&mut draft.room);
            return room.starts_with("@agent");
        }
        let text = format!("{label} stands in {} and in {room}", draft.room);
        self.break_law("once", text);
        true
    }

    /// A message was seen somewhere: it must not stand in two places.
    fn stands(&mut self, label: &str, place: Place) {
        let damaged = self.damaged;
        let Some(sent) = self.sent.get_mut(label) else { return };
        if sent.to_skill && sent.step < self.restarted {
            return;
        }
        if !sent.places.contains(&place) {
            sent.places.push(place);
        }
        // What is kept in memory only is not promised to be there once. After damage, of two places one may be unreadable, so
        // that it is stored again: whether it is, is seen when all is read.
        let mut elsewhere = sent.places.iter().filter(|p| !p.memory);
        if elsewhere.clone().count() > 1 && !damaged {
            let list: Vec<String> = elsewhere.by_ref().map(|p| p.offset.to_string()).collect();
            let text = format!("{label} stands at {} of {}", list.join(" and "), sent.draft.room);
            self.break_law("once", text);
        }
    }

    /// What was sent under a key stands in one place.
    fn keyed(&mut self, room: &RoomId, key: &str, place: Place) {
        let places = self.keys.entry((room.clone(), key.to_owned())).or_default();
        places.insert(place.offset);
        let first = *places.first().unwrap_or(&place.offset);
        if places.len() > 1 && !self.damaged {
            let text = format!("key {key} stands at {first} and {} of {}/{}", place.offset, room.0, room.1);
            self.break_law("once", text);
        }
    }

    pub fn confirm(&mut self, label: &str, room: &str, place: Place, duplicate: bool) {
        let Some(sent) = self.sent.get_mut(label) else {
            return self.break_law("unchanged", format!("{label} is confirmed and was never sent"));
        };
        sent.told = Some(place);
        let (mut draft, order) = (sent.draft.clone(), sent.order);
        if !self.is_home(label, room) {
            return self
                .break_law("unchanged", format!("{label} was sent to {} and is in {room}", draft.room));
        }
        draft.room = room.to_owned();
        if place.memory {
            return self.stands(label, place);
        }
        let id = (draft.tenant.clone(), draft.room.clone());
        match &draft.key {
            Some(key) => {
                self.keyed(&id, key, place);
                let own = (!duplicate).then_some(label);
                self.take(&id, place, own);
            }
            None => {
                self.take(&id, place, Some(label));
                self.stands(label, place);
                if !self.sent[label].to_skill {
                    self.in_order(&draft, order, place);
                }
            }
        }
    }

    /// What one client sent to a room earlier stands before what it sent later; but what was damaged before its confirm
    /// had arrived is sent again behind what was on its way meanwhile.
    fn in_order(&mut self, draft: &Draft, order: u64, place: Place) {
        let other = |s: &&Sent| {
            s.draft.sender == draft.sender
                && s.draft.room == draft.room
                && s.draft.tenant == draft.tenant
                && s.draft.key.is_none()
                && s.draft.confirmed
                && !s.to_skill
        };
        let told = |s: &Sent| s.told.filter(|told| !told.memory).map(|told| told.offset);
        let wrong = self.sent.values().filter(other).find_map(|s| {
            let at = told(s)?;
            ((s.order < order) != (at < place.offset) && s.order != order).then_some((s, at))
        });
        let Some((wrong, at)) = wrong else { return };
        let text = format!(
            "{} at {at} and {} at {} of {} are not in the order of sending",
            wrong.draft.label, draft.label, place.offset, draft.room
        );
        if !self.damaged {
            return self.break_law("order", text);
        }
        let (first, before) = (wrong.order.min(order), at.min(place.offset));
        let earlier = self.sent.values().filter(other).filter(|s| s.order < first).filter_map(told);
        let after = earlier.filter(|at| *at < before).max().unwrap_or(0);
        let room = (draft.tenant.clone(), draft.room.clone());
        self.disordered.push(Disorder { room, after, before, text });
    }

    pub fn given(&mut self, reader: ReaderId, given: &Given<'_>) -> Option<String> {
        self.deliveries += 1;
        let tenant = self.readers[reader].reading.tenant.clone();
        let Some(label) = self.by_payload.get(&(tenant.clone(), given.payload.to_vec())).cloned() else {
            let content = String::from_utf8_lossy(given.payload).into_owned();
            self.break_law("unchanged", format!("reader {reader} got what nobody sent: {content}"));
            return None;
        };
        let sent = &self.sent[&label];
        let key = sent.draft.key.clone();
        let channel = sent.draft.channel == given.channel;
        if !channel || !self.is_home(&label, given.room) {
            let text = format!("{label} was delivered from {}:{}", given.room, given.channel);
            self.break_law("unchanged", text);
        }
        let id = (tenant, given.room.to_owned());
        if !given.place.memory {
            self.take(&id, given.place, Some(&label));
            if let Some(key) = key {
                self.keyed(&id, &key, given.place);
            }
            self.not_named(&id, reader, given.place);
        }
        self.stands(&label, given.place);
        self.rises(reader, given);
        if !given.place.memory {
            self.received(reader, given);
        }
        Some(label)
    }

    fn received(&mut self, reader: ReaderId, given: &Given<'_>) {
        let entry = &mut self.readers[reader];
        entry.seen.entry(given.room.to_owned()).or_default().insert(given.place.offset);
        let Some(name) = entry.reading.name.clone() else { return };
        let at = (given.room.to_owned(), given.place.offset);
        let Some(known) = self.names.get_mut(&(entry.reading.tenant.clone(), name.clone())) else { return };
        // One who began before may have had it in hand since then.
        let began = entry.step;
        let again = known.done.get(&at).is_some_and(|(step, by)| began > *step || *by == reader);
        known.seen.insert(at);
        if let Some(since) = self.taken_over(reader).filter(|since| self.is_sent_after(given, *since)) {
            let text = format!(
                "{name} was taken over at step {since}, and reader {reader}, from before, gets {} {} which was sent later",
                given.room, given.place.offset
            );
            self.break_law("holder", text);
        }
        if again {
            let text = format!(
                "{name} gets {} {} (try {}), whose acknowledgement was confirmed",
                given.room, given.place.offset, given.attempt
            );
            self.break_law("acknowledged", text);
        }
    }

    /// When a durable name was taken over from this holder for certain: another one asked for it when this one had it, and
    /// this one has not asked for it again, as clients do by themselves on each new connection.
    pub fn taken_over(&self, reader: ReaderId) -> Option<u64> {
        let Reader { reading, step, .. } = &self.readers[reader];
        let known = self.names.get(&(reading.tenant.clone(), reading.name.clone()?))?;
        let again = self.dialled.get(&reading.who).is_some_and(|dialled| *dialled > reading.asked);
        let later = known.holders.iter().filter(|(asked, _)| asked > step && !again);
        later.map(|(_, answered)| *answered).min()
    }

    fn is_sent_after(&self, given: &Given<'_>, since: u64) -> bool {
        self.sent.values().any(|sent| sent.draft.payload == given.payload && sent.step > since)
    }

    /// Positions of a plain reader rise.
    fn rises(&mut self, reader: ReaderId, given: &Given<'_>) {
        let entry = &mut self.readers[reader];
        if entry.reading.name.is_some() && !given.place.memory {
            return;
        }
        let key = (given.room.to_owned(), given.place.memory);
        let last = entry.last.insert(key, given.place);
        let falls = last.is_some_and(|last| {
            last.offset >= given.place.offset && (!given.place.memory || last.epoch == given.place.epoch)
        });
        if falls {
            let before = last.map_or(0, |p| p.offset);
            let text = format!("reader {reader} gets {} {} after {before}", given.room, given.place.offset);
            self.break_law("rising", text);
        }
    }

    /// What was named as gone does not come back for one who asks later.
    fn not_named(&mut self, room: &RoomId, reader: ReaderId, place: Place) {
        if self.damaged {
            return;
        }
        let began = self.readers[reader].step;
        let named = self.named.get(room).into_iter().flatten();
        let mut wrong = named.filter(|n| n.step < began && n.from < place.offset && place.offset <= n.to);
        if wrong.next().is_some() {
            let text = format!("{}/{} {} was named as gone and is there", room.0, room.1, place.offset);
            self.break_law("gap", text);
        }
    }

    pub fn gap(&mut self, reader: ReaderId, hole: &Hole<'_>) {
        let step = self.step();
        let damaged = self.damaged;
        let trimmed = self.trimmed.iter().any(|room| room == hole.room) || hole.room.starts_with('@');
        let entry = &mut self.readers[reader];
        let key = (hole.room.to_owned(), hole.to.memory);
        let last = entry.last.get(&key).filter(|last| !hole.to.memory || last.epoch == hole.to.epoch);
        let from = hole.from.map_or(0, |p| p.offset).max(last.map_or(0, |p| p.offset));
        if hole.to.memory {
            return;
        }
        // Where damage took all that is known of its place in history, a reader begins anew, and is told so.
        let anew = damaged && hole.reason == "epoch_changed";
        if entry.reading.name.is_none() && (hole.to.offset > from || anew) {
            entry.last.insert(key, hole.to);
        }
        entry.holes.entry(hole.room.to_owned()).or_default().push((from, hole.to.offset));
        let tenant = entry.reading.tenant.clone();
        if let Some(name) = entry.reading.name.clone()
            && let Some(known) = self.names.get_mut(&(tenant.clone(), name))
        {
            known.holes.entry(hole.room.to_owned()).or_default().push((from, hole.to.offset));
        }
        let named = Named { step, from, to: hole.to.offset };
        self.named.entry((tenant, hole.room.to_owned())).or_default().push(named);
        let justified = damaged || (hole.reason == "trimmed" && trimmed);
        if !justified {
            let text = format!(
                "reader {reader} is told that {from}..{} of {} are {}, and nothing justifies it",
                hole.to.offset, hole.room, hole.reason
            );
            self.break_law("gap", text);
        }
    }

    pub fn acknowledges(&mut self, reader: ReaderId, at: (String, u64)) {
        let step = self.step();
        let entry = &mut self.readers[reader];
        entry.asked.push(at.clone());
        entry.acknowledged.insert(at.clone(), step);
        let Some(name) = entry.reading.name.clone() else { return };
        if let Some(known) = self.names.get_mut(&(entry.reading.tenant.clone(), name)) {
            known.tried.insert(at);
        }
    }

    pub fn acknowledged(&mut self, reader: ReaderId, asked: Asked) {
        let step = self.step();
        let entry = &self.readers[reader];
        let Some(name) = entry.reading.name.clone() else { return };
        if let Some(since) = self.taken_over(reader)
            && let Some(at) = asked.iter().find(|at| entry.acknowledged.get(at).is_some_and(|at| *at > since))
        {
            let text = format!(
                "{name} was taken over at step {since}, and reader {reader}, from before, acknowledged {} {} after that",
                at.0, at.1
            );
            return self.break_law("holder", text);
        }
        if let Some(known) = self.names.get_mut(&(entry.reading.tenant.clone(), name)) {
            known.done.extend(asked.into_iter().map(|at| (at, (step, reader))));
        }
    }

    pub fn buried(&mut self, tenant: &str, name: &str, at: (&str, u64), reason: &str) {
        let Some(known) = self.names.get_mut(&(tenant.to_owned(), name.to_owned())) else { return };
        known.buried.insert((at.0.to_owned(), at.1));
        if reason.is_empty() {
            self.break_law("dead-letter", format!("{name} gave up {} {} without a reason", at.0, at.1));
        }
    }
}
