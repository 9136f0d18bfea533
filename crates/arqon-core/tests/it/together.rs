//! Many writers and readers at once, on several threads, with queues so small that readers keep falling behind.

use crate::world::*;
use arqon_core::bus::{From, Item, Subscribe, SubscribeOptions};
use arqon_core::limits::Limits;
use arqon_core::{Bus, Delivery, Position, RoomName};
use arqon_store_contract::SeededRandom;
use std::collections::BTreeMap;

const ROOMS: [&str; 3] = ["r0", "r1", "r2"];
const PER_ROOM: u64 = 3000;

async fn write(bus: Bus, room: &'static str, seed: u64) {
    let random = SeededRandom::new(seed);
    let mut left = PER_ROOM;
    while left > 0 {
        let count = random.below(20).min(left - 1) + 1;
        let address = format!("{room}:c{}", random.below(3));
        let batch = (0..count).map(|_| message(&address, "x")).collect();
        bus.publish(&user("writer"), batch).await.into_iter().for_each(|r| drop(r.unwrap()));
        left -= count;
    }
}

/// Reads everything of a pattern, hanging up at random and going on from its own positions.
async fn read(bus: Bus, pattern: &'static str, rooms: usize, seed: u64) {
    let random = SeededRandom::new(seed);
    let mut last: BTreeMap<RoomName, Position> = BTreeMap::new();
    let mut from = From::Earliest;
    let total = PER_ROOM * rooms as u64;
    let mut seen = 0;
    while seen < total {
        let connection = bus.connect(user("reader"), Default::default()).unwrap();
        connection.subscribe(&connection.ctx(), to(pattern, from)).await.unwrap();
        let mut turns = random.below(40) + 1;
        while turns > 0 && seen < total {
            turns -= 1;
            let mut out = Vec::new();
            connection.next(&mut out, random.below(30) as usize + 1).await.unwrap();
            for outgoing in out {
                let Item::Delivery(Delivery::Record { record, .. }) = outgoing.item else {
                    panic!("{outgoing:?}")
                };
                let room = record.room.room().clone();
                let before = last.get(&room).map_or(0, |p| p.offset);
                assert_eq!(record.position.offset, before + 1, "{pattern} in {room}");
                last.insert(room, record.position);
                seen += 1;
            }
        }
        let positions = last.iter().map(|(room, p)| (room.clone(), vec![*p])).collect();
        from = From::Positions { one: Vec::new(), rooms: positions };
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_reader_gets_every_record_once_and_in_order() {
    for round in 0..5 {
        let limits = Limits { queue_records: 4, ..Limits::default() };
        let world = World::with(limits, Vec::new()).await;
        let mut tasks = Vec::new();
        for (i, room) in (0..).zip(ROOMS) {
            tasks.push(tokio::task::spawn(write(world.bus.clone(), room, round * 100 + i)));
        }
        for (i, (pattern, rooms)) in (0..).zip([("*", 3), ("r0:*", 1), ("r1:**", 1), ("**", 3), ("*:*", 3)]) {
            tasks.push(tokio::task::spawn(read(world.bus.clone(), pattern, rooms, round * 100 + 50 + i)));
        }
        for task in tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_durable_name_handed_around_loses_nothing() {
    let limits = Limits { queue_records: 4, ..Limits::default() };
    let world = World::with(limits, Vec::new()).await;
    let writer = tokio::task::spawn(write(world.bus.clone(), "r0", 1));
    let random = SeededRandom::new(2);
    let mut done = vec![false; PER_ROOM as usize + 1];
    let mut left = PER_ROOM;
    while left > 0 {
        let connection = world.connect("w");
        let options = SubscribeOptions { max_deliver: Some(1000), ..SubscribeOptions::default() };
        let request = Subscribe { options, ..durably("r0:*", "w") };
        let begun = connection.subscribe(&connection.ctx(), request).await.unwrap();
        for _ in 0..random.below(30) + 1 {
            if left == 0 {
                break;
            }
            let mut out = Vec::new();
            connection.next(&mut out, 16).await.unwrap();
            let positions: Vec<Position> = out
                .iter()
                .map(|o| match &o.item {
                    Item::Delivery(Delivery::Record { record, .. }) => record.position,
                    other => panic!("{other:?}"),
                })
                .filter(|_| !random.one_in(5))
                .collect();
            connection.acknowledge(&begun.id, None, (&positions, None), false).await.unwrap();
            for position in &positions {
                let slot = &mut done[position.offset as usize];
                assert!(!*slot, "{position} came again after it was acknowledged");
                *slot = true;
                left -= 1;
            }
            if positions.len() < out.len() {
                // The rest comes again only to the next holder.
                break;
            }
        }
        connection.close();
    }
    writer.await.unwrap();
}
