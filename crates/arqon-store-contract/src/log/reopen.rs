//! Restarts: what was confirmed is there, at the same place, and is not stored again.

use super::{LogFactory, Rig, exact, kind_of, room, room_of};
use arqon_core::port::{ReadFrom, Retention, StoreErrorKind};
use arqon_core::{Pattern, Timestamp};

/// Every confirmed record is there, with its position, its content and its listing.
pub async fn what_was_confirmed_is_there_after_reopening(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let rooms = [room("a"), room("@b"), room_of("other", "a")];
    for round in 0..40 {
        let batch = (0..5).map(|i| rig.entry(&rooms[(round + i) % 3], ["x", "y:z"][i % 2])).collect();
        rig.append(batch).await;
    }
    let mut before = Vec::new();
    for room in &rooms {
        let walked = rig.all(room).await;
        let (bounds, channels) = (rig.log.bounds(room).await.unwrap(), rig.log.channels(room).await.unwrap());
        before.push((walked.records, bounds, channels));
    }
    let stats = rig.log.stats();
    let rig = rig.reopened(factory).await;
    for (room, (records, bounds, channels)) in rooms.iter().zip(before) {
        let walked = rig.all(room).await;
        assert!(walked.gaps.is_empty());
        let told = |r: &arqon_core::Record| (r.position, r.message.clone());
        let now: Vec<_> = walked.records.iter().map(|r| told(r)).collect();
        assert_eq!(now, records.iter().map(|r| told(r)).collect::<Vec<_>>(), "{room}");
        assert_eq!(rig.log.bounds(room).await.unwrap(), bounds);
        assert_eq!(rig.log.channels(room).await.unwrap(), channels);
    }
    assert_eq!((rig.log.stats().rooms, rig.log.stats().records), (stats.rooms, stats.records));
    assert_eq!(rig.log.rooms(rooms[0].tenant()).await.unwrap().len(), 2);
    assert_eq!(rig.seen.count(), 0, "what was there already is not observed again");
}

/// New records come after the old ones, in the same history.
pub async fn offsets_and_epochs_go_on_after_reopening(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    let before = rig.fill(&room, "main", 5).await;
    let rig = rig.reopened(factory).await;
    let after = rig.fill(&room, "main", 5).await;
    assert_eq!(after[0].epoch, before[0].epoch, "nothing was lost, so the history is the same");
    assert_eq!(after[0].offset, 6);
    let walked = rig.after(&room, before[2]).await;
    assert_eq!((walked.offsets(), walked.gaps.len()), ((4..=10).collect(), 0));
}

/// Keys, sequences and windows are known over a restart.
pub async fn what_was_stored_is_not_stored_again_after_reopening(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    let mut batch: Vec<_> = (1..=1100).map(|n| rig.sequenced(&room, "p", n)).collect();
    batch.push(rig.keyed(&room, "main", "k"));
    let first = rig.append(batch).await;
    let rig = rig.reopened(factory).await;
    let batch = vec![
        rig.keyed(&room, "main", "k"),
        rig.sequenced(&room, "p", 1100),
        rig.sequenced(&room, "p", 77),
        rig.sequenced(&room, "p", 76),
        rig.sequenced(&room, "p", 1101),
    ];
    let answers = rig.try_append(batch).await;
    let place = |n: usize| answers[n].as_ref().map(|a| (a.position, a.duplicate)).ok();
    assert_eq!(place(0), Some((first[1100].position, true)));
    assert_eq!(place(1), Some((first[1099].position, true)));
    assert_eq!(place(2), Some((first[76].position, true)), "the whole window is remembered");
    assert_eq!(kind_of(&answers[3]), Some(StoreErrorKind::Conflict), "and its edge is where it was");
    assert_eq!(place(4).map(|(p, duplicate)| (p.offset, duplicate)), Some((1102, false)));
    rig.world.clock.advance(std::time::Duration::from_secs(24 * 3600 + 1));
    let rig = rig.reopened(factory).await;
    let later = rig.append(vec![rig.keyed(&room, "main", "k")]).await;
    assert!(!later[0].duplicate, "a day is a day over restarts too");
}

/// What was trimmed or removed by retention does not come back.
pub async fn what_was_trimmed_stays_trimmed(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let (trimmed, ruled) = (room("trimmed"), room("ruled"));
    let positions = rig.fill(&trimmed, "main", 10).await;
    for _ in 0..5 {
        rig.append(vec![rig.entry(&ruled, "few"), rig.entry(&ruled, "keep")]).await;
    }
    rig.log.trim(&trimmed, 6).await.unwrap();
    let few = Retention { max_records: Some(1), ..Retention::default() };
    let rules = vec![(Pattern::parse("ruled:few").unwrap(), few)];
    rig.log.retain(&ruled, rules, Timestamp(0)).await.unwrap();
    let rig = rig.reopened(factory).await;
    assert_eq!(rig.all(&trimmed).await.offsets(), [7, 8, 9, 10]);
    let below = rig.after(&trimmed, positions[2]).await;
    assert!(below.has_gap_over(4) && below.has_gap_over(6));
    let few = rig.walk(&ruled, ReadFrom::Earliest, exact("few"), super::WIDE).await;
    assert_eq!(few.offsets(), [9]);
    let keep = rig.walk(&ruled, ReadFrom::Earliest, exact("keep"), super::WIDE).await;
    assert_eq!(keep.records.len(), 5);
    rig.log.trim(&trimmed, 10).await.unwrap();
    let rig = rig.reopened(factory).await;
    assert_eq!(rig.fill(&trimmed, "main", 1).await[0], arqon_core::Position::new(positions[0].epoch, 11));
}

/// Restart after restart, nothing is lost and nothing comes twice.
pub async fn reopening_many_times_loses_nothing(factory: &dyn LogFactory) {
    let mut rig = Rig::new(factory);
    let room = room("repo");
    for round in 1..=8 {
        rig.fill(&room, "main", 3).await;
        rig.append(vec![rig.keyed(&room, "main", "always the same")]).await;
        rig = rig.reopened(factory).await;
        assert_eq!(rig.all(&room).await.offsets(), (1..=3 * round + 1).collect::<Vec<_>>());
    }
}
