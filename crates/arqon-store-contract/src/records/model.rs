//! Random writes on records and on a map that is simple enough to be believed.

use super::{Desk, RecordsFactory, key};
use crate::SeededRandom;
use arqon_core::Timestamp;
use arqon_core::port::{Doc, Durability, Expect, Found, Scan, StoreErrorKind, Write};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

const IDS: [&str; 9] = ["a", "a/1", "a/2", "a/2\0", "b", "b/x", "c", "ä", "zz"];
const VALUES: [&str; 3] = ["x", "y", "x/y"];

#[derive(Clone)]
struct Entry {
    doc: Doc,
    indexes: Vec<(&'static str, String)>,
}

type Map = BTreeMap<String, Entry>;

fn live(map: &Map, id: &str, now: Timestamp) -> u64 {
    map.get(id).filter(|e| e.doc.expires_at.is_none_or(|at| at > now)).map_or(0, |e| e.doc.version)
}

/// What the records do is what the map does, over many seeds.
pub async fn random_writes_agree_with_a_model(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    let mut model = Model { desk, map: Map::new(), dice: SeededRandom::new(7) };
    for _ in 0..1500 {
        model.step().await;
    }
    model.check_everything().await;
}

pub(super) struct Model {
    pub(super) desk: Desk,
    map: Map,
    dice: SeededRandom,
}

impl Model {
    pub(super) fn new(desk: Desk, seed: u64) -> Self {
        Model { desk, map: Map::new(), dice: SeededRandom::new(seed) }
    }

    pub(super) async fn step(&mut self) {
        match self.dice.below(10) {
            0..=5 => self.commit().await,
            6 => self.scan().await,
            7 => {
                let id = *self.dice.pick(&IDS);
                let expected = (live(&self.map, id, self.desk.now()) > 0).then(|| self.map[id].doc.clone());
                assert_eq!(self.desk.get(&key(id)).await, expected);
            }
            8 => self.desk.world.clock.advance(Duration::from_millis(self.dice.below(900))),
            _ => self.sweep().await,
        }
    }

    async fn commit(&mut self) {
        let now = self.desk.now();
        let writes: Vec<Write> = (0..=self.dice.below(3)).map(|_| self.draw(now)).collect();
        let expected = self.apply(&writes, now);
        let durability = if self.dice.one_in(10) { Durability::Synced } else { Durability::Buffered };
        let answer = self.desk.records.commit(writes.clone(), durability, now).await;
        match expected {
            Some((map, versions)) => {
                assert_eq!(answer.expect("every condition holds"), versions, "{writes:?}");
                self.map = map;
            }
            None => assert_eq!(answer.err().map(|e| e.kind), Some(StoreErrorKind::Conflict), "{writes:?}"),
        }
    }

    fn draw(&self, now: Timestamp) -> Write {
        let id = *self.dice.pick(&IDS);
        let current = live(&self.map, id, now);
        let expect = match self.dice.below(8) {
            0 => Expect::Absent,
            1 | 2 => Expect::Version(current),
            3 => Expect::Version(1),
            _ => Expect::Any,
        };
        if self.dice.one_in(4) {
            return Write::Delete { key: key(id), expect };
        }
        let data = Bytes::from(self.dice.below(1 << 40).to_string());
        let indexes = (0..self.dice.below(3)).map(|_| {
            let name = *self.dice.pick(&["state", "owner"]);
            (name, (*self.dice.pick(&VALUES)).to_owned())
        });
        let expires_at = self.dice.one_in(3).then(|| now.plus(Duration::from_millis(self.dice.below(3000))));
        Write::Put { key: key(id), expect, data, indexes: indexes.collect(), expires_at }
    }

    fn apply(&self, writes: &[Write], now: Timestamp) -> Option<(Map, Vec<u64>)> {
        let (mut map, mut versions) = (self.map.clone(), Vec::new());
        for write in writes {
            let (Write::Put { key, expect, .. } | Write::Delete { key, expect }) = write;
            let current = live(&map, &key.id, now);
            let holds = match *expect {
                Expect::Any => true,
                Expect::Absent => current == 0,
                Expect::Version(version) => version > 0 && version == current,
            };
            if !holds {
                return None;
            }
            match write {
                Write::Put { data, indexes, expires_at, .. } => {
                    let doc = Doc { version: current + 1, data: data.clone(), expires_at: *expires_at };
                    map.insert(key.id.clone(), Entry { doc, indexes: indexes.clone() });
                    // What expires at once was stored, but the next write of the batch finds it absent.
                    versions.push(current + 1);
                }
                Write::Delete { .. } => {
                    map.remove(&key.id);
                    versions.push(0);
                }
            }
        }
        Some((map, versions))
    }

    async fn scan(&mut self) {
        let index = self.dice.one_in(2).then(|| {
            let name = *self.dice.pick(&["state", "owner"]);
            (name, (*self.dice.pick(&VALUES)).to_owned())
        });
        let prefix = (*self.dice.pick(&["", "a", "a/", "b/", "q"])).to_owned();
        let limit = usize::try_from(1 + self.dice.below(5)).unwrap();
        let now = self.desk.now();
        let matches = |id: &String, e: &Entry| {
            let indexed = index.as_ref().is_none_or(|i| e.indexes.contains(i));
            indexed && id.starts_with(&prefix) && live(&self.map, id, now) > 0
        };
        let expected: Vec<Found> = self
            .map
            .iter()
            .filter(|(id, e)| matches(id, e))
            .map(|(id, e)| Found { id: id.clone(), doc: e.doc.clone() })
            .collect();
        let scan = Scan { index: index.clone(), prefix: prefix.clone(), limit, ..self.desk.scan() };
        assert_eq!(self.desk.walk(scan.clone()).await, expected, "{scan:?}");
    }

    async fn sweep(&mut self) {
        let (now, limit) = (self.desk.now(), usize::try_from(self.dice.below(4)).unwrap());
        let swept = self.desk.records.sweep(now, limit).await.unwrap();
        let expired: Vec<String> =
            self.map.keys().filter(|id| live(&self.map, id, now) == 0).cloned().collect();
        assert_eq!(swept, expired.len().min(limit));
        // Which of them went first is the engine's affair; none of them can be seen.
        let rest = self.desk.records.sweep(now, 1000).await.unwrap();
        assert_eq!(swept + rest, expired.len());
        expired.iter().for_each(|id| {
            self.map.remove(id);
        });
    }

    pub(super) async fn check_everything(&mut self) {
        let now = self.desk.now();
        let expected: Vec<Found> = self
            .map
            .iter()
            .filter(|(id, _)| live(&self.map, id, now) > 0)
            .map(|(id, e)| Found { id: id.clone(), doc: e.doc.clone() })
            .collect();
        assert_eq!(self.desk.walk(self.desk.scan()).await, expected);
        for _ in 0..20 {
            self.scan().await;
        }
    }
}
