//! Random operations on a log and on a model of it that is simple enough to be believed.
//!
//! Invariant: the model decides by the port's documents alone; where they leave a choice it asks for either.

use super::{Limits, LogFactory, Rig, foreign, room_of};
use crate::{SeededRandom, World};
use arqon_core::env::{Clock, Random};
use arqon_core::port::{Append, ChannelFilter, ReadFrom, Retention};
use arqon_core::{ChannelName, MessageId, Pattern, Position, RoomKey, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);
const CHANNELS: [&str; 4] = ["main", "dev", "dev:a", "log:a"];
const FILTERS: [&str; 6] = ["all", "main", "dev:a", "room:*", "room:dev:**", "room:*:a"];

struct Kept {
    channel: ChannelName,
    id: MessageId,
    stored_at: Timestamp,
    kept: bool,
}

#[derive(Default)]
struct ModelRoom {
    /// All that was ever stored; the index is the offset less one.
    records: Vec<Kept>,
    keys: HashMap<String, (u64, Timestamp)>,
    sequences: HashMap<(String, u64), u64>,
    epoch: Option<arqon_core::record::Epoch>,
}

impl ModelRoom {
    fn wanted<'a>(&'a self, filter: &'a ChannelFilter) -> impl Iterator<Item = (u64, &'a Kept)> {
        self.records.iter().zip(1..).map(|(r, o)| (o, r)).filter(|(_, r)| filter.wants(&r.channel))
    }

    fn retain(&mut self, rules: &[(Pattern, Retention)], now: Timestamp) {
        for (i, (_, retention)) in rules.iter().enumerate() {
            let first = |r: &Kept| rules.iter().position(|(p, _)| p.matches_channel(&r.channel));
            let set = self.records.iter_mut().rev().filter(|r| r.kept && first(r) == Some(i));
            for (n, record) in set.enumerate() {
                let over = retention.max_records.is_some_and(|max| n as u64 >= max);
                let old = retention.max_age.is_some_and(|age| now.since(record.stored_at) > age);
                record.kept = !over && !old;
            }
        }
    }
}

struct Model<'a> {
    rig: Rig,
    factory: &'a dyn LogFactory,
    dice: SeededRandom,
    rooms: BTreeMap<Arc<RoomKey>, ModelRoom>,
    names: Vec<Arc<RoomKey>>,
    fresh: u64,
}

/// What the log does is what the model does, over many seeds.
pub async fn random_operations_agree_with_a_model(factory: &dyn LogFactory) {
    // One log for all seeds, each in a tenant of its own, since a factory opens once.
    let world = World::new(42);
    let mut rig = Rig::in_world(factory, world);
    for seed in 0..25 {
        let tenant = format!("seed-{seed}");
        let names = ["room", "other", "@inbox"].map(|name| room_of(&tenant, name)).into();
        let (dice, rooms) = (SeededRandom::new(seed), BTreeMap::new());
        let mut model = Model { rig, factory, dice, rooms, names, fresh: 0 };
        for _ in 0..60 {
            model = model.step().await;
        }
        model.check_everything().await;
        rig = model.rig;
    }
}

impl Model<'_> {
    async fn step(mut self) -> Self {
        let room = self.dice.pick(&self.names).clone();
        match self.dice.below(20) {
            0..=9 => self.append().await,
            10..=13 => self.walk(&room).await,
            14 => self.last(&room).await,
            15 => self.trim(&room).await,
            16 => self.retain(&room).await,
            17 => self.listing(&room).await,
            18 => {
                let micros = self.dice.below(8 * 3600 * 1_000_000);
                self.rig.world.clock.advance(Duration::from_micros(micros));
            }
            _ => return self.reopen().await,
        }
        self
    }

    async fn reopen(mut self) -> Self {
        if self.factory.outlives_process() {
            self.rig = self.rig.reopened(self.factory).await;
            self.forget_removed();
        }
        self
    }

    /// Whether a key is still known after a restart when its record is gone, the contract does not say.
    fn forget_removed(&mut self) {
        for room in self.rooms.values_mut() {
            let records = &room.records;
            let kept = |offset: u64| records[usize::try_from(offset).unwrap() - 1].kept;
            let gone = |offset: &u64| !kept(*offset);
            // They are not drawn again: their names change with `fresh`.
            if room.keys.values().any(|(o, _)| gone(o)) || room.sequences.values().any(gone) {
                self.fresh += 1;
            }
        }
    }

    async fn append(&mut self) {
        let count = 1 + self.dice.below(6);
        let now = self.rig.world.clock.now();
        let mut batch = Vec::new();
        for _ in 0..count {
            batch.push(self.entry());
        }
        let answers = self.rig.append(batch.clone()).await;
        for (entry, answer) in batch.iter().zip(answers) {
            let (offset, duplicate) = self.store(entry, now);
            let epoch = self.rooms[&entry.room].epoch.unwrap_or(answer.position.epoch);
            self.rooms.get_mut(&entry.room).unwrap().epoch = Some(epoch);
            assert_eq!((answer.position, answer.duplicate), (Position::new(epoch, offset), duplicate));
        }
    }

    fn entry(&mut self) -> Append {
        let room = self.dice.pick(&self.names).clone();
        let channel = *self.dice.pick(&CHANNELS);
        match self.dice.below(4) {
            0 => self.rig.keyed(&room, channel, &format!("k{}-{}", self.fresh, self.dice.below(12))),
            1 => {
                let producer = format!("p{}-{}", self.fresh, self.dice.below(2));
                self.rig.sequenced(&room, &producer, self.dice.below(40))
            }
            _ => self.rig.entry(&room, channel),
        }
    }

    /// What the log must answer: the offset, and whether it was there.
    fn store(&mut self, entry: &Append, now: Timestamp) -> (u64, bool) {
        let room = self.rooms.entry(entry.room.clone()).or_default();
        let message = &entry.message;
        let key = message.idempotency_key().map(ToString::to_string);
        let sequence = message.producer().map(|p| (p.id.to_string(), p.sequence));
        if let Some((offset, at)) = key.as_ref().and_then(|k| room.keys.get(k))
            && now < at.plus(DAY)
        {
            return (*offset, true);
        }
        if let Some(offset) = sequence.as_ref().and_then(|s| room.sequences.get(s)) {
            return (*offset, true);
        }
        let (channel, id) = (message.address.channel.clone(), message.id.clone());
        room.records.push(Kept { channel, id, stored_at: message.stored_at, kept: true });
        let offset = room.records.len() as u64;
        if let Some(key) = key {
            room.keys.insert(key, (offset, message.stored_at));
        }
        if let Some(sequence) = sequence {
            room.sequences.insert(sequence, offset);
        }
        (offset, false)
    }

    fn filter(&self) -> ChannelFilter {
        match *self.dice.pick(&FILTERS) {
            "all" => ChannelFilter::All,
            text if text.starts_with("room") => super::matching(text),
            text => super::exact(text),
        }
    }

    fn limits(&self) -> Limits {
        let records = usize::try_from(1 + self.dice.below(12)).unwrap();
        let bytes = if self.dice.one_in(3) { 1 } else { 1 << 20 };
        Limits { records, bytes }
    }

    async fn walk(&mut self, key: &Arc<RoomKey>) {
        let (filter, limits) = (self.filter(), self.limits());
        let Some(room) = self.rooms.get(key) else { return };
        let epoch = room.epoch.expect("a room has records");
        let end = room.records.len() as u64;
        let (from, after) = match self.dice.below(8) {
            0 => (ReadFrom::Earliest, 0),
            1 => (ReadFrom::After(foreign(self.dice.next_u64() % 50)), 0),
            _ => {
                let after = self.dice.below(end + 1);
                (ReadFrom::After(Position::new(epoch, after)), after)
            }
        };
        let walked = self.rig.walk(key, from, filter.clone(), limits).await;
        let wanted =
            room.wanted(&filter).filter(|(o, r)| *o > after && r.kept).map(|(o, r)| (o, r.id.clone()));
        let got: Vec<_> = walked.records.iter().map(|r| (r.position.offset, r.message.id.clone())).collect();
        assert_eq!(got, wanted.collect::<Vec<_>>(), "{key} {from:?} {filter:?} {limits:?}");
        assert_eq!(walked.end, Some(Position::new(epoch, end)));
        if let ReadFrom::After(_) = from {
            for (offset, _) in room.wanted(&filter).filter(|(o, r)| *o > after && !r.kept) {
                assert!(
                    walked.has_gap_over(offset),
                    "{key}: {offset} is missing, {from:?} {filter:?}: {walked:?}"
                );
            }
        }
        let foreign = matches!(from, ReadFrom::After(p) if p.epoch != epoch);
        assert!(!foreign || walked.first_is_gap, "another history is never silent");
        let lost_any = room.records.iter().any(|r| !r.kept);
        assert!(foreign || lost_any || walked.gaps.is_empty(), "nothing is missing, so there is no gap");
    }

    async fn last(&mut self, key: &Arc<RoomKey>) {
        let (filter, limits) = (self.filter(), self.limits());
        let n = usize::try_from(self.dice.below(30)).unwrap();
        let Some(room) = self.rooms.get(key) else { return };
        let walked = self.rig.walk(key, ReadFrom::Last(n), filter.clone(), limits).await;
        let wanted: Vec<u64> = room.wanted(&filter).filter(|(_, r)| r.kept).map(|(o, _)| o).collect();
        assert_eq!(
            walked.offsets(),
            wanted[wanted.len().saturating_sub(n)..],
            "{key}: the last {n} of {filter:?}"
        );
    }

    async fn trim(&mut self, key: &Arc<RoomKey>) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        let up_to = self.dice.below(room.records.len() as u64 + 3);
        self.rig.log.trim(key, up_to).await.unwrap();
        let gone = usize::try_from(up_to).unwrap();
        room.records.iter_mut().take(gone).for_each(|r| r.kept = false);
    }

    async fn retain(&mut self, key: &Arc<RoomKey>) {
        let mut rules = Vec::new();
        for _ in 0..=self.dice.below(2) {
            let pattern =
                Pattern::parse(self.dice.pick::<&str>(&["*:main", "*:dev:**", "*:*", "*"])).unwrap();
            let max_records = self.dice.one_in(2).then(|| self.dice.below(30));
            let max_age = self.dice.one_in(2).then(|| Duration::from_secs(60 + self.dice.below(40 * 3600)));
            rules.push((pattern, Retention { max_age, max_records, max_bytes: None }));
        }
        let now = self.rig.world.clock.now();
        self.rig.log.retain(key, rules.clone(), now).await.unwrap();
        if let Some(room) = self.rooms.get_mut(key) {
            room.retain(&rules, now);
        }
    }

    async fn listing(&mut self, key: &Arc<RoomKey>) {
        let bounds = self.rig.log.bounds(key).await.unwrap();
        let channels = self.rig.log.channels(key).await.unwrap();
        let Some(room) = self.rooms.get(key) else {
            assert!(bounds.is_none() && channels.is_empty(), "nothing was appended to {key}");
            return;
        };
        let bounds = bounds.expect("something was appended");
        let kept = room.records.iter().filter(|r| r.kept).count() as u64;
        assert_eq!((bounds.end.offset, bounds.records), (room.records.len() as u64, kept), "{key}");
        let mut expected: BTreeMap<&ChannelName, (u64, u64)> = BTreeMap::new();
        for (offset, record) in room.wanted(&ChannelFilter::All).filter(|(_, r)| r.kept) {
            let entry = expected.entry(&record.channel).or_default();
            *entry = (entry.0 + 1, offset);
        }
        let told: Vec<_> = channels.iter().map(|c| (&c.channel, (c.records, c.last.offset))).collect();
        assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{key}");
    }

    async fn check_everything(&mut self) {
        for key in self.names.clone() {
            for _ in 0..5 {
                self.walk(&key).await;
                self.last(&key).await;
            }
            self.listing(&key).await;
        }
        let rooms: Vec<RoomKey> = self.rooms.keys().map(|key| (**key).clone()).collect();
        assert_eq!(self.rig.log.rooms(self.names[0].tenant()).await.unwrap(), rooms);
    }
}
