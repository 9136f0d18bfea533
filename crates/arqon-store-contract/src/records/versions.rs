//! Versions, conditions and batches: compare-and-set admits one winner.

use super::{Desk, RecordsFactory, delete, key, kind, put};
use arqon_core::port::{Durability, Expect, StoreErrorKind};
use std::sync::Arc;
use tokio::task::JoinSet;

const CONFLICT: Option<StoreErrorKind> = Some(StoreErrorKind::Conflict);

/// The first version is 1, and each write adds one, whatever its durability.
pub async fn versions_rise_by_one(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    assert_eq!(desk.get(&key("a")).await, None);
    for version in 1..=6 {
        let durability = [Durability::Buffered, Durability::Synced][version % 2];
        let write = vec![put("a", Expect::Any, &version.to_string())];
        let versions = desk.records.commit(write, durability, desk.now()).await.unwrap();
        assert_eq!(versions, [version as u64]);
        let doc = desk.get(&key("a")).await.unwrap();
        assert_eq!((doc.version, doc.data), (version as u64, version.to_string().into()));
        assert_eq!(doc.expires_at, None);
    }
}

/// A write happens if its condition holds, and otherwise answers `Conflict` and changes nothing.
pub async fn conditions_decide(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    assert_eq!(kind(desk.commit(vec![put("a", Expect::Version(1), "no")]).await), CONFLICT);
    assert_eq!(kind(desk.commit(vec![put("a", Expect::Version(0), "no")]).await), CONFLICT);
    assert_eq!(kind(desk.commit(vec![delete("a", Expect::Version(1))]).await), CONFLICT);
    assert_eq!(desk.write(delete("a", Expect::Absent)).await, 0);
    assert_eq!(desk.write(delete("a", Expect::Any)).await, 0);
    assert_eq!(desk.write(put("a", Expect::Absent, "1")).await, 1);
    assert_eq!(kind(desk.commit(vec![put("a", Expect::Absent, "no")]).await), CONFLICT);
    assert_eq!(desk.write(put("a", Expect::Version(1), "2")).await, 2);
    for stale in [0, 1, 3] {
        assert_eq!(kind(desk.commit(vec![put("a", Expect::Version(stale), "no")]).await), CONFLICT);
        assert_eq!(kind(desk.commit(vec![delete("a", Expect::Version(stale))]).await), CONFLICT);
    }
    assert_eq!(kind(desk.commit(vec![delete("a", Expect::Absent)]).await), CONFLICT);
    assert_eq!(desk.content(&key("a")).await.unwrap(), "2");
    assert_eq!(desk.write(delete("a", Expect::Version(2))).await, 0);
    assert_eq!(desk.get(&key("a")).await, None);
}

/// What was deleted and is written again begins at version 1.
pub async fn a_deleted_document_begins_anew(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    desk.write(put("a", Expect::Any, "1")).await;
    desk.write(put("a", Expect::Any, "2")).await;
    desk.write(delete("a", Expect::Any)).await;
    assert_eq!(desk.write(put("a", Expect::Absent, "3")).await, 1);
}

/// A condition that fails anywhere in a batch leaves nothing of it.
pub async fn a_batch_is_applied_whole_or_not_at_all(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    desk.write(put("old", Expect::Any, "old")).await;
    let batch = |last| {
        vec![
            put("new", Expect::Absent, "new"),
            delete("old", Expect::Any),
            put("x", Expect::Any, "x"),
            put("y", last, "y"),
            put("z", Expect::Any, "z"),
        ]
    };
    assert_eq!(kind(desk.commit(batch(Expect::Version(7))).await), CONFLICT);
    assert_eq!(super::ids(&desk.walk(desk.scan()).await), ["old"]);
    assert_eq!(desk.version(&key("old")).await, 1);
    assert_eq!(desk.commit(batch(Expect::Absent)).await.unwrap(), [1, 0, 1, 1, 1]);
    assert_eq!(super::ids(&desk.walk(desk.scan()).await), ["new", "x", "y", "z"]);
    assert_eq!(desk.commit(Vec::new()).await.unwrap(), []);
}

/// Writes of one batch apply one after another, also to the same document.
pub async fn later_writes_of_a_batch_see_earlier_ones(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    let batch = vec![
        put("a", Expect::Absent, "1"),
        put("a", Expect::Version(1), "2"),
        delete("a", Expect::Version(2)),
        put("a", Expect::Absent, "3"),
    ];
    assert_eq!(desk.commit(batch).await.unwrap(), [1, 2, 0, 1]);
    assert_eq!(desk.content(&key("a")).await.unwrap(), "3");
    let batch = vec![put("a", Expect::Version(1), "4"), put("a", Expect::Version(1), "5")];
    assert_eq!(kind(desk.commit(batch).await), CONFLICT);
    assert_eq!(desk.content(&key("a")).await.unwrap(), "3");
}

/// Of many that write under the same condition at once, one wins.
pub async fn one_of_many_wins(factory: &dyn RecordsFactory) {
    let desk = Arc::new(Desk::new(factory));
    for round in 0..20_u64 {
        let mut rivals = JoinSet::new();
        for rival in 0..8 {
            let desk = desk.clone();
            let expect = if round == 0 { Expect::Absent } else { Expect::Version(round) };
            let durability = if rival == 0 { Durability::Synced } else { Durability::Buffered };
            rivals.spawn(async move {
                let write = vec![put("a", expect, &rival.to_string())];
                desk.records.commit(write, durability, desk.now()).await.map(|_| rival)
            });
        }
        let results = rivals.join_all().await;
        let winners: Vec<_> = results.iter().filter_map(|r| r.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1, "one wins");
        assert_eq!(results.into_iter().filter(|r| r.is_err()).map(kind).next(), Some(CONFLICT));
    }
    assert_eq!(desk.version(&key("a")).await, 20);
}

/// Counting by read and compare-and-set loses no count.
pub async fn increments_in_parallel_are_all_counted(factory: &dyn RecordsFactory) {
    let desk = Arc::new(Desk::new(factory));
    desk.write(put("n", Expect::Absent, "0")).await;
    let mut counters = JoinSet::new();
    for _ in 0..6 {
        let desk = desk.clone();
        counters.spawn(async move {
            let mut done = 0;
            while done < 20 {
                let doc = desk.get(&key("n")).await.unwrap();
                let n: u64 = std::str::from_utf8(&doc.data).unwrap().parse().unwrap();
                let write = put("n", Expect::Version(doc.version), &(n + 1).to_string());
                match desk.commit(vec![write]).await {
                    Ok(_) => done += 1,
                    Err(e) => assert_eq!(e.kind, StoreErrorKind::Conflict),
                }
            }
        });
    }
    counters.join_all().await;
    assert_eq!(desk.content(&key("n")).await.unwrap(), "120");
    assert_eq!(desk.version(&key("n")).await, 121);
}
