//! Retention: the rules keep what they say, and what they remove is named to those who had not read it.

use super::{LogFactory, Rig, WIDE, exact, matching, room};
use arqon_core::port::{ChannelFilter, ReadFrom, Retention};
use arqon_core::{Pattern, Position};
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn count(n: u64) -> Retention {
    Retention { max_records: Some(n), ..Retention::default() }
}

fn age(max: Duration) -> Retention {
    Retention { max_age: Some(max), ..Retention::default() }
}

fn rule(pattern: &str, retention: Retention) -> (Pattern, Retention) {
    (Pattern::parse(pattern).unwrap(), retention)
}

impl Rig {
    async fn retain(&self, room: &arqon_core::RoomKey, rules: &[(&str, Retention)]) {
        use arqon_core::env::Clock;
        let rules = rules.iter().map(|(pattern, retention)| rule(pattern, *retention)).collect();
        self.log.retain(room, rules, self.world.clock.now()).await.unwrap();
    }

    async fn kept(&self, room: &Arc<arqon_core::RoomKey>, channel: &str) -> Vec<u64> {
        self.walk(room, ReadFrom::Earliest, exact(channel), WIDE).await.offsets()
    }
}

/// Of the channels that a rule matches, the newest records together are kept.
pub async fn retention_by_count_keeps_the_newest(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    for _ in 0..10 {
        rig.append(vec![rig.entry(&room, "a"), rig.entry(&room, "b")]).await;
    }
    rig.retain(&room, &[("repo:**", count(100))]).await;
    assert_eq!(rig.all(&room).await.records.len(), 20, "what is below the bound stays");
    for _ in 0..2 {
        rig.retain(&room, &[("repo:**", count(7))]).await;
        assert_eq!(rig.all(&room).await.offsets(), (14..=20).collect::<Vec<_>>());
    }
    assert_eq!(rig.kept(&room, "b").await, [14, 16, 18, 20]);
    rig.retain(&room, &[]).await;
    assert_eq!(rig.all(&room).await.records.len(), 7, "without a rule everything stays");
    rig.retain(&room, &[("repo:**", count(0))]).await;
    assert!(rig.all(&room).await.records.is_empty());
    assert_eq!(rig.fill(&room, "a", 1).await[0].offset, 21, "offsets go on");
}

/// What is older than the rule allows goes, by the moment it was stored and the moment that the caller names.
pub async fn retention_by_age_keeps_the_young(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    for _ in 0..6 {
        rig.fill(&room, "main", 2).await;
        rig.world.clock.advance(HOUR);
    }
    // The records are now six hours old, five, and so on to one.
    rig.retain(&room, &[("repo:main", age(24 * HOUR))]).await;
    assert_eq!(rig.all(&room).await.records.len(), 12);
    rig.retain(&room, &[("repo:main", age(3 * HOUR + HOUR / 2))]).await;
    assert_eq!(rig.all(&room).await.offsets(), (7..=12).collect::<Vec<_>>());
    rig.world.clock.advance(100 * HOUR);
    rig.retain(&room, &[("repo:main", age(3 * HOUR))]).await;
    assert!(rig.all(&room).await.records.is_empty());
}

/// The newest records whose bytes fit are kept; engines count bytes a little differently.
pub async fn retention_by_bytes_keeps_the_newest(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    let batch = (0..100).map(|_| {
        let mut entry = rig.entry(&room, "main");
        Arc::make_mut(&mut entry.message).payload = vec![b'1'; 1000].into();
        entry
    });
    rig.append(batch.collect()).await;
    let bound = Retention { max_bytes: Some(20_000), ..Retention::default() };
    rig.retain(&room, &[("repo:**", bound)]).await;
    let kept = rig.all(&room).await.offsets();
    assert!((10..=20).contains(&kept.len()), "{} records of 1,000 bytes in 20,000", kept.len());
    assert_eq!(kept.last(), Some(&100));
    assert_eq!(kept.len() as u64, 101 - kept[0], "the newest are kept, without holes");
    let bounds = rig.log.bounds(&room).await.unwrap().unwrap();
    assert_eq!((bounds.start.offset, bounds.records), (kept[0] - 1, kept.len() as u64));
    assert!(bounds.bytes <= 20_000);
}

/// Each channel obeys the first rule that matches it, and that one only.
pub async fn the_first_rule_that_matches_decides(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    for _ in 0..5 {
        rig.append(["keep", "few", "none", "free"].map(|c| rig.entry(&room, c)).into()).await;
    }
    let rules = [("repo:keep", Retention::default()), ("repo:few", count(2)), ("repo:none", count(0))];
    rig.retain(&room, &rules).await;
    assert_eq!(rig.kept(&room, "keep").await.len(), 5);
    assert_eq!(rig.kept(&room, "few").await, [14, 18]);
    assert_eq!(rig.kept(&room, "none").await, []);
    assert_eq!(rig.kept(&room, "free").await.len(), 5, "a channel without a rule is left alone");
    rig.retain(&room, &[("repo:keep", Retention::default()), ("repo:**", count(1))]).await;
    assert_eq!(rig.all(&room).await.offsets(), [1, 5, 9, 13, 17, 20]);
}

/// A reader that had not read what retention removed gets a gap over it, on whichever channel it listens.
pub async fn what_retention_removed_is_never_silent(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    let first = rig.fill(&room, "keep", 1).await[0];
    for _ in 0..5 {
        rig.append(vec![rig.entry(&room, "few"), rig.entry(&room, "keep")]).await;
    }
    rig.retain(&room, &[("repo:few", count(1))]).await;
    // `few` stands at 2, 4, 6, 8, 10; only 10 is kept.
    for (filter, wants_few) in
        [(ChannelFilter::All, true), (matching("repo:*"), true), (exact("few"), true), (exact("keep"), false)]
    {
        for after in 0..=11 {
            let from = Position::new(first.epoch, after);
            let walked = rig.walk(&room, ReadFrom::After(from), filter.clone(), WIDE).await;
            for gone in [2, 4, 6, 8].into_iter().filter(|gone| wants_few && *gone > after) {
                assert!(walked.has_gap_over(gone), "{gone} is missing for {filter:?} after {after}");
            }
            let kept = [1, 3, 5, 7, 9, 10, 11].into_iter().filter(|o| *o > after);
            let wanted = kept.filter(|o| match (*o, &filter) {
                (10, ChannelFilter::Exact(name)) => name.as_str() == "few",
                (_, ChannelFilter::Exact(name)) => name.as_str() == "keep",
                _ => true,
            });
            assert_eq!(walked.offsets(), wanted.collect::<Vec<_>>(), "{filter:?} after {after}");
        }
        let past = Position::new(first.epoch, 8);
        let walked = rig.walk(&room, ReadFrom::After(past), filter, WIDE).await;
        assert!(walked.gaps.is_empty(), "who has read past it misses nothing");
    }
}
