//! Plain subscriptions: replay joined to live, resumption, wildcards, falling behind, gaps.

use crate::world::*;
use arqon_core::bus::{From, Item, SubscribeOptions};
use arqon_core::limits::Limits;
use arqon_core::{Class, GapReason, Pattern, RoomKey, RoomName, Tenant};
use std::time::Duration;

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|i| i.to_string()).collect()
}

#[tokio::test]
async fn replay_joins_live_with_neither_gap_nor_duplicate() {
    let world = World::new().await;
    for i in 0..300 {
        world.say("repo:main", &i.to_string()).await;
    }
    let listener = Listener::new(world.connect("reader"), to("repo:*", From::Earliest)).await;
    let bus = world.bus.clone();
    let writer = tokio::task::spawn(async move {
        for i in 300..2000 {
            let stored = bus.publish(&user("someone"), vec![message("repo:main", &i.to_string())]).await;
            stored.into_iter().for_each(|r| drop(r.unwrap()));
            if i % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
    });
    assert_eq!(listener.texts(2000).await, numbers(0..2000));
    writer.await.unwrap();
    assert!(listener.is_quiet().await);
}

#[tokio::test]
async fn a_reader_that_falls_behind_reads_on_from_the_log() {
    let limits = Limits { queue_records: 8, ..Limits::default() };
    let world = World::with(limits, Vec::new()).await;
    let listener = Listener::new(world.connect("slow"), to("repo:main", From::Latest)).await;
    for i in 0..500 {
        world.say("repo:main", &i.to_string()).await;
    }
    assert_eq!(listener.texts(500).await, numbers(0..500));
    world.say("repo:main", "500").await;
    assert_eq!(listener.texts(1).await, ["500"]);
}

#[tokio::test]
async fn latest_begins_after_the_answer_and_resumes_by_position() {
    let world = World::new().await;
    world.say("repo:main", "before").await;
    let listener = Listener::new(world.connect("a"), to("repo:main", From::Latest)).await;
    let first = world.say("repo:main", "1").await;
    world.say("repo:other", "not mine").await;
    assert_eq!(listener.texts(1).await, ["1"]);
    listener.connection.close();
    world.say("repo:main", "2").await;
    let again = Listener::new(world.connect("a"), to("repo:main", after(first.position))).await;
    assert_eq!(again.texts(1).await, ["2"]);
    assert!(again.is_quiet().await);
}

#[tokio::test]
async fn what_comes_between_an_answer_and_a_reconnect_is_not_missed() {
    let world = World::new().await;
    world.say("repo:main", "before").await;
    let connection = world.connect("a");
    let begun = connection.subscribe(&connection.ctx(), to("repo:*", From::Latest)).await.unwrap();
    connection.close();
    world.say("repo:main", "while away").await;
    let from = From::Positions { one: Vec::new(), rooms: begun.positions };
    let again = Listener::new(world.connect("a"), to("repo:*", from)).await;
    assert_eq!(again.texts(1).await, ["while away"]);
}

#[tokio::test]
async fn a_wildcard_hears_rooms_that_come_into_being_later() {
    let world = World::new().await;
    world.say("old:a", "old").await;
    let listener = Listener::new(world.connect("a"), to("*", From::Latest)).await;
    let narrow = Listener::new(world.connect("b"), to("*:b", From::Earliest)).await;
    for (address, text) in [("new:a", "1"), ("new:b", "2"), ("old:b:c", "3")] {
        world.say(address, text).await;
        assert_eq!(listener.texts(1).await, [text]);
    }
    assert_eq!(narrow.texts(1).await, ["2"]);
    assert!(narrow.is_quiet().await);
}

#[tokio::test]
async fn one_connection_may_hold_many_subscriptions() {
    let world = World::new().await;
    let connection = world.connect("a");
    let one = Listener::new(connection.clone(), to("repo:main", From::Latest)).await;
    let two = Listener::new(connection.clone(), to("repo:**", From::Latest)).await;
    world.say("repo:main", "x").await;
    let mut ids: Vec<_> = one.items(2).await.into_iter().map(|o| o.subscription).collect();
    ids.sort();
    assert_eq!(ids, [one.id.clone(), two.id.clone()]);
    connection.unsubscribe(&two.id).unwrap();
    world.say("repo:main", "y").await;
    assert_eq!(one.texts(1).await, ["y"]);
    assert!(one.is_quiet().await);
    assert_eq!(connection.unsubscribe(&two.id).unwrap_err().field(), Some("args.subscription"));
}

#[tokio::test]
async fn credit_holds_deliveries_back() {
    let world = World::new().await;
    let options = SubscribeOptions { credit: Some(2), ..SubscribeOptions::default() };
    let request = arqon_core::bus::Subscribe { options, ..to("repo:main", From::Earliest) };
    for i in 0..5 {
        world.say("repo:main", &i.to_string()).await;
    }
    let listener = Listener::new(world.connect("a"), request).await;
    assert_eq!(listener.texts(2).await, ["0", "1"]);
    assert!(listener.is_quiet().await);
    listener.connection.add_credit(&listener.id, 2).unwrap();
    assert_eq!(listener.texts(2).await, ["2", "3"]);
    assert!(listener.is_quiet().await);
}

#[tokio::test]
async fn a_trimmed_position_is_answered_with_a_gap() {
    let world = World::new().await;
    let first = world.say("repo:main", "0").await;
    for i in 1..10 {
        world.say("repo:main", &i.to_string()).await;
    }
    let key = RoomKey::new(Tenant::default(), RoomName::parse("repo").unwrap());
    arqon_core::port::Log::trim(&*world.log, &key, 5).await.unwrap();
    let listener = Listener::new(world.connect("a"), to("repo:main", after(first.position))).await;
    let gap = listener.gap().await;
    assert_eq!((gap.reason, gap.to.offset), (GapReason::Trimmed, 5));
    assert_eq!(listener.texts(5).await, numbers(5..10));
}

#[tokio::test]
async fn a_position_of_another_history_is_answered_with_a_gap() {
    let world = World::new().await;
    world.say("repo:main", "here").await;
    let foreign = arqon_core::Position::parse("abc123-77").unwrap();
    let listener = Listener::new(world.connect("a"), to("repo:main", after(foreign))).await;
    assert_eq!(listener.gap().await.reason, GapReason::EpochChanged);
    assert_eq!(listener.texts(1).await, ["here"]);
}

#[tokio::test]
async fn history_keeps_the_last_n_of_each_channel() {
    let world = World::with(Limits::default(), vec![policy("chat:**", Class::History, 3)]).await;
    for i in 0..10 {
        world.say("chat:a", &format!("a{i}")).await;
    }
    world.say("chat:b", "b0").await;
    let listener = Listener::new(world.connect("x"), to("chat:*", From::Earliest)).await;
    assert_eq!(listener.texts(4).await, ["a7", "a8", "a9", "b0"]);
    world.say("chat:a", "a10").await;
    assert_eq!(listener.texts(1).await, ["a10"]);
}

#[tokio::test]
async fn an_overrun_ephemeral_reader_is_told() {
    let limits = Limits { queue_records: 4, ..Limits::default() };
    let world = World::with(limits, vec![policy("term:*", Class::Ephemeral, 0)]).await;
    let listener = Listener::new(world.connect("x"), to("term:1", From::Latest)).await;
    for i in 0..10 {
        world.say("term:1", &i.to_string()).await;
    }
    assert_eq!(listener.texts(4).await, numbers(0..4));
    let gap = listener.gap().await;
    assert_eq!((gap.reason, gap.to.offset), (GapReason::Overrun, 10));
    world.say("term:1", "later").await;
    assert_eq!(listener.texts(1).await, ["later"]);
    let fell_behind = |metric: &arqon_core::bus::Metric| metric.name == "subscriptions_fell_behind_total";
    assert_eq!(world.bus.metrics().iter().find(|m| fell_behind(m)).map(|m| m.value), Some(1.0));
}

#[tokio::test]
async fn an_urgent_room_overtakes_and_order_within_a_room_holds() {
    let world = World::new().await;
    let connection = world.connect("x");
    let calm = Listener::new(connection.clone(), to("calm:a", From::Latest)).await;
    Listener::new(connection.clone(), to("alarm:a", From::Latest)).await;
    // Both rooms are live from here on, so that what waits, waits in the mailbox.
    assert!(calm.is_quiet().await);
    world.say("calm:a", "1").await;
    world.say("calm:a", "2").await;
    let mut urgent = message("alarm:a", "fire");
    urgent.priority = arqon_core::Priority::Critical;
    world.publish(&user("someone"), urgent).await.unwrap();
    assert_eq!(calm.texts(3).await, ["fire", "1", "2"]);
}

#[tokio::test]
async fn expired_messages_are_not_delivered() {
    let world = World::new().await;
    let now = arqon_core::env::Clock::now(&*world.clock);
    let soon = now.plus(Duration::from_secs(1));
    let publish = with_extras("repo:main", "stale", |e| e.expires_at = Some(soon));
    world.publish(&user("a"), publish).await.unwrap();
    world.say("repo:main", "fresh").await;
    world.pass(Duration::from_secs(2)).await;
    let listener = Listener::new(world.connect("x"), to("repo:main", From::Earliest)).await;
    assert_eq!(listener.texts(1).await, ["fresh"]);
}

#[tokio::test]
async fn a_closed_connection_ends_its_stream() {
    let world = World::new().await;
    let listener = Listener::new(world.connect("x"), to("repo:main", From::Latest)).await;
    listener.connection.close();
    let mut out: Vec<arqon_core::bus::Outgoing> = Vec::new();
    assert!(listener.connection.next(&mut out, 1).await.is_err());
    let pattern = Pattern::parse("repo:main").unwrap();
    let request = arqon_core::bus::Subscribe { pattern, ..to("repo:main", From::Latest) };
    assert!(listener.connection.subscribe(&listener.connection.ctx(), request).await.is_err());
    assert!(!out.iter().any(|o| matches!(o.item, Item::Delivery(_))));
}

#[tokio::test]
async fn who_comes_back_finds_the_kept_history_where_it_was_left() {
    let world = World::with(Limits::default(), vec![policy("chat:*", Class::History, 10)]).await;
    for said_before in [false, true] {
        let connection = world.connect("a");
        let begun = connection.subscribe(&connection.ctx(), to("chat:*", From::Latest)).await.unwrap();
        connection.close();
        world.say("chat:a", &format!("while away {said_before}")).await;
        let from = From::Positions { one: Vec::new(), rooms: begun.positions };
        let again = Listener::new(world.connect("a"), to("chat:*", from)).await;
        assert_eq!(again.texts(1).await, [format!("while away {said_before}")]);
        assert!(again.is_quiet().await);
    }
}

#[tokio::test]
async fn latest_means_now_for_rooms_that_were_not_used_since_the_start() {
    let world = World::new().await;
    world.say("old:a", "long ago").await;
    let world = world.restarted().await;
    let listener = Listener::new(world.connect("a"), to("*", From::Latest)).await;
    assert!(listener.is_quiet().await);
}
