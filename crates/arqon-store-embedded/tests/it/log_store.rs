//! The log as its users have it: threads, locks, limits.

use crate::log_rig::{Rig, distinct, folder, key, small, wait};
use arqon_core::message::{Extras, Producer};
use arqon_core::port::{Log, LogItem, ReadFrom, StoreErrorKind};
use arqon_store_contract::World;
use arqon_store_embedded::disk::RealDisk;
use arqon_store_embedded::{EmbeddedLog, Flush, LogConfig, OpenReport};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_second_opener_is_told_who_has_the_folder() {
    let rig = Rig::new(small());
    let Err(error) = rig.try_open() else { panic!("two may not have one folder") };
    assert_eq!(error.kind, StoreErrorKind::Refused);
    let expected =
        format!("another Arqon is using {} (pid {})", rig.dir.path().display(), std::process::id());
    assert_eq!(error.message, expected);
}

#[test]
fn a_closed_log_leaves_the_folder_to_the_next() {
    let rig = Rig::new(small());
    wait(rig.log().close()).unwrap();
    let (_again, report): (EmbeddedLog, OpenReport) = rig.try_open().unwrap();
    assert_eq!(report.faults, []);
}

#[test]
fn what_is_queued_is_written_although_the_log_is_dropped() {
    let mut rig = Rig::new(small());
    let room = key("a");
    for _ in 0..50 {
        let entry = rig.entry(&room, "main", 10);
        // Dropping the future does not undo it.
        drop(rig.log().append(vec![entry]));
    }
    rig.reopen();
    assert_eq!(rig.records(&room).len(), 50);
}

#[test]
fn more_than_the_queue_holds_is_refused_at_once() {
    let mut rig = Rig::new(LogConfig { queue_bytes: 1000, segment_bytes: 1 << 20, ..LogConfig::default() });
    let room = key("a");
    let futures: Vec<_> = (0..2000)
        .map(|_| {
            let entry = rig.entry(&room, "main", 400);
            rig.log().append(vec![entry])
        })
        .collect();
    let answers: Vec<_> = futures.into_iter().map(wait).collect();
    let stored = answers.iter().filter(|a| a.is_ok()).count();
    let full = answers.iter().filter_map(|a| a.as_ref().err());
    assert!(full.clone().all(|e| e.kind == StoreErrorKind::Unavailable), "and nothing else");
    assert!(full.count() > 0 && stored > 0);
    assert_eq!(rig.records(&room).len(), stored, "what was refused is not there");
}

#[test]
fn a_record_that_is_too_large_is_refused_alone() {
    let mut rig = Rig::new(small());
    let room = key("a");
    let batch =
        vec![rig.entry(&room, "main", 10), rig.entry(&room, "main", 20_000), rig.entry(&room, "main", 10)];
    let answers = wait(rig.log().append(batch)).unwrap();
    assert_eq!(answers[1].as_ref().unwrap_err().kind, StoreErrorKind::Refused);
    assert_eq!(rig.records(&room).len(), 2);
}

#[test]
fn a_batch_larger_than_a_segment_is_stored_in_order() {
    let mut rig = Rig::new(small());
    let room = key("a");
    let batch: Vec<_> = (0..500).map(|_| rig.entry(&room, "main", 200)).collect();
    let answers = rig.append(batch);
    assert_eq!(answers.iter().map(|a| a.position.offset).collect::<Vec<_>>(), (1..=500).collect::<Vec<_>>());
    rig.reopen();
    rig.verify();
}

#[test]
fn many_rooms_share_the_segments() {
    let mut rig = Rig::new(LogConfig { segment_bytes: 64 << 10, ..LogConfig::default() });
    let rooms: Vec<_> = (0..300).map(|n| key(&format!("room-{n}"))).collect();
    for round in 0..6 {
        let batch =
            rooms.iter().enumerate().filter(|(n, _)| n % (round + 1) == 0).map(|(_, room)| room.clone());
        let batch: Vec<_> =
            batch.collect::<Vec<_>>().iter().map(|room| rig.entry(room, "main", 30)).collect();
        rig.append(batch);
    }
    for _ in 0..2 {
        let served = rig.verify();
        assert_eq!(served.gaps, 0);
        assert_eq!(rig.log().stats().rooms, 300);
        let epochs = rig.confirmed.values().filter_map(|room| room.values().next()).map(|(epoch, _)| *epoch);
        assert_eq!(distinct(epochs), 300, "each room has a history of its own");
        rig.reopen();
    }
}

#[test]
fn trimming_gives_the_disk_back() {
    let mut rig = Rig::new(small());
    let room = key("a");
    rig.fill(&room, "main", 600);
    let before = rig.log().stats().disk_bytes;
    wait(rig.log().trim(&room, 590)).unwrap();
    // Closing waits for what the log does in the background.
    wait(rig.log().close()).unwrap();
    rig.reopen();
    let on_disk: u64 =
        crate::log_rig::files(rig.dir.path()).iter().map(|f| std::fs::metadata(f).unwrap().len()).sum();
    assert!(on_disk * 3 < before, "{on_disk} of {before}");
    assert_eq!(rig.records(&room).len(), 10);
    let items = rig.walk(&room, ReadFrom::Last(3));
    assert!(items.iter().all(|item| matches!(item, LogItem::Record(_))) && items.len() == 3);
}

#[test]
fn with_an_interval_everything_survives_the_process() {
    let mut rig = Rig::new(LogConfig { flush: Flush::Interval(Duration::from_secs(3600)), ..small() });
    let room = key("a");
    rig.fill(&room, "main", 300);
    rig.reopen();
    assert_eq!(rig.verify().gaps, 0);
    assert_eq!(rig.records(&room).len(), 300);
}

/// What a reader that follows the log has come to: every offset is read once or named in a gap.
struct Follower {
    room: std::sync::Arc<arqon_core::RoomKey>,
    from: ReadFrom,
    reached: u64,
    records: u64,
}

impl Follower {
    fn new(room: &std::sync::Arc<arqon_core::RoomKey>) -> Self {
        Follower { room: room.clone(), from: ReadFrom::Earliest, reached: 0, records: 0 }
    }

    fn step(&mut self, log: &EmbeddedLog) {
        let (room, filter) = (self.room.clone(), arqon_core::port::ChannelFilter::All);
        let read =
            arqon_core::port::Read { room, from: self.from, filter, max_records: 37, max_bytes: 1 << 20 };
        let page = wait(log.read(read)).unwrap();
        for item in page.items {
            match item {
                LogItem::Record(record) => {
                    let first = self.from == ReadFrom::Earliest && self.records == 0;
                    let next = record.position.offset;
                    assert!(first || next == self.reached + 1, "{next} after {}", self.reached);
                    self.reached = next;
                    self.records += 1;
                }
                LogItem::Gap(gap) => {
                    assert_eq!(gap.from.map(|p| p.offset), Some(self.reached));
                    assert_eq!(gap.reason, arqon_core::GapReason::Trimmed);
                    self.reached = gap.to.offset;
                }
            }
        }
        if let Some(next) = page.next {
            assert!(
                next.offset == self.reached || self.from == ReadFrom::Earliest,
                "{next} and {}",
                self.reached
            );
            self.reached = next.offset;
            self.from = ReadFrom::After(next);
        }
    }
}

#[test]
fn readers_follow_while_segments_roll_and_vanish() {
    const RECORDS: u64 = 3000;
    for trims in [false, true] {
        let mut rig = Rig::new(small());
        let (room, other) = (key("a"), key("b"));
        let batches: Vec<Vec<_>> = (0..RECORDS / 10)
            .map(|_| {
                let mut batch: Vec<_> = (0..10).map(|_| rig.entry(&room, "main", 60)).collect();
                batch.push(rig.entry(&other, "main", 60));
                batch
            })
            .collect();
        let log = rig.log();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut follower = Follower::new(&room);
                    while follower.reached < RECORDS {
                        follower.step(log);
                    }
                    assert!(trims || follower.records == RECORDS);
                });
            }
            for (n, batch) in (1..).zip(batches) {
                wait(log.append(batch)).unwrap();
                if trims && n % 20 == 0 {
                    wait(log.trim(&room, n * 10 - 50)).unwrap();
                }
            }
        });
        assert_eq!(rig.log().stats().damaged, 0);
        assert_eq!(rig.records(&other).len() as u64, RECORDS / 10);
    }
}

#[test]
fn nothing_is_confirmed_into_files_that_were_deleted() {
    let mut rig = Rig::new(small());
    let room = key("a");
    rig.fill(&room, "main", 3);
    std::fs::remove_dir_all(rig.dir.path().join("log")).unwrap();
    for _ in 0..3 {
        let entry = rig.entry(&room, "main", 10);
        assert!(rig.try_append(vec![entry]).is_err());
    }
    assert!(rig.log().health().is_err());
}

#[test]
fn what_is_refused_for_too_much_waiting_is_not_overtaken_either() {
    let (dir, world) = (folder(), World::new(5));
    let disk = Arc::new(RealDisk::new(dir.path()).unwrap());
    let config = LogConfig { queue_bytes: 1000, ..small() };
    let (clock, random) = (world.clock.clone(), world.random.clone());
    let (log, mut turns, _) = EmbeddedLog::open_by_hand(disk, config, clock, random).unwrap();
    let mut messages = Rig::new(small());
    let mut numbered = |sequence: u64, bytes: usize| {
        let mut entry = messages.entry(&key("r"), "main", bytes);
        let producer = Some(Producer { id: "p".into(), sequence });
        Arc::make_mut(&mut entry.message).extras = Some(Box::new(Extras { producer, ..Extras::default() }));
        log.append(vec![entry])
    };
    // Nothing is taken from the queue meanwhile: the second one does not fit, the third one does.
    let answers = [numbered(1, 100), numbered(2, 2000), numbered(3, 100)];
    while turns.commit().is_some_and(|rest| rest.is_zero()) {}
    let [first, second, third] = answers.map(|answer| wait(answer).map(|mut entries| entries.remove(0)));
    assert!(matches!(first, Ok(Ok(_))));
    assert_eq!(second.unwrap_err().kind, StoreErrorKind::Unavailable);
    assert_eq!(third.unwrap().unwrap_err().kind, StoreErrorKind::Unavailable, "the second is missing");
    let again = [2, 3].map(|sequence| {
        let answer = numbered(sequence, 2000);
        while turns.commit().is_some_and(|rest| rest.is_zero()) {}
        wait(answer).unwrap().remove(0).unwrap().position.offset
    });
    assert_eq!(again, [2, 3]);
}
