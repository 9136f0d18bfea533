//! Pages: a walk visits each record once, whatever the limits and the filter.

use super::{Limits, LogFactory, Rig, WIDE, exact, matching, room};
use arqon_core::RoomKey;
use arqon_core::port::{ChannelFilter, LogItem, Read, ReadFrom};
use std::sync::Arc;

const CHANNELS: [&str; 5] = ["main", "dev", "dev:a", "dev:a:b", "other:a"];

/// A room with 200 records over several channels in no simple order.
async fn mixed(rig: &Rig) -> Arc<RoomKey> {
    let room = room("repo");
    for round in 0..20 {
        let batch =
            (0..10).map(|i| rig.entry(&room, CHANNELS[(round * 3 + i * i) % CHANNELS.len()])).collect();
        rig.append(batch).await;
    }
    room
}

fn filters() -> Vec<ChannelFilter> {
    let mut filters = vec![ChannelFilter::All, exact("main"), exact("dev:a"), exact("nobody")];
    filters.extend(["repo:*", "repo:dev:**", "repo:*:a", "repo:dev:*", "repo:none:**"].map(matching));
    filters
}

/// Whatever the limits of the pages, each record is visited once, in order, and the end is reached.
pub async fn pages_visit_each_record_once(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = mixed(&rig).await;
    for records in [1, 2, 3, 7, 50, 199, 200, 201] {
        for bytes in [1, 300, 5000, 1 << 20] {
            let limits = Limits { records, bytes };
            let walked = rig.walk(&room, ReadFrom::Earliest, ChannelFilter::All, limits).await;
            assert_eq!(walked.offsets(), (1..=200).collect::<Vec<_>>(), "{limits:?}");
            assert!(walked.gaps.is_empty(), "{limits:?}");
            assert_eq!(walked.end.map(|p| p.offset), Some(200));
        }
    }
}

/// A page ends when it has enough; one record is always in it if there is one.
pub async fn a_page_obeys_its_limits(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    let batch = (0..20).map(|_| {
        let mut entry = rig.entry(&room, "main");
        Arc::make_mut(&mut entry.message).payload = vec![b'1'; 10_000].into();
        entry
    });
    rig.append(batch.collect()).await;
    let read = |max_records, max_bytes| {
        let (room, filter) = (room.clone(), ChannelFilter::All);
        rig.log.read(Read { room, from: ReadFrom::Earliest, filter, max_records, max_bytes })
    };
    for (max_records, max_bytes, most) in [(1, 1 << 20, 1), (5, 1 << 20, 5), (20, 1, 1), (20, 35_000, 5)] {
        let page = read(max_records, max_bytes).await.unwrap();
        assert!((1..=most).contains(&page.items.len()), "{} of at most {most}", page.items.len());
        assert!(!page.at_end);
        let Some(LogItem::Record(last)) = page.items.last() else { panic!("a page of records") };
        assert_eq!(
            page.next,
            Some(last.position),
            "everything up to `next` was looked at, and nothing wanted after it"
        );
    }
}

/// Reading with a filter is reading everything and filtering afterwards.
pub async fn filters_equal_filtering_afterwards(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = mixed(&rig).await;
    let all = rig.all(&room).await.records;
    for filter in filters() {
        for start in [0, 1, 57, 199, 200] {
            let from = all.first().map(|r| arqon_core::Position::new(r.position.epoch, start)).unwrap();
            for limits in [Limits { records: 3, bytes: 700 }, WIDE] {
                let walked = rig.walk(&room, ReadFrom::After(from), filter.clone(), limits).await;
                let wanted = all
                    .iter()
                    .filter(|r| r.position.offset > start && filter.wants(&r.message.address.channel))
                    .map(|r| r.position.offset);
                assert_eq!(walked.offsets(), wanted.collect::<Vec<_>>(), "{filter:?} after {start}");
                assert!(walked.gaps.is_empty(), "nothing is missing: {filter:?} after {start}");
                assert_eq!(
                    walked.end.map(|p| p.offset),
                    Some(200),
                    "a filter's walk ends at the end of the log"
                );
            }
        }
    }
}

/// `Last(n)` begins at the n-th last record that matches, or at the first if there are fewer.
pub async fn last_n_are_the_last_that_match(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = mixed(&rig).await;
    let all = rig.all(&room).await.records;
    for filter in filters() {
        let wanted: Vec<u64> = all
            .iter()
            .filter(|r| filter.wants(&r.message.address.channel))
            .map(|r| r.position.offset)
            .collect();
        for n in [0, 1, 2, 10, 199, 200, 5000] {
            for limits in [Limits { records: 2, bytes: 1 << 20 }, WIDE] {
                let walked = rig.walk(&room, ReadFrom::Last(n), filter.clone(), limits).await;
                let last = wanted[wanted.len().saturating_sub(n)..].to_vec();
                assert_eq!(walked.offsets(), last, "the last {n} of {filter:?}");
                assert!(walked.gaps.is_empty());
            }
        }
    }
}

/// After the last record there is nothing, and the page says that this is the end.
pub async fn after_the_end_is_empty_and_at_end(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = mixed(&rig).await;
    let end = rig.log.bounds(&room).await.unwrap().unwrap().end;
    for filter in filters() {
        let (room, from) = (room.clone(), ReadFrom::After(end));
        let page = rig.log.read(Read { room, from, filter, max_records: 9, max_bytes: 999 }).await.unwrap();
        assert!(page.items.is_empty());
        assert_eq!((page.next, page.at_end), (Some(end), true));
    }
}

/// A reader that goes on from `next` gets what came since, once.
pub async fn a_reader_follows_the_writer(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    rig.fill(&room, "main", 3).await;
    let mut from = ReadFrom::Earliest;
    let mut got = Vec::new();
    for round in 0..10 {
        let walked = rig.walk(&room, from, exact("main"), Limits { records: 2, bytes: 1 << 20 }).await;
        got.extend(walked.offsets());
        from = ReadFrom::After(walked.end.unwrap());
        // Every other time only a channel that the reader does not want goes on.
        rig.fill(&room, ["main", "other"][round % 2], 3).await;
    }
    got.extend(rig.walk(&room, from, exact("main"), WIDE).await.offsets());
    let wanted = rig.walk(&room, ReadFrom::Earliest, exact("main"), WIDE).await.offsets();
    assert_eq!(got, wanted);
    assert_eq!(got.len(), 18);
}

/// A room that nobody wrote to reads as empty, and reading does not make it.
pub async fn a_room_without_a_log_is_empty(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("nowhere");
    for from in [ReadFrom::Earliest, ReadFrom::Last(5)] {
        let walked = rig.walk(&room, from, ChannelFilter::All, WIDE).await;
        assert!(walked.records.is_empty() && walked.gaps.is_empty());
        assert_eq!(walked.end, None);
    }
    assert_eq!(rig.log.bounds(&room).await.unwrap(), None);
    assert_eq!(rig.log.rooms(room.tenant()).await.unwrap(), []);
    assert_eq!(rig.log.channels(&room).await.unwrap(), []);
}
