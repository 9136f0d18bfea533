//! A disk that fails on command: full, failing writes, failing flushes. What was answered is true, and the log comes
//! back by itself.

use crate::log_rig::{Rig, folder, key, small, wait};
use arqon_core::port::{Append, Log, LogItem, Read, ReadFrom, Retention, StoreErrorKind};
use arqon_core::{Pattern, Position, RoomKey, Timestamp};
use arqon_store_contract::{SeededRandom, World};
use arqon_store_embedded::disk::{Disk, DiskFile, Locking, RealDisk};
use arqon_store_embedded::{Engine, LogConfig};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// What goes wrong.
#[derive(Default)]
pub struct Faults {
    writes: Trip,
    syncs: Trip,
    /// Space for new files.
    creates: Trip,
    /// The disk is full: no new file, until the reserve is given up; then small ones.
    full: AtomicBool,
    /// Bytes that were read.
    read: AtomicU64,
    /// A failing write leaves this many of its bytes behind.
    torn: AtomicU64,
}

impl Faults {
    /// No write succeeds, or all do.
    pub fn refuse(&self, on: bool) {
        self.writes.set(0, if on { u64::MAX } else { 0 });
    }
    fn mend(&self) {
        [&self.writes, &self.syncs, &self.creates].into_iter().for_each(|trip| trip.set(0, 0));
    }
}

/// So many calls pass, then so many fail, then all pass.
#[derive(Default)]
struct Trip(Mutex<(u64, u64)>);

impl Trip {
    fn set(&self, pass: u64, fail: u64) {
        *self.0.lock().unwrap() = (pass, fail);
    }
    /// Fails from the n-th call on, until it is mended.
    fn after(&self, calls: u64) {
        self.set(calls, u64::MAX);
    }
    fn passes(&self) -> bool {
        let mut state = self.0.lock().unwrap();
        if state.1 == 0 {
            return true;
        }
        if state.0 > 0 {
            state.0 -= 1;
            return true;
        }
        state.1 -= 1;
        false
    }
}

pub struct FaultyDisk {
    pub inner: RealDisk,
    pub faults: Arc<Faults>,
}

struct FaultyFile {
    inner: Arc<dyn DiskFile>,
    faults: Arc<Faults>,
}

impl FaultyDisk {
    fn wrap(&self, inner: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile { inner, faults: self.faults.clone() })
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let full = self.faults.full.load(Ordering::SeqCst);
        let room = !full || (path.contains("trim") && self.inner.open("log/reserve").is_err());
        if !self.faults.creates.passes() || !room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(self.wrap(self.inner.create(path)?))
    }
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(self.inner.open(path)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.inner.remove(path)
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.inner.list(folder)
    }
    fn make_dir(&self, folder: &str) -> io::Result<()> {
        self.inner.make_dir(folder)
    }
    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.inner.sync_dir(folder)
    }
    fn lock(&self, path: &str) -> io::Result<Locking> {
        self.inner.lock(path)
    }
    fn name(&self) -> String {
        self.inner.name()
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.faults.read.fetch_add(buf.len() as u64, Ordering::SeqCst);
        self.inner.read_at(buf, at)
    }
    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        if self.faults.writes.passes() {
            return self.inner.write_at(buf, at);
        }
        let torn = usize::try_from(self.faults.torn.load(Ordering::SeqCst)).unwrap().min(buf.len());
        self.inner.write_at(&buf[..torn], at)?;
        Err(io::Error::other("the write failed"))
    }
    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.inner.preallocate(len)
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.inner.truncate(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        if self.faults.syncs.passes() {
            self.inner.sync_data()
        } else {
            Err(io::Error::other("the flush failed"))
        }
    }
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
}

/// An engine without threads on a faulty disk, and what it confirmed.
struct Bench {
    dir: TempDir,
    faults: Arc<Faults>,
    world: World,
    config: LogConfig,
    engine: Option<Engine>,
    messages: Rig,
    /// By room: offset → position and payload.
    confirmed: BTreeMap<Arc<RoomKey>, BTreeMap<u64, (Position, bytes::Bytes)>>,
    /// Payloads of batches that may or may not be stored.
    unknown: Vec<bytes::Bytes>,
}

impl Bench {
    fn new(config: LogConfig) -> Self {
        let mut bench = Bench {
            dir: folder(),
            faults: Arc::new(Faults::default()),
            world: World::new(3),
            config,
            engine: None,
            messages: Rig::new(small()),
            confirmed: BTreeMap::new(),
            unknown: Vec::new(),
        };
        bench.open();
        bench
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(FaultyDisk { inner: RealDisk::new(self.dir.path()).unwrap(), faults: self.faults.clone() })
    }

    fn open(&mut self) {
        self.engine = None;
        let (clock, random) = (self.world.clock.clone(), self.world.random.clone());
        let (engine, report) = Engine::open(self.disk(), self.config, clock, random).unwrap();
        assert_eq!(
            (report.faults, report.new_epochs),
            (vec![], vec![]),
            "a disk that refuses damages nothing"
        );
        self.engine = Some(engine);
    }

    fn entry(&mut self, room: &str) -> Append {
        self.messages.entry(&key(room), "main", 100)
    }

    /// Commits one batch of `n` records; answers the kind of the failure, if it failed.
    fn commit(&mut self, room: &str, n: usize) -> Option<StoreErrorKind> {
        let batch: Vec<Append> = (0..n).map(|_| self.entry(room)).collect();
        let mut told = Mutex::new(0);
        let result = self.engine.as_mut().unwrap().commit(std::slice::from_ref(&batch), &|records| {
            *told.lock().unwrap() += records.len();
        });
        let told = *told.get_mut().unwrap();
        match result.into_iter().next().unwrap() {
            Ok(answers) => {
                assert_eq!(told, n, "the observer hears of what is confirmed");
                for (entry, answer) in batch.iter().zip(answers) {
                    let at = answer.unwrap().position;
                    let room = self.confirmed.entry(entry.room.clone()).or_default();
                    let old = room.insert(at.offset, (at, entry.message.payload.clone()));
                    assert_eq!(old, None, "{at} was given out twice");
                }
                None
            }
            Err(error) => {
                if error.kind == StoreErrorKind::Unknown {
                    self.unknown.extend(batch.iter().map(|entry| entry.message.payload.clone()));
                } else {
                    assert_eq!(told, 0, "nobody hears of what was refused");
                }
                Some(error.kind)
            }
        }
    }

    fn messages_on_disk(&self) -> u64 {
        let files = crate::log_rig::files(self.dir.path());
        files.iter().map(|file| std::fs::metadata(file).unwrap().len()).sum()
    }

    fn wait_out_the_back_off(&self) {
        self.world.clock.advance(Duration::from_secs(5));
    }

    /// Opens the log as a server would, and compares.
    fn verify(&mut self) {
        self.engine = None;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(self.dir.path()).unwrap());
        let (clock, random) = (self.world.clock.clone(), self.world.random.clone());
        let (log, report) =
            arqon_store_embedded::EmbeddedLog::open_on(disk, self.config, clock, random).unwrap();
        assert_eq!((report.faults, report.new_epochs), (vec![], vec![]));
        for (room, confirmed) in &self.confirmed {
            let mut got = BTreeMap::new();
            let mut from = ReadFrom::Earliest;
            loop {
                let (room, filter) = (room.clone(), arqon_core::port::ChannelFilter::All);
                let read = Read { room, from, filter, max_records: 100, max_bytes: 1 << 20 };
                let page = wait(log.read(read)).unwrap();
                for item in page.items {
                    let LogItem::Record(record) = item else { panic!("a gap without damage: {item:?}") };
                    got.insert(record.position.offset, (record.position, record.message.payload.clone()));
                }
                from = ReadFrom::After(page.next.unwrap());
                if page.at_end {
                    break;
                }
            }
            for (offset, expected) in confirmed {
                assert_eq!(got.remove(offset).as_ref(), Some(expected), "{room} {offset}");
            }
            for (offset, (_, payload)) in got {
                assert!(self.unknown.contains(&payload), "{room} {offset} was refused, and is there");
            }
        }
    }
}

#[test]
fn a_failing_flush_voids_the_block_and_the_log_goes_on_elsewhere() {
    let mut bench = Bench::new(small());
    assert_eq!(bench.commit("a", 3), None);
    bench.faults.syncs.after(0);
    // The new segment cannot be flushed either, so nobody can say what became of the block.
    assert_eq!(bench.commit("a", 2), Some(StoreErrorKind::Unknown));
    assert_eq!(bench.commit("a", 2), Some(StoreErrorKind::Unavailable), "while the back-off lasts, at once");
    bench.faults.mend();
    bench.wait_out_the_back_off();
    assert_eq!(bench.commit("a", 2), None);
    assert_eq!(bench.confirmed[&key("a")].keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    bench.verify();
}

#[test]
fn what_fails_once_is_refused_for_certain() {
    let mut bench = Bench::new(small());
    assert_eq!(bench.commit("a", 3), None);
    for torn in [0, 50, 1000, 1 << 20] {
        bench.faults.torn.store(torn, Ordering::SeqCst);
        for trip in [&bench.faults.clone().writes, &bench.faults.clone().syncs] {
            trip.set(0, 1);
            let refused = bench.commit("a", 2);
            assert_eq!(
                refused,
                Some(StoreErrorKind::Unavailable),
                "the new segment says that the block is void"
            );
            assert_eq!(bench.commit("a", 1), None, "and takes the next one at once");
        }
    }
    bench.verify();
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let mut bench = Bench::new(small());
    assert_eq!(bench.commit("a", 5), None);
    bench.faults.creates.after(0);
    let mut refused = 0;
    for _ in 0..300 {
        match bench.commit("a", 1) {
            None => assert_eq!(refused, 0, "once the segment is full, nothing is taken"),
            Some(kind) => {
                assert_eq!(kind, StoreErrorKind::Unavailable, "nothing was written anywhere");
                refused += 1;
            }
        }
    }
    assert!(refused > 100);
    let stored = bench.confirmed[&key("a")].len() as u64;
    bench.faults.mend();
    bench.wait_out_the_back_off();
    // By itself, without an append.
    bench.engine.as_mut().unwrap().probe();
    assert!(!bench.engine.as_ref().unwrap().is_troubled());
    assert_eq!(bench.commit("a", 1), None);
    assert_eq!(bench.confirmed[&key("a")].len() as u64, stored + 1);
    bench.verify();
}

#[test]
fn trimming_works_on_a_full_disk() {
    let mut bench = Bench::new(small());
    for _ in 0..200 {
        assert_eq!(bench.commit("a", 1), None);
    }
    bench.world.clock.advance(Duration::from_secs(60));
    bench.engine.as_mut().unwrap().rest();
    bench.faults.full.store(true, Ordering::SeqCst);
    while bench.commit("a", 1).is_none() {}
    let before = bench.messages_on_disk();
    let engine = bench.engine.as_mut().unwrap();
    engine.trim(&key("a"), 150).unwrap();
    while engine.house() == arqon_store_embedded::Progress::More {}
    assert!(bench.messages_on_disk() < before, "the space is given back");
    bench.faults.full.store(false, Ordering::SeqCst);
    bench.wait_out_the_back_off();
    assert_eq!(bench.commit("a", 1), None);
    bench.confirmed.get_mut(&key("a")).unwrap().retain(|offset, _| *offset > 150);
    bench.verify();
}

#[test]
fn a_refused_message_can_be_sent_again() {
    let mut bench = Bench::new(small());
    let entry = bench.messages.keyed(&key("a"), "once");
    bench.faults.syncs.after(0);
    let engine = bench.engine.as_mut().unwrap();
    assert!(engine.commit(&[vec![entry.clone()]], &|_| {})[0].is_err());
    bench.faults.mend();
    bench.world.clock.advance(Duration::from_secs(5));
    let again = engine.commit(&[vec![entry.clone()], vec![entry]], &|_| {});
    let answers: Vec<_> = again.into_iter().map(|batch| *batch.unwrap()[0].as_ref().unwrap()).collect();
    assert_eq!((answers[0].duplicate, answers[1].duplicate), (false, true), "what failed is not remembered");
    assert_eq!(answers[0].position, answers[1].position);
}

#[test]
fn random_failures_never_make_a_lie() {
    let mut failures = 0;
    for seed in 0..40 {
        let dice = SeededRandom::new(seed);
        let mut bench = Bench::new(small());
        for _ in 0..80 {
            let trip = match dice.below(12) {
                0 => Some(&bench.faults.writes),
                1 => Some(&bench.faults.syncs),
                2 => Some(&bench.faults.creates),
                _ => None,
            };
            if let Some(trip) = trip {
                trip.after(dice.below(4));
                bench.faults.torn.store(dice.below(2000), Ordering::SeqCst);
            }
            if dice.one_in(4) {
                bench.faults.mend();
                bench.wait_out_the_back_off();
            }
            let room = *dice.pick(&["a", "b", "c"]);
            let failed = bench.commit(room, usize::try_from(1 + dice.below(5)).unwrap());
            failures += u64::from(failed.is_some());
            if dice.one_in(20) {
                bench.faults.mend();
                bench.open();
            }
        }
        bench.faults.mend();
        bench.verify();
    }
    assert!(failures > 200, "{failures}");
}

#[test]
fn opening_reads_the_indexes_and_the_last_segment_only() {
    let config = LogConfig { segment_bytes: 256 << 10, ..LogConfig::default() };
    let mut bench = Bench::new(config);
    for n in 0..400 {
        assert_eq!(bench.commit(["a", "b", "c"][n % 3], 50), None);
    }
    let data = bench.messages_on_disk();
    assert!(data > 10 * config.segment_bytes);
    bench.faults.read.store(0, Ordering::SeqCst);
    bench.open();
    // Of each sealed segment the header page and the directory, whose first read asks for 64 KiB.
    let segments = data / config.segment_bytes;
    let most = 2 * config.segment_bytes + segments * (80 << 10);
    let read = bench.faults.read.load(Ordering::SeqCst);
    assert!(read < most, "{read} bytes of {data}");
    bench.verify();
}

#[test]
fn a_segment_that_is_mostly_dead_is_rewritten() {
    let mut bench = Bench::new(small());
    for _ in 0..300 {
        assert_eq!(bench.commit("noise", 3), None);
        assert_eq!(bench.commit("keep", 1), None);
    }
    let before = bench.messages_on_disk();
    let engine = bench.engine.as_mut().unwrap();
    engine.trim(&key("noise"), 890).unwrap();
    while engine.house() == arqon_store_embedded::Progress::More {}
    let mut rewritten = 0;
    while engine.compact().unwrap() {
        rewritten += 1;
    }
    assert!(rewritten > 3, "{rewritten}");
    let after = bench.messages_on_disk();
    assert!(after * 2 < before, "{after} of {before} bytes are left");
    bench.confirmed.get_mut(&key("noise")).unwrap().retain(|offset, _| *offset > 890);
    // The same again on what was rewritten, with and without the sidecars.
    assert_eq!(bench.commit("noise", 3), None);
    bench.verify();
    for file in crate::log_rig::files(bench.dir.path()) {
        if file.extension().is_some_and(|e| e == "idx") {
            std::fs::remove_file(file).unwrap();
        }
    }
    bench.verify();
    bench.open();
    let engine = bench.engine.as_mut().unwrap();
    engine.trim(&key("keep"), 250).unwrap();
    while engine.house() == arqon_store_embedded::Progress::More {}
    while engine.compact().unwrap() {}
    bench.confirmed.get_mut(&key("keep")).unwrap().retain(|offset, _| *offset > 250);
    bench.verify();
    let check = arqon_store_embedded::check(bench.dir.path()).unwrap();
    assert!(check.is_whole(), "{check:?}");
}

#[test]
fn keys_outlive_the_segment_that_they_came_in() {
    let mut bench = Bench::new(small());
    let entry = bench.messages.keyed(&key("a"), "once");
    let engine = bench.engine.as_mut().unwrap();
    let first = engine.commit(&[vec![entry.clone()]], &|_| {}).remove(0).unwrap().remove(0).unwrap();
    for _ in 0..300 {
        assert_eq!(bench.commit("a", 1), None);
    }
    let engine = bench.engine.as_mut().unwrap();
    engine.trim(&key("a"), 290).unwrap();
    while engine.house() == arqon_store_embedded::Progress::More {}
    let segments = crate::log_rig::segments(bench.dir.path()).len();
    assert!(segments <= 2, "{segments} segments are left");
    bench.open();
    let engine = bench.engine.as_mut().unwrap();
    let again = engine.commit(&[vec![entry.clone()]], &|_| {}).remove(0).unwrap().remove(0).unwrap();
    assert_eq!((again.position, again.duplicate), (first.position, true));
    bench.world.clock.advance(Duration::from_secs(25 * 3600));
    bench.engine.as_mut().unwrap().rest();
    let sidecars = crate::log_rig::files(bench.dir.path());
    let sidecars = sidecars.iter().filter(|f| f.extension().is_some_and(|e| e == "idx")).count();
    assert!(sidecars <= segments, "what is a day old is let go");
}

#[test]
fn rewriting_forgets_no_offset_that_was_given_out() {
    let mut bench = Bench::new(small());
    let room = key("x");
    let batch: Vec<Append> =
        ["a", "a", "b", "b"].map(|channel| bench.messages.entry(&room, channel, 10)).into();
    bench.engine.as_mut().unwrap().commit(&[batch], &|_| {}).remove(0).unwrap();
    for _ in 0..150 {
        assert_eq!(bench.commit("noise", 1), None);
    }
    let engine = bench.engine.as_mut().unwrap();
    let none = Retention { max_records: Some(0), ..Retention::default() };
    engine.retain(&room, &[(Pattern::parse("x:b").unwrap(), none)], Timestamp(0)).unwrap();
    engine.trim(&key("noise"), 140).unwrap();
    while engine.house() == arqon_store_embedded::Progress::More {}
    assert!(engine.compact().unwrap(), "what `x` keeps stands alone in its segment");
    bench.open();
    let entry = bench.messages.entry(&room, "a", 10);
    let answer = bench.engine.as_mut().unwrap().commit(&[vec![entry]], &|_| {}).remove(0).unwrap().remove(0);
    assert_eq!(answer.unwrap().position.offset, 5, "the offsets of what was trimmed are not given out again");
}
