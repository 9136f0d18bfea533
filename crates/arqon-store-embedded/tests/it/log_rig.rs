//! A log under test, with everything that was ever confirmed remembered beside it.
//!
//! Invariant: `verify` believes only what `append` was told.

use arqon_core::env::Clock;
use arqon_core::message::Extras;
use arqon_core::port::{Append, Appended, ChannelFilter, Log, LogItem, Page, Read, ReadFrom, StoreError};
use arqon_core::record::Epoch;
use arqon_core::{
    Address, ChannelName, Gap, GapReason, Kind, Message, MessageId, Position, Priority, Record, RoomKey,
    RoomName, Tenant,
};
use arqon_store_contract::World;
use arqon_store_embedded::{EmbeddedLog, LogConfig, OpenReport};
use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A folder in memory where there is one: these tests flush thousands of times and never cut the power.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Segments small enough to roll often.
pub fn small() -> LogConfig {
    LogConfig { segment_bytes: 16 << 10, ..LogConfig::default() }
}

/// Runs a future to its end.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub fn key(room: &str) -> Arc<RoomKey> {
    Arc::new(RoomKey::new(Tenant::default(), RoomName::parse(room).unwrap()))
}

/// All that was confirmed of one room, by offset.
pub type Confirmed = BTreeMap<u64, (Epoch, Arc<Message>)>;

pub struct Rig {
    pub dir: TempDir,
    pub config: LogConfig,
    pub world: World,
    pub log: Option<EmbeddedLog>,
    pub report: OpenReport,
    pub confirmed: BTreeMap<Arc<RoomKey>, Confirmed>,
    count: u64,
}

impl Rig {
    pub fn new(config: LogConfig) -> Self {
        let mut rig = Rig {
            dir: folder(),
            config,
            world: World::new(7),
            log: None,
            report: OpenReport::default(),
            confirmed: BTreeMap::new(),
            count: 0,
        };
        rig.open();
        rig
    }

    /// The same history in a folder of its own, so that damage to it leaves the first one alone.
    pub fn copy(&self) -> Self {
        assert!(self.log.is_none(), "a log is copied while it is closed");
        let dir = folder();
        std::fs::create_dir(dir.path().join("log")).unwrap();
        for file in files(self.dir.path()) {
            std::fs::copy(&file, dir.path().join("log").join(file.file_name().unwrap())).unwrap();
        }
        let (world, report) = (self.world.clone(), OpenReport::default());
        Rig {
            dir,
            config: self.config,
            world,
            log: None,
            report,
            confirmed: self.confirmed.clone(),
            count: self.count,
        }
    }

    pub fn try_open(&self) -> Result<(EmbeddedLog, OpenReport), StoreError> {
        EmbeddedLog::open(self.dir.path(), self.config, self.world.clock.clone(), self.world.random.clone())
    }

    pub fn open(&mut self) {
        let (log, report) = self.try_open().unwrap();
        self.log = Some(log);
        self.report = report;
    }

    /// Ends without closing.
    pub fn drop_log(&mut self) {
        self.log = None;
    }

    pub fn reopen(&mut self) {
        self.drop_log();
        self.open();
    }

    pub fn log(&self) -> &EmbeddedLog {
        self.log.as_ref().unwrap()
    }

    pub fn message(&mut self, room: &RoomKey, channel: &str, bytes: usize) -> Message {
        self.count += 1;
        let now = self.world.clock.now();
        let mut payload = format!("{{\"n\":{}}}", self.count).into_bytes();
        payload.resize(payload.len().max(bytes), b' ');
        Message {
            id: MessageId::Ulid(u128::from(self.count)),
            kind: Kind::Message,
            address: Address { room: room.room().clone(), channel: ChannelName::parse(channel).unwrap() },
            sender: "someone".into(),
            timestamp: now,
            stored_at: now,
            priority: Priority::Normal,
            payload: payload.into(),
            extras: None,
        }
    }

    pub fn entry(&mut self, room: &Arc<RoomKey>, channel: &str, bytes: usize) -> Append {
        Append { room: room.clone(), message: Arc::new(self.message(room, channel, bytes)) }
    }

    pub fn keyed(&mut self, room: &Arc<RoomKey>, key: &str) -> Append {
        let mut message = self.message(room, "main", 0);
        message.extras = Some(Box::new(Extras { idempotency_key: Some(key.into()), ..Extras::default() }));
        Append { room: room.clone(), message: Arc::new(message) }
    }

    /// Appends, and remembers what was confirmed. A position that was given out before is the end of the test.
    pub fn try_append(&mut self, batch: Vec<Append>) -> Result<Vec<Appended>, StoreError> {
        let answers = wait(self.log().append(batch.clone()))?;
        let answers: Vec<Appended> = answers.into_iter().map(|answer| answer.unwrap()).collect();
        for (entry, answer) in batch.iter().zip(&answers) {
            if answer.duplicate {
                continue;
            }
            let position = answer.position;
            let room = self.confirmed.entry(entry.room.clone()).or_default();
            let above = room
                .last_key_value()
                .is_some_and(|(last, (epoch, _))| *epoch != position.epoch && *last >= position.offset);
            if above && !room.values().any(|(epoch, _)| *epoch == position.epoch) {
                // Everything that knew of the room was lost, and it began anew: in a history of its own.
                room.clear();
            }
            let old = room.insert(position.offset, (position.epoch, entry.message.clone()));
            assert!(old.is_none_or(|(epoch, _)| epoch != position.epoch), "{position} was given out twice");
        }
        Ok(answers)
    }

    pub fn append(&mut self, batch: Vec<Append>) -> Vec<Appended> {
        self.try_append(batch).unwrap()
    }

    /// Appends `n` records one after another.
    pub fn fill(&mut self, room: &Arc<RoomKey>, channel: &str, n: usize) -> Vec<Position> {
        (0..n)
            .map(|_| {
                let entry = self.entry(room, channel, 40);
                self.append(vec![entry])[0].position
            })
            .collect()
    }

    pub fn page(&self, room: &Arc<RoomKey>, from: ReadFrom, max_records: usize) -> Page {
        let (room, filter) = (room.clone(), ChannelFilter::All);
        wait(self.log().read(Read { room, from, filter, max_records, max_bytes: 1 << 20 })).unwrap()
    }

    /// Reads from a position to the end.
    pub fn walk(&self, room: &Arc<RoomKey>, mut from: ReadFrom) -> Vec<LogItem> {
        let mut items = Vec::new();
        for _ in 0..100_000 {
            let page = self.page(room, from, 50);
            items.extend(page.items);
            match page.next {
                Some(next) if !page.at_end => from = ReadFrom::After(next),
                _ => return items,
            }
        }
        panic!("a walk must come to an end");
    }

    pub fn records(&self, room: &Arc<RoomKey>) -> Vec<Arc<Record>> {
        self.walk(room, ReadFrom::Earliest)
            .into_iter()
            .filter_map(|item| if let LogItem::Record(record) = item { Some(record) } else { None })
            .collect()
    }

    pub fn gaps(&self, room: &Arc<RoomKey>, from: Position) -> Vec<Gap> {
        self.walk(room, ReadFrom::After(from))
            .into_iter()
            .filter_map(|item| if let LogItem::Gap(gap) = item { Some(gap) } else { None })
            .collect()
    }

    /// Every reader gets what was confirmed, as it was, or is told that it is gone; and nothing else.
    pub fn verify(&self) -> Served {
        let mut served = Served::default();
        for (room, confirmed) in &self.confirmed {
            let positions: Vec<Position> =
                confirmed.iter().map(|(offset, (epoch, _))| Position::new(*epoch, *offset)).collect();
            let step = (positions.len() / 6).max(1);
            for from in positions.iter().step_by(step).chain(positions.last()) {
                self.verify_from(room, *from, &mut served);
            }
            let before_all = Position::new(positions[0].epoch, 0);
            let count = self.verify_from(room, before_all, &mut served);
            served.first.insert(room.clone(), count);
        }
        served
    }

    fn verify_from(&self, room: &Arc<RoomKey>, from: Position, served: &mut Served) -> u64 {
        let confirmed = &self.confirmed[room];
        let mut told = from.offset;
        let mut count = 0;
        let mut alive: Option<HashSet<Epoch>> = None;
        for item in self.walk(room, ReadFrom::After(from)) {
            match item {
                LogItem::Gap(gap) if gap.reason == GapReason::EpochChanged => {
                    served.gaps += 1;
                    // The reader's history is gone, or its end is: it begins anew where the gap ends.
                    told = gap.to.offset;
                    let alive = alive.get_or_insert_default();
                    if gap.to.offset > 0 {
                        alive.insert(gap.to.epoch);
                    }
                }
                LogItem::Gap(gap) => {
                    served.gaps += 1;
                    told = told.max(gap.to.offset);
                }
                LogItem::Record(record) => {
                    let at = record.position;
                    let original = confirmed.get(&at.offset);
                    let same =
                        original.is_some_and(|(epoch, m)| *epoch == at.epoch && **m == *record.message);
                    assert!(same, "{room}: {at} was never confirmed so, after {from}");
                    assert!(at.offset > told || (told == at.offset), "{room}: {at} came out of a gap");
                    self.silent(room, (told, at.offset), from, alive.as_ref());
                    if let Some(alive) = &mut alive {
                        alive.insert(at.epoch);
                    }
                    told = at.offset;
                    count += 1;
                }
            }
        }
        self.silent(room, (told, u64::MAX), from, alive.as_ref());
        served.records += count;
        count
    }

    /// Nothing that was confirmed lies between two offsets.
    fn silent(
        &self,
        room: &Arc<RoomKey>,
        (told, next): (u64, u64),
        from: Position,
        alive: Option<&HashSet<Epoch>>,
    ) {
        let mut between = self.confirmed[room].range(told + 1..next);
        let missing = between.find(|(_, (epoch, _))| alive.is_none_or(|alive| alive.contains(epoch)));
        assert!(
            missing.is_none(),
            "{room}: {missing:?} was dropped silently after {from}: {:?}",
            self.report
        );
    }
}

/// What `verify` met.
#[derive(Debug, Default)]
pub struct Served {
    pub records: u64,
    pub gaps: u64,
    /// For each room, the records that a reader from the beginning gets.
    pub first: BTreeMap<Arc<RoomKey>, u64>,
}

impl Served {
    pub fn all(&self) -> u64 {
        self.first.values().sum()
    }
}

/// The files of the log, in order.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

pub fn segments(dir: &Path) -> Vec<PathBuf> {
    files(dir).into_iter().filter(|f| f.extension().is_some_and(|e| e == "seg")).collect()
}

pub fn distinct<T: std::hash::Hash + Eq>(of: impl IntoIterator<Item = T>) -> usize {
    of.into_iter().collect::<HashSet<T>>().len()
}

/// Where the data of a segment ends, from its bytes.
pub fn used(segment: &Path) -> u64 {
    let bytes = std::fs::read(segment).unwrap();
    bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at as u64 + 1)
}

pub fn flip(file: &Path, at: u64, mask: u8) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at as usize] ^= mask;
    std::fs::write(file, bytes).unwrap();
}

pub fn cut(file: &Path, len: u64) {
    std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(len).unwrap();
}
