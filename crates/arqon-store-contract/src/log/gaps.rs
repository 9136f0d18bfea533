//! Gaps: what cannot be served is named, and never more than once or too much.

use super::{LogFactory, Rig, WIDE, exact, foreign, matching, room};
use arqon_core::port::{ChannelFilter, LogItem, Read, ReadFrom};
use arqon_core::{GapReason, Position};

/// A reader below what was trimmed is told, and then gets the rest.
pub async fn trimmed_positions_yield_a_gap_then_the_rest(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    let positions = rig.fill(&room, "main", 20).await;
    rig.log.trim(&room, 12).await.unwrap();
    for (after, gap) in [(0, true), (5, true), (11, true), (12, false), (15, false)] {
        let from = Position::new(positions[0].epoch, after);
        for filter in [ChannelFilter::All, exact("main"), matching("repo:*")] {
            let walked = rig.walk(&room, ReadFrom::After(from), filter, WIDE).await;
            let first = after.max(12) + 1;
            assert_eq!(walked.offsets(), (first..=20).collect::<Vec<_>>());
            assert_eq!(walked.gaps.len(), usize::from(gap), "after {after}");
            for gap in &walked.gaps {
                assert_eq!((gap.from, gap.to), (Some(from), positions[11]));
                assert_eq!(gap.reason, GapReason::Trimmed);
            }
        }
    }
    let earliest = rig.all(&room).await;
    assert_eq!(earliest.offsets(), (13..=20).collect::<Vec<_>>());
    assert!(earliest.gaps.is_empty(), "the earliest record kept is no gap");
}

/// Trimming twice, below what is trimmed, or beyond the end does nothing more.
pub async fn trimming_is_idempotent_and_bounded(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let (room, other) = (room("repo"), room("other"));
    rig.fill(&room, "main", 10).await;
    rig.fill(&other, "main", 10).await;
    for up_to in [4, 4, 2, 0] {
        rig.log.trim(&room, up_to).await.unwrap();
        assert_eq!(rig.all(&room).await.offsets(), (5..=10).collect::<Vec<_>>());
    }
    rig.log.trim(&super::room("nowhere"), 5).await.unwrap();
    assert_eq!(rig.log.bounds(&super::room("nowhere")).await.unwrap(), None);
    assert_eq!(rig.all(&other).await.records.len(), 10, "another room is left alone");
    rig.log.trim(&room, u64::MAX).await.unwrap();
    let bounds = rig.log.bounds(&room).await.unwrap().unwrap();
    assert_eq!((bounds.start, bounds.end.offset, bounds.records), (bounds.end, 10, 0));
}

/// A room whose records are all trimmed keeps its epoch and its offsets.
pub async fn a_room_trimmed_empty_goes_on(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    let before = rig.fill(&room, "main", 3).await;
    rig.log.trim(&room, 3).await.unwrap();
    let empty = rig.all(&room).await;
    assert!(empty.records.is_empty() && empty.gaps.is_empty());
    let below = rig.after(&room, before[0]).await;
    assert!(below.records.is_empty() && below.has_gap_over(2) && below.has_gap_over(3));
    assert_eq!(rig.log.rooms(room.tenant()).await.unwrap().len(), 1, "the room still has a log");
    let after = rig.fill(&room, "main", 2).await;
    assert_eq!(after[0], Position::new(before[0].epoch, 4));
    let walked = rig.after(&room, before[2]).await;
    assert_eq!((walked.offsets(), walked.gaps.len()), (vec![4, 5], 0));
}

/// A position of another history yields a gap first, and then all that there is.
pub async fn a_foreign_epoch_yields_a_gap(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    rig.fill(&room, "main", 10).await;
    rig.log.trim(&room, 2).await.unwrap();
    for offset in [0, 1, 5, 10, 99] {
        for filter in [ChannelFilter::All, exact("main")] {
            let walked = rig.walk(&room, ReadFrom::After(foreign(offset)), filter, WIDE).await;
            assert!(walked.first_is_gap, "never silence");
            let gap = &walked.gaps[0];
            assert_eq!((gap.from, gap.reason), (Some(foreign(offset)), GapReason::EpochChanged));
            assert_eq!(walked.offsets(), (3..=10).collect::<Vec<_>>(), "then what there is");
            assert_eq!(gap.to.epoch, walked.records[0].position.epoch);
        }
    }
}

/// An offset that was never given out is not waited for in silence: the reader is put back to the end.
pub async fn a_position_beyond_the_end_is_not_silent(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    let end = rig.fill(&room, "main", 5).await[4];
    let beyond = Position::new(end.epoch, 1000);
    let (from, filter) = (ReadFrom::After(beyond), ChannelFilter::All);
    let read = Read { room: room.clone(), from, filter, max_records: 10, max_bytes: 1 << 20 };
    let page = rig.log.read(read).await.unwrap();
    assert!(matches!(page.items.first(), Some(LogItem::Gap(_))), "never silence");
    assert_eq!(page.next, Some(end), "`next` is a place that exists");
}

/// A position in a room that has no log is of a history that is gone.
pub async fn a_position_in_a_room_without_a_log_yields_a_gap(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    let walked = rig.after(&room, foreign(7)).await;
    assert!(walked.records.is_empty());
    assert_eq!(walked.gaps.len(), 1, "never silence");
    assert_eq!((walked.gaps[0].from, walked.gaps[0].reason), (Some(foreign(7)), GapReason::EpochChanged));
    assert_eq!(walked.gaps[0].to.offset, 0, "whatever comes in this room comes after the gap");
    rig.fill(&room, "main", 2).await;
    let from = walked.end.unwrap_or(walked.gaps[0].to);
    assert_eq!(rig.after(&room, from).await.offsets(), [1, 2]);
}
