//! Expiry obeys the moment that the caller passes in, and nothing else.

use super::{Desk, RecordsFactory, delete, expiring, ids, key, kind, put};
use arqon_core::Timestamp;
use arqon_core::port::{Durability, Expect, Scan, StoreErrorKind};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// At its moment and after it, a document is not there; before it, it is.
pub async fn an_expired_document_is_absent(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    let at = desk.now().plus(MINUTE);
    desk.write(expiring("a", at)).await;
    let just_before = Timestamp(at.0 - 1);
    let doc = desk.records.get(&key("a"), just_before).await.unwrap().unwrap();
    assert_eq!((doc.version, doc.expires_at), (1, Some(at)));
    for now in [at, at.plus(MINUTE), Timestamp(u64::MAX)] {
        assert_eq!(desk.records.get(&key("a"), now).await.unwrap(), None);
    }
    // The clock that counts is the caller's, and it may go back.
    assert!(desk.records.get(&key("a"), just_before).await.unwrap().is_some());
}

/// What is written in the place of an expired document begins at version 1, and counts as absent for conditions.
pub async fn an_expired_document_begins_anew(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    let at = desk.now().plus(MINUTE);
    for _ in 0..3 {
        desk.write(expiring("a", at)).await;
    }
    desk.write(expiring("b", at)).await;
    desk.write(expiring("c", at)).await;
    desk.world.clock.advance(MINUTE);
    let conflict = Some(StoreErrorKind::Conflict);
    assert_eq!(kind(desk.commit(vec![put("a", Expect::Version(3), "no")]).await), conflict);
    assert_eq!(kind(desk.commit(vec![delete("a", Expect::Version(3))]).await), conflict);
    assert_eq!(desk.write(put("a", Expect::Absent, "new")).await, 1);
    assert_eq!(desk.write(put("b", Expect::Any, "new")).await, 1);
    assert_eq!(desk.write(delete("c", Expect::Absent)).await, 0);
    assert_eq!(desk.get(&key("a")).await.unwrap().expires_at, None);
    assert_eq!(desk.records.sweep(desk.now(), 100).await.unwrap(), 0, "what took its place does not expire");
    assert_eq!(desk.version(&key("a")).await, 1);
}

/// A sweep removes what expired, at most so many, and nothing else.
pub async fn a_sweep_removes_what_expired(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    let start = desk.now();
    for n in 0..10_u32 {
        desk.write(expiring(&format!("d{n}"), start.plus(MINUTE * (n + 1)))).await;
    }
    desk.write(put("forever", Expect::Any, "x")).await;
    assert_eq!(desk.records.sweep(start, 100).await.unwrap(), 0);
    let now = start.plus(MINUTE * 6);
    assert_eq!(desk.records.sweep(now, 4).await.unwrap(), 4);
    assert_eq!(desk.records.sweep(now, 100).await.unwrap(), 2);
    assert_eq!(desk.records.sweep(now, 100).await.unwrap(), 0);
    // Asked as of the beginning, what was swept is gone all the same, and the rest is there.
    let found = desk.walk(Scan { now: start, ..desk.scan() }).await;
    assert_eq!(ids(&found), ["d6", "d7", "d8", "d9", "forever"]);
    let by_index = Scan { index: Some(("all", "yes".into())), now: start, ..desk.scan() };
    assert_eq!(desk.walk(by_index).await.len(), 4, "a sweep takes the index entries along");
}

/// A document whose moment was moved is not swept at the old one.
pub async fn a_renewed_document_is_not_swept(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    let start = desk.now();
    desk.write(expiring("later", start.plus(MINUTE))).await;
    desk.write(expiring("later", start.plus(MINUTE * 9))).await;
    desk.write(expiring("never", start.plus(MINUTE))).await;
    desk.write(put("never", Expect::Any, "x")).await;
    desk.write(expiring("gone", start.plus(MINUTE))).await;
    desk.write(delete("gone", Expect::Any)).await;
    assert_eq!(desk.records.sweep(start.plus(MINUTE * 5), 100).await.unwrap(), 0);
    assert_eq!(ids(&desk.walk(desk.scan()).await), ["later", "never"]);
    assert_eq!(desk.records.sweep(start.plus(MINUTE * 9), 100).await.unwrap(), 1);
    assert_eq!(ids(&desk.walk(desk.scan()).await), ["never"]);
}

/// A scan leaves out what has expired at its own moment, and its pages still come to an end.
pub async fn a_scan_leaves_out_what_expired(factory: &dyn RecordsFactory) {
    let desk = Desk::new(factory);
    let at = desk.now().plus(MINUTE);
    let batch = (0..60).map(|n| {
        let id = format!("d{n:02}");
        if n % 3 == 0 { put(&id, Expect::Any, "stays") } else { expiring(&id, at) }
    });
    desk.records.commit(batch.collect(), Durability::Synced, desk.now()).await.unwrap();
    assert_eq!(desk.walk(desk.scan()).await.len(), 60);
    for limit in [1, 7, 100] {
        let later = desk.walk(Scan { now: at, limit, ..desk.scan() }).await;
        assert_eq!(later.len(), 20);
        assert!(later.iter().all(|f| f.doc.data == "stays"));
        let by_index = Scan { index: Some(("all", "yes".into())), now: at, limit, ..desk.scan() };
        assert_eq!(desk.walk(by_index).await, []);
    }
}
