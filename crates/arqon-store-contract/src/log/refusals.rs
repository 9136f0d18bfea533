//! Refusals for the moment: what was on its way behind a refused message does not overtake it.

use super::{LogFactory, Rig, kind_of, room};
use arqon_core::RoomKey;
use arqon_core::port::{Append, StoreErrorKind};
use std::sync::Arc;
use std::time::Duration;

/// Longer than any engine leaves alone what has failed.
const MENDED: Duration = Duration::from_secs(5);

fn numbers(rig: &Rig, room: &Arc<RoomKey>, sequences: &[u64]) -> Vec<Append> {
    sequences.iter().map(|n| rig.sequenced(room, "p", *n)).collect()
}

/// Sends while nothing can be stored; answers whether that can be in this engine.
async fn refuse(factory: &dyn LogFactory, rig: &Rig, batches: Vec<Vec<Append>>) -> bool {
    if !factory.trouble(true) {
        return false;
    }
    // Queued before the first answer is there, as a client does that does not wait.
    let answers: Vec<_> = batches.into_iter().map(|batch| rig.log.append(batch)).collect();
    for answer in answers {
        let refused = match answer.await {
            Err(error) => vec![error],
            Ok(entries) => entries.into_iter().filter_map(Result::err).collect(),
        };
        let for_now = |kind| matches!(kind, StoreErrorKind::Unavailable | StoreErrorKind::Unknown);
        assert!(!refused.is_empty() && refused.iter().all(|e| for_now(e.kind)), "{refused:?}");
    }
    assert!(factory.trouble(false));
    rig.world.clock.advance(MENDED);
    true
}

/// Of one producer in one room, nothing is stored before what was refused for the moment and sent earlier.
pub async fn what_was_refused_for_the_moment_is_not_overtaken(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let (room, other) = (room("repo"), room("other"));
    rig.append(numbers(&rig, &room, &[1, 2])).await;
    let lost = vec![numbers(&rig, &room, &[3, 4]), numbers(&rig, &room, &[6])];
    if refuse(factory, &rig, lost).await {
        let behind = rig.try_append(numbers(&rig, &room, &[7, 2, 4])).await;
        assert_eq!(kind_of(&behind[0]), Some(StoreErrorKind::Unavailable), "the third is missing");
        assert!(behind[1].as_ref().is_ok_and(|a| a.duplicate), "what is stored is stored");
        assert_eq!(kind_of(&behind[2]), Some(StoreErrorKind::Unavailable));
        // Nobody else is concerned, nor the same producer elsewhere, nor what has no number.
        let free =
            vec![rig.sequenced(&room, "q", 9), rig.sequenced(&other, "p", 9), rig.entry(&room, "main")];
        rig.append(free).await;
        rig.append(numbers(&rig, &room, &[3])).await;
        let behind = rig.try_append(numbers(&rig, &room, &[7])).await;
        assert_eq!(kind_of(&behind[0]), Some(StoreErrorKind::Unavailable), "so are the fourth and the sixth");
    } else {
        rig.append(numbers(&rig, &room, &[3])).await;
    }
    let again = rig.append(numbers(&rig, &room, &[4, 6, 7, 8])).await;
    assert!(again.iter().all(|a| !a.duplicate), "what was refused was not stored");
    let walked = rig.all(&room).await;
    let producers = walked.records.iter().filter_map(|record| record.message.producer());
    let stored: Vec<u64> = producers.filter(|p| &*p.id == "p").map(|p| p.sequence).collect();
    assert_eq!(stored, [1, 2, 3, 4, 6, 7, 8]);
}

/// A client that gives a refused message up can go on under the same name after a minute.
pub async fn what_is_not_sent_again_holds_back_for_a_minute(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    if refuse(factory, &rig, vec![numbers(&rig, &room, &[1])]).await {
        for _ in 0..2 {
            let behind = rig.try_append(numbers(&rig, &room, &[2])).await;
            assert_eq!(kind_of(&behind[0]), Some(StoreErrorKind::Unavailable));
            rig.world.clock.advance(Duration::from_secs(20));
        }
        rig.world.clock.advance(Duration::from_secs(21));
    }
    let stored = rig.append(numbers(&rig, &room, &[2, 1])).await;
    assert_eq!((stored[0].position.offset, stored[1].position.offset), (1, 2));
}
