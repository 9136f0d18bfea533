//! Deduplication: by idempotency key for a day, by producer and sequence within a window.

use super::{LogFactory, Rig, kind_of, room, room_of};
use arqon_core::port::{Appended, StoreErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const HOUR: Duration = Duration::from_secs(3600);

fn duplicate_of(first: &Appended) -> Appended {
    Appended { position: first.position, duplicate: true }
}

/// The same key is stored once, within a batch and over batches, and answers with the first one's place.
pub async fn a_key_is_stored_once(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    let batch = vec![rig.keyed(&room, "main", "k"), rig.entry(&room, "main"), rig.keyed(&room, "other", "k")];
    let first = rig.append(batch).await;
    assert!(!first[0].duplicate);
    assert_eq!(first[2], duplicate_of(&first[0]));
    rig.fill(&room, "main", 5).await;
    let later = rig.append(vec![rig.keyed(&room, "main", "k"), rig.keyed(&room, "main", "l")]).await;
    assert_eq!(later[0], duplicate_of(&first[0]));
    assert_eq!((later[1].position.offset, later[1].duplicate), (8, false), "a duplicate takes no offset");
    assert_eq!(rig.all(&room).await.offsets(), (1..=8).collect::<Vec<_>>());
    assert_eq!(rig.seen.count(), 8);
}

/// A key is known until 24 hours after it was stored, and not after.
pub async fn a_key_is_forgotten_after_a_day(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    let first = rig.append(vec![rig.keyed(&room, "main", "k")]).await;
    rig.world.clock.advance(23 * HOUR);
    let second = rig.append(vec![rig.keyed(&room, "main", "k"), rig.keyed(&room, "main", "m")]).await;
    assert_eq!(second[0], duplicate_of(&first[0]), "a duplicate is known for a day");
    rig.world.clock.advance(HOUR + Duration::from_secs(1));
    let third = rig.append(vec![rig.keyed(&room, "main", "k"), rig.keyed(&room, "main", "m")]).await;
    assert!(!third[0].duplicate, "asking does not lengthen the day");
    assert_eq!(third[1], duplicate_of(&second[1]));
    let fourth = rig.append(vec![rig.keyed(&room, "main", "k")]).await;
    assert_eq!(fourth[0], duplicate_of(&third[0]), "stored anew, it is known anew");
}

/// A producer's sequence is stored once, within a batch and over batches.
pub async fn a_sequence_is_stored_once(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    let batch = [1, 2, 2, 3, 1].map(|n| rig.sequenced(&room, "p", n)).into();
    let first = rig.append(batch).await;
    let duplicates: Vec<bool> = first.iter().map(|a| a.duplicate).collect();
    assert_eq!(duplicates, [false, false, true, false, true]);
    assert_eq!((first[2], first[4]), (duplicate_of(&first[1]), duplicate_of(&first[0])));
    let later = [3, 4].map(|n| rig.sequenced(&room, "p", n)).into();
    let later = rig.append(later).await;
    assert_eq!(later[0], duplicate_of(&first[3]));
    assert_eq!((later[1].position.offset, later[1].duplicate), (4, false));
    let other = rig.append(vec![rig.sequenced(&room, "q", 3)]).await;
    assert!(!other[0].duplicate, "producers count for themselves");
}

/// The last 1,024 sequences are known; what lies below is refused, since nobody can tell.
pub async fn the_window_of_a_producer_has_edges(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    let window = (1..=1024).map(|n| rig.sequenced(&room, "p", n)).collect();
    let first = rig.append(window).await;
    assert!(first.iter().all(|a| !a.duplicate));
    let edge = rig.append(vec![rig.sequenced(&room, "p", 1)]).await;
    assert_eq!(edge[0], duplicate_of(&first[0]), "1,024 are remembered");
    rig.append(vec![rig.sequenced(&room, "p", 1025)]).await;
    let answers = rig.try_append([1, 2, 1024, 1025].map(|n| rig.sequenced(&room, "p", n)).into()).await;
    assert_eq!(kind_of(&answers[0]), Some(StoreErrorKind::Conflict));
    assert_eq!(answers[1].as_ref().unwrap(), &duplicate_of(&first[1]));
    assert_eq!(answers[2].as_ref().unwrap(), &duplicate_of(&first[1023]));
    assert_eq!(answers[3].as_ref().unwrap().position.offset, 1025);
    assert_eq!(rig.log.bounds(&room).await.unwrap().unwrap().end.offset, 1025);
}

/// A sequence that was left out and comes later is taken, once, if it is still inside the window.
pub async fn a_missing_sequence_inside_the_window_is_accepted(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    rig.append([1, 2, 5, 6].map(|n| rig.sequenced(&room, "p", n)).into()).await;
    let late = rig.append([4, 3, 4].map(|n| rig.sequenced(&room, "p", n)).into()).await;
    assert_eq!((late[0].position.offset, late[0].duplicate), (5, false));
    assert_eq!((late[1].position.offset, late[1].duplicate), (6, false));
    assert_eq!(late[2], duplicate_of(&late[0]));
}

/// One entry that is refused or a duplicate leaves the rest of its batch alone.
pub async fn a_refused_entry_does_not_touch_the_others(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    rig.append((1..=1100).map(|n| rig.sequenced(&room, "p", n)).collect()).await;
    let batch = vec![rig.entry(&room, "main"), rig.sequenced(&room, "p", 1), rig.sequenced(&room, "p", 1101)];
    let answers = rig.try_append(batch).await;
    assert_eq!(answers[0].as_ref().unwrap().position.offset, 1101);
    assert_eq!(kind_of(&answers[1]), Some(StoreErrorKind::Conflict));
    assert_eq!(answers[2].as_ref().unwrap().position.offset, 1102);
    assert_eq!(rig.seen.count(), 1102);
}

/// The same key or sequence in another room, or in the same room of another tenant, is another one.
pub async fn rooms_and_tenants_deduplicate_apart(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    for room in [room("a"), room("b"), room_of("other", "a")] {
        let appended = rig.append(vec![rig.keyed(&room, "main", "k"), rig.sequenced(&room, "p", 1)]).await;
        assert!(appended.iter().all(|a| !a.duplicate), "{room}");
    }
}

/// Of many that append the same key at once, one is stored.
pub async fn parallel_duplicates_are_stored_once(factory: &dyn LogFactory) {
    let rig = Arc::new(Rig::new(factory));
    let room = room("repo");
    let mut writers = JoinSet::new();
    for _ in 0..8 {
        let (rig, room) = (rig.clone(), room.clone());
        writers.spawn(async move {
            let mut answers = Vec::new();
            for n in 0..20 {
                answers.extend(rig.append(vec![rig.keyed(&room, "main", &format!("k{n}"))]).await);
            }
            answers
        });
    }
    let answers: Vec<Vec<Appended>> = writers.join_all().await;
    for n in 0..20 {
        let of_key: Vec<_> = answers.iter().map(|a| a[n]).collect();
        assert_eq!(of_key.iter().filter(|a| !a.duplicate).count(), 1, "one of all is stored");
        assert!(of_key.iter().all(|a| a.position == of_key[0].position), "all name the same place");
    }
    assert_eq!(rig.all(&room).await.records.len(), 20);
}
