//! Listings: rooms, channels, extents; the wall between tenants; the end.

use super::{LogFactory, Rig, room, room_of};
use arqon_core::Tenant;
use arqon_core::env::Clock;
use arqon_core::port::{ChannelFilter, Read, ReadFrom, StoreErrorKind};
use std::time::Duration;

/// Rooms come in the order of their names, channels too, with what is known of them.
pub async fn rooms_and_channels_are_listed_in_order(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    for name in ["b", "a-1", "@agent", "a", "Z"] {
        rig.fill(&room(name), "main", 1).await;
    }
    let rooms = rig.log.rooms(&Tenant::default()).await.unwrap();
    let names: Vec<_> = rooms.iter().map(|key| key.room().as_str()).collect();
    assert_eq!(names, ["@agent", "Z", "a", "a-1", "b"]);
    let room = room("b");
    for channel in ["x:y", "x", "main", "x"] {
        rig.world.clock.advance(Duration::from_secs(1));
        rig.fill(&room, channel, 1).await;
    }
    let stats = rig.log.channels(&room).await.unwrap();
    let told: Vec<_> = stats.iter().map(|s| (s.channel.as_str(), s.records, s.last.offset)).collect();
    assert_eq!(told, [("main", 2, 4), ("x", 2, 5), ("x:y", 1, 2)]);
    assert_eq!(stats[1].last_stored_at, rig.world.clock.now());
    rig.log.trim(&room, 2).await.unwrap();
    let stats = rig.log.channels(&room).await.unwrap();
    let told: Vec<_> = stats.iter().map(|s| (s.channel.as_str(), s.records)).collect();
    assert_eq!(told, [("main", 1), ("x", 2)], "a channel without records is not listed");
}

/// The extent of a room tells where it begins and ends and how much is in it.
pub async fn bounds_tell_the_extent(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    let positions = rig.fill(&room, "main", 10).await;
    let full = rig.log.bounds(&room).await.unwrap().unwrap();
    assert_eq!((full.start.offset, full.end, full.records), (0, positions[9], 10));
    assert_eq!(full.start.epoch, full.end.epoch);
    assert!(full.bytes > 0);
    rig.log.trim(&room, 4).await.unwrap();
    let rest = rig.log.bounds(&room).await.unwrap().unwrap();
    assert_eq!((rest.start, rest.end, rest.records), (positions[3], positions[9], 6));
    assert!(rest.bytes < full.bytes);
    let walked = rig.after(&room, rest.start).await;
    assert_eq!((walked.records.len(), walked.gaps.len()), (6, 0), "after `start` nothing is missing");
    let stats = rig.log.stats();
    assert_eq!((stats.rooms, stats.records, stats.damaged), (1, 6, 0));
    assert!(rig.log.health().is_ok());
}

/// Rooms of the same name in two tenants have nothing in common.
pub async fn tenants_never_see_each_other(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let (ours, theirs) = (room_of("ours", "repo"), room_of("theirs", "repo"));
    rig.append(vec![rig.entry(&ours, "main"), rig.entry(&theirs, "main"), rig.entry(&theirs, "secret")])
        .await;
    assert_eq!(rig.log.tenants().await.unwrap(), [ours.tenant().clone(), theirs.tenant().clone()]);
    assert_eq!(rig.log.rooms(ours.tenant()).await.unwrap(), [(*ours).clone()]);
    assert_eq!(rig.log.rooms(&Tenant::parse("our").unwrap()).await.unwrap(), []);
    assert_eq!(rig.all(&ours).await.offsets(), [1]);
    assert_eq!(rig.all(&theirs).await.offsets(), [1, 2]);
    assert_eq!(rig.log.channels(&ours).await.unwrap().len(), 1);
    let (a, b) =
        (rig.log.bounds(&ours).await.unwrap().unwrap(), rig.log.bounds(&theirs).await.unwrap().unwrap());
    assert_ne!(a.end.epoch, b.end.epoch, "a position of one tells nothing in the other");
    rig.log.trim(&theirs, 2).await.unwrap();
    assert_eq!(rig.all(&ours).await.offsets(), [1]);
}

/// A closed log answers so, to everything.
pub async fn a_closed_log_refuses(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    let queued = rig.log.append(vec![rig.entry(&room, "main")]);
    rig.log.close().await.unwrap();
    assert!(queued.await.unwrap()[0].is_ok(), "what was queued before is stored");
    let closed = Some(StoreErrorKind::Closed);
    let append = rig.log.append(vec![rig.entry(&room, "main")]).await;
    assert_eq!(append.err().map(|e| e.kind), closed);
    let (from, filter) = (ReadFrom::Earliest, ChannelFilter::All);
    let read = Read { room: room.clone(), from, filter, max_records: 1, max_bytes: 1 };
    assert_eq!(rig.log.read(read).await.err().map(|e| e.kind), closed);
    assert_eq!(rig.log.bounds(&room).await.err().map(|e| e.kind), closed);
    assert_eq!(rig.log.rooms(room.tenant()).await.err().map(|e| e.kind), closed);
    assert_eq!(rig.log.trim(&room, 1).await.err().map(|e| e.kind), closed);
    assert_eq!(rig.log.health().err().map(|e| e.kind), closed);
    assert!(rig.log.close().await.is_ok(), "closing twice is fine");
}
