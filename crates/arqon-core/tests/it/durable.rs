//! Durable subscriptions: acknowledgement, redelivery, dead letters, take-over, restarts, inboxes.

use crate::world::*;
use arqon_core::bus::{From, Item, Subscribe, SubscribeOptions};
use arqon_core::port::Log;
use arqon_core::value::Value;
use arqon_core::{Code, Gap, Role};
use std::time::Duration;

#[tokio::test]
async fn it_goes_on_after_the_last_acknowledgement() {
    let world = World::new().await;
    for i in 0..4 {
        world.say("work:a", &i.to_string()).await;
    }
    let first = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    let got = first.deliveries(3).await;
    assert!(got.iter().all(|(_, attempt)| *attempt == 1));
    assert_eq!(first.acknowledge(&got[0].0).await, 1);
    assert_eq!(first.acknowledge(&got[2].0).await, 1);
    assert_eq!(first.acknowledge(&got[2].0).await, 0, "twice is fine");
    first.connection.close();
    drop(first);

    let second = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    let again = second.deliveries(2).await;
    let seen: Vec<_> = again.iter().map(|(r, attempt)| (text(r), *attempt)).collect();
    assert_eq!(seen, [("1".to_owned(), 2), ("3".to_owned(), 1)]);
    assert!(second.is_quiet().await);
}

#[tokio::test]
async fn a_restart_of_the_server_forgets_nothing_that_was_acknowledged() {
    let world = World::new().await;
    for i in 0..10 {
        world.say("work:a", &i.to_string()).await;
    }
    let first = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    let got = first.records(6).await;
    let up_to = Some(got[3].position);
    assert_eq!(first.connection.acknowledge(&first.id, None, (&[], up_to), true).await.unwrap(), 4);

    let world = world.restarted().await;
    let second = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    assert_eq!(second.texts(6).await, ["4", "5", "6", "7", "8", "9"]);
}

#[tokio::test]
async fn a_holder_that_outlives_the_server_acknowledges_again_what_the_server_has_forgotten() {
    let world = World::new().await;
    for i in 0..6 {
        world.say("work:a", &i.to_string()).await;
    }
    let first = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    let got = first.records(4).await;
    let done = [got[0].position, got[2].position, got[3].position];
    assert_eq!(first.connection.acknowledge(&first.id, None, (&done, None), false).await.unwrap(), 3);
    first.reject(&got[1], "not now");

    // It dies before any of that is on disk. What the holder says before it is handed out anything counts.
    let world = world.restarted().await;
    let request = Subscribe {
        options: SubscribeOptions { credit: Some(1), ..SubscribeOptions::default() },
        ..durably("work:*", "w")
    };
    let second = Listener::new(world.connect("w"), request).await;
    let room = Some(arqon_core::RoomName::parse("work").unwrap());
    let beyond = arqon_core::Position::new(got[0].position.epoch, got[0].position.offset + 6);
    let said = [done[0], done[1], done[2], beyond];
    second.connection.acknowledge(&second.id, room, (&said, None), true).await.unwrap();

    let world = world.restarted().await;
    world.say("work:a", "6").await;
    let third = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    // What does not exist yet cannot be acknowledged.
    assert_eq!(third.texts(4).await, ["1", "4", "5", "6"]);
}

#[tokio::test]
async fn a_gap_is_said_again_until_something_behind_it_is_acknowledged() {
    let world = World::new().await;
    for i in 0..4 {
        world.say("work:a", &i.to_string()).await;
    }
    let first = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    let got = first.records(1).await;
    first.acknowledge(&got[0]).await;
    first.connection.close();
    drop(first);
    world.log.trim(&got[0].room, got[0].position.offset + 2).await.unwrap();

    let begin = got[0].position.offset;
    let whole = |gap: &Gap| assert_eq!((gap.from.unwrap().offset, gap.to.offset), (begin, begin + 2));
    // Who is gone before it has acknowledged anything that came behind may not have heard.
    for _ in 0..2 {
        let listener = Listener::new(world.connect("w"), durably("work:*", "w")).await;
        whole(&listener.gap().await);
        listener.connection.close();
    }
    world.pass(Duration::from_millis(300)).await;
    let world = world.restarted().await;
    let listener = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    whole(&listener.gap().await);
    let record = listener.records(1).await.remove(0);
    assert_eq!(text(&record), "3");
    listener.acknowledge(&record).await;
    listener.connection.close();
    let last = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    assert!(last.is_quiet().await);
}

#[tokio::test]
async fn an_acknowledgement_up_to_a_place_leaves_what_was_rejected_also_after_a_restart() {
    let world = World::new().await;
    for i in 0..3 {
        world.say("work:a", &i.to_string()).await;
    }
    let first = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    let got = first.records(3).await;
    first.reject(&got[1], "not now");
    world.pass(Duration::from_millis(300)).await;

    let world = world.restarted().await;
    let second = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    let again = second.records(3).await;
    second.reject(&again[1], "not yet");
    second.connection.close();
    let third = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    let up_to = Some(got[2].position);
    third.connection.acknowledge(&third.id, None, (&[], up_to), true).await.unwrap();
    let fourth = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    assert_eq!(fourth.texts(1).await, ["1"]);
    assert!(fourth.is_quiet().await);
}

#[tokio::test]
async fn acknowledgements_reach_the_disk_by_themselves() {
    let world = World::new().await;
    world.say("work:a", "0").await;
    world.say("work:a", "1").await;
    let first = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    let got = first.records(2).await;
    first.acknowledge(&got[0]).await;
    world.pass(Duration::from_millis(300)).await;
    let world = world.restarted().await;
    let second = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    assert_eq!(second.texts(1).await, ["1"]);
}

#[tokio::test]
async fn what_is_not_acknowledged_in_time_comes_again_with_back_off() {
    let world = World::new().await;
    world.say("work:a", "slow").await;
    let listener = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    let (record, _) = listener.deliveries(1).await.remove(0);
    assert!(listener.is_quiet().await);
    world.pass(Duration::from_secs(32)).await;
    let (again, attempt) = listener.deliveries(1).await.remove(0);
    assert_eq!((again.position, attempt), (record.position, 2));
    listener.acknowledge(&again).await;
    world.pass(Duration::from_secs(40)).await;
    assert!(listener.is_quiet().await);
}

#[tokio::test]
async fn after_too_many_failures_it_is_a_dead_letter_with_the_reason() {
    let world = World::new().await;
    world.say("work:a", "poison").await;
    world.say("work:a", "fine").await;
    let options = SubscribeOptions { max_deliver: Some(3), ..SubscribeOptions::default() };
    let request = Subscribe { options, ..durably("work:*", "w") };
    let listener = Listener::new(world.connect("w"), request).await;
    let first = listener.records(2).await;
    listener.acknowledge(&first[1]).await;
    listener.reject(&first[0], "cannot parse");
    for _ in 0..2 {
        world.pass(Duration::from_secs(5)).await;
        let again = listener.records(1).await;
        assert_eq!(text(&again[0]), "poison");
        listener.reject(&again[0], "cannot parse");
    }
    world.pass(Duration::from_secs(60)).await;
    assert!(listener.is_quiet().await);

    let admin = caller("boss", "default", Role::Admin);
    let answer = world.call(&admin, "list_dead_letters", &[("subscription", "w".into())]).await.unwrap();
    let Some(Value::List(letters)) = answer.get("dead_letters") else { panic!("{answer:?}") };
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].get("reason").unwrap().as_text(), Some("rejected: cannot parse"));
    assert_eq!(letters[0].get("deliveries"), Some(&Value::Int(3)));

    let id = letters[0].get("id").unwrap().clone();
    world.call(&admin, "replay_dead_letter", &[("id", id.clone())]).await.unwrap();
    assert_eq!(listener.texts(1).await, ["poison"]);
    let gone = world.call(&admin, "get_dead_letter", &[("id", id)]).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test]
async fn a_message_that_kills_its_holder_ends_as_a_dead_letter_and_its_neighbours_do_not() {
    let world = World::new().await;
    for i in 0..3 {
        world.say("work:a", &i.to_string()).await;
    }
    for _ in 0..5 {
        let listener = Listener::new(world.connect("w"), durably("work:*", "w")).await;
        assert_eq!(listener.records(3).await.len(), 3);
        listener.connection.close();
    }
    let listener = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    assert_eq!(listener.texts(2).await, ["1", "2"]);
    world.pass(Duration::from_secs(1)).await;
    let admin = caller("boss", "default", Role::Admin);
    let answer = world.call(&admin, "list_dead_letters", &[("subscription", "w".into())]).await.unwrap();
    let Some(Value::List(letters)) = answer.get("dead_letters") else { panic!("{answer:?}") };
    assert_eq!(letters.len(), 1);
    let reason = "its subscriber went away while working on it";
    assert_eq!(letters[0].get("reason").unwrap().as_text(), Some(reason));
    assert_eq!(letters[0].get("deliveries"), Some(&Value::Int(5)));
}

#[tokio::test]
async fn a_newer_holder_fences_the_older_one() {
    let world = World::new().await;
    world.say("work:a", "0").await;
    let old = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    let got = old.records(1).await;
    let new = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    let refused =
        old.connection.acknowledge(&old.id, None, (&[got[0].position], None), false).await.unwrap_err();
    assert_eq!(refused.code(), Code::Fenced);
    match old.items(1).await.remove(0).item {
        Item::Ended(error) => assert_eq!(error.code(), Code::Fenced),
        other => panic!("{other:?}"),
    }
    assert_eq!(new.texts(1).await, ["0"]);
    world.say("work:a", "1").await;
    assert_eq!(new.texts(1).await, ["1"]);
    assert!(old.is_quiet().await);
}

#[tokio::test]
async fn credit_bounds_what_is_out() {
    let world = World::new().await;
    let options = SubscribeOptions { credit: Some(2), ..SubscribeOptions::default() };
    let listener = Listener::new(world.connect("w"), Subscribe { options, ..durably("work:*", "w") }).await;
    for i in 0..3000 {
        world.say("work:a", &i.to_string()).await;
    }
    for i in (0..3000).step_by(2) {
        let got = listener.records(2).await;
        assert_eq!([text(&got[0]), text(&got[1])], [i.to_string(), (i + 1).to_string()]);
        if i == 0 {
            assert!(listener.is_quiet().await);
        }
        let up_to = Some(got[1].position);
        listener.connection.acknowledge(&listener.id, None, (&[], up_to), false).await.unwrap();
    }
}

#[tokio::test]
async fn acknowledging_up_to_a_place_leaves_what_was_rejected() {
    let world = World::new().await;
    for i in 0..3 {
        world.say("work:a", &i.to_string()).await;
    }
    let listener = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    let got = listener.records(3).await;
    listener.reject(&got[0], "later");
    let up_to = Some(got[2].position);
    assert_eq!(listener.connection.acknowledge(&listener.id, None, (&[], up_to), false).await.unwrap(), 2);
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(listener.texts(1).await, ["0"]);
}

#[tokio::test]
async fn a_durable_name_keeps_its_pattern() {
    let world = World::new().await;
    Listener::new(world.connect("w"), durably("work:*", "w")).await;
    let refused = Listener::open(world.connect("w"), durably("other:*", "w")).await.err().unwrap();
    assert_eq!((refused.code(), refused.field()), (Code::Conflict, Some("args.durable")));
    let admin = caller("boss", "default", Role::Admin);
    world.call(&admin, "delete_subscription", &[("name", "w".into())]).await.unwrap();
    assert!(Listener::open(world.connect("w"), durably("other:*", "w")).await.is_ok());
}

#[tokio::test]
async fn from_counts_only_at_the_very_first_use() {
    let world = World::new().await;
    world.say("work:a", "old").await;
    let latest = Subscribe { from: From::Latest, ..durably("work:*", "w") };
    let listener = Listener::new(world.connect("w"), latest).await;
    world.say("work:a", "new").await;
    world.say("fresh:a", "elsewhere").await;
    let got = listener.records(1).await;
    assert_eq!(text(&got[0]), "new");
    listener.connection.close();
    let again = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    assert_eq!(again.texts(1).await, ["new"]);
}

#[tokio::test]
async fn an_inbox_waits_for_its_agent_and_forgets_what_is_acknowledged() {
    let world = World::new().await;
    world.say("@planner", "hello").await;
    world.say("@all", "before you came").await;
    let agent = Listener::new(world.agent("planner", &[]), to("@planner", From::Latest)).await;
    let got = agent.records(1).await;
    assert_eq!(text(&got[0]), "hello");
    world.say("@all", "everyone").await;
    let all = agent.records(1).await;
    assert_eq!(text(&all[0]), "everyone");
    agent.acknowledge(&got[0]).await;
    agent.acknowledge(&all[0]).await;
    world.pass(Duration::from_secs(12)).await;
    let admin = caller("boss", "default", Role::Admin);
    let answer = world.call(&admin, "history", &[("address", "@planner".into())]).await.unwrap();
    assert_eq!(answer.get("messages"), Some(&Value::List(Vec::new())));
    assert!(agent.is_quiet().await);
}

#[tokio::test]
async fn work_for_a_skill_goes_round_among_those_online() {
    let world = World::new().await;
    let nobody = world.try_say("@skill/translate", "x").await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unavailable);
    let a = Listener::new(world.agent("a", &["translate"]), to("@a", From::Latest)).await;
    let b = Listener::new(world.agent("b", &["translate", "other"]), to("@b", From::Latest)).await;
    for i in 0..4 {
        world.say("@skill/translate", &i.to_string()).await;
    }
    let (mine, yours) = (a.texts(2).await, b.texts(2).await);
    let mut all = [mine, yours].concat();
    all.sort();
    assert_eq!(all, ["0", "1", "2", "3"]);
    a.connection.close();
    world.say("@skill/translate", "4").await;
    assert_eq!(b.texts(1).await, ["4"]);
}

#[tokio::test]
async fn an_expired_message_is_named_as_a_dead_letter() {
    let world = World::new().await;
    let soon = arqon_core::env::Clock::now(&*world.clock).plus(Duration::from_secs(1));
    let publish = with_extras("work:a", "stale", |e| e.expires_at = Some(soon));
    world.publish(&user("a"), publish).await.unwrap();
    world.say("work:a", "fresh").await;
    world.pass(Duration::from_secs(2)).await;
    let listener = Listener::new(world.connect("w"), durably("work:*", "w")).await;
    assert_eq!(listener.texts(1).await, ["fresh"]);
    world.pass(Duration::from_millis(200)).await;
    let admin = caller("boss", "default", Role::Admin);
    let answer = world.call(&admin, "list_dead_letters", &[]).await.unwrap();
    let Some(Value::List(letters)) = answer.get("dead_letters") else { panic!("{answer:?}") };
    assert_eq!(letters[0].get("reason").unwrap().as_text(), Some("expired before it was delivered"));
}
