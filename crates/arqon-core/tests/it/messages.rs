//! Publishing: deduplication, limits, request and reply, delivery policies, draining.

use crate::world::*;
use arqon_core::bus::From;
use arqon_core::limits::Limits;
use arqon_core::message::Producer;
use arqon_core::value::Value;
use arqon_core::{Class, Code, Message, MessageId, Role};
use std::time::Duration;

#[tokio::test]
async fn a_key_is_stored_once_and_answers_with_the_first_position() {
    let world = World::new().await;
    let keyed = |text: &str| with_extras("repo:main", text, |e| e.idempotency_key = Some("k1".into()));
    let first = world.publish(&user("a"), keyed("1")).await.unwrap();
    let second = world.publish(&user("a"), keyed("2")).await.unwrap();
    assert_eq!((first.position, first.duplicate), (second.position, false));
    assert!(second.duplicate);
    let listener = Listener::new(world.connect("x"), to("repo:main", From::Earliest)).await;
    assert_eq!(listener.texts(1).await, ["1"]);
    assert!(listener.is_quiet().await);
}

#[tokio::test]
async fn a_producers_retry_is_stored_once_even_in_one_batch() {
    let world = World::new().await;
    let numbered = |sequence: u64| {
        with_extras("repo:main", &sequence.to_string(), |e| {
            e.producer = Some(Producer { id: "p".into(), sequence });
        })
    };
    let batch = vec![numbered(1), numbered(2), numbered(1)];
    let results = world.bus.publish(&user("a"), batch).await;
    let duplicates: Vec<bool> = results.into_iter().map(|r| r.unwrap().duplicate).collect();
    assert_eq!(duplicates, [false, false, true]);
}

#[tokio::test]
async fn one_bad_message_does_not_hold_up_the_others() {
    let limits = Limits { message_bytes: 100, ..Limits::default() };
    let world = World::with(limits, Vec::new()).await;
    let batch =
        vec![message("repo:main", "a"), message("repo:main", &"x".repeat(200)), message("repo:main", "b")];
    let results = world.bus.publish(&user("a"), batch).await;
    assert!(results[0].is_ok() && results[2].is_ok());
    let error = results[1].as_ref().unwrap_err();
    assert_eq!((error.code(), error.field()), (Code::TooLarge, Some("payload")));
}

#[tokio::test]
async fn each_receipt_of_a_mixed_batch_says_where_its_own_message_stands() {
    let limits = Limits { message_bytes: 100, ..Limits::default() };
    let world = World::with(limits, vec![policy("term:*", Class::Ephemeral, 0)]).await;
    let terminals = Listener::new(world.connect("t"), to("term:*", From::Latest)).await;
    let repo = Listener::new(world.connect("r"), to("repo:main", From::Latest)).await;
    let long = "x".repeat(200);
    let sent = [
        ("term:1", "a"),
        ("term:1", "b"),
        ("repo:main", "c"),
        ("term:2", "d"),
        ("term:2", &long),
        ("term:2", "e"),
        ("term:1", "f"),
        ("repo:main", "g"),
    ];
    let batch = sent.iter().map(|(address, text)| message(address, text)).collect();
    let results = world.bus.publish(&user("a"), batch).await;
    let receipts = sent.iter().zip(results).filter_map(|((_, said), result)| Some((*said, result.ok()?)));
    let mut receipts: Vec<_> =
        receipts.map(|(said, r)| (said.to_owned(), r.position, r.room, r.channel, r.id)).collect();

    let mut records = terminals.records(5).await;
    let texts: Vec<String> = records.iter().map(|record| text(record)).collect();
    assert_eq!(texts, ["a", "b", "d", "e", "f"], "a room gets a batch in its order");
    records.extend(repo.records(2).await);
    let mut delivered: Vec<_> = records
        .iter()
        .map(|record| {
            let Message { address, id, .. } = &*record.message;
            (text(record), record.position, address.room.clone(), address.channel.clone(), id.clone())
        })
        .collect();
    receipts.sort_by(|a, b| a.0.cmp(&b.0));
    delivered.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(delivered, receipts);
}

#[tokio::test]
async fn only_arqon_writes_to_system_rooms() {
    let world = World::new().await;
    for room in ["agent", "system", "task"] {
        let refused = world.try_say(&format!("{room}:x"), "hi").await.unwrap_err();
        assert_eq!(refused.code(), Code::Forbidden);
    }
}

#[tokio::test]
async fn a_request_gets_the_answer_that_was_meant_for_it() {
    let world = World::new().await;
    let replier = Listener::new(world.connect("r"), to("math:double", From::Latest)).await;
    let bus = world.bus.clone();
    let asker = tokio::task::spawn(async move {
        bus.request(&user("asker"), message("math:double", "21"), Duration::from_secs(5)).await
    });
    let question = replier.records(1).await.remove(0);
    let extras = question.message.extras.as_ref().unwrap();
    let reply_to = extras.reply_to.clone().unwrap();
    let answer = with_extras(&reply_to, "42", |e| e.correlation_id = extras.correlation_id.clone());
    world.publish(&replier.connection.ctx(), answer).await.unwrap();
    let got = asker.await.unwrap().unwrap();
    assert_eq!(text(&got), "42");
    assert_eq!(got.message.extras.as_ref().unwrap().correlation_id, extras.correlation_id);
}

#[tokio::test]
async fn a_request_without_an_answer_says_who_was_listening() {
    let world = World::new().await;
    let bus = world.bus.clone();
    let asker = tokio::task::spawn(async move {
        bus.request(&user("asker"), message("math:double", "21"), Duration::from_secs(5)).await
    });
    settle().await;
    world.pass(Duration::from_secs(6)).await;
    let error = asker.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Timeout);
    assert!(error.message().contains("nobody is subscribed"), "{error}");
}

#[tokio::test]
async fn a_clients_own_reply_inbox_gets_answers() {
    let world = World::new().await;
    let asker = Listener::new(world.connect("a"), to("@reply.0123456789abcdef", From::Latest)).await;
    world.say("@reply.0123456789abcdef", "answer").await;
    assert_eq!(asker.texts(1).await, ["answer"]);
    asker.connection.close();
    assert!(world.try_say("@reply.0123456789abcdef", "late").await.is_ok());
}

#[tokio::test]
async fn a_policy_set_by_command_counts_at_once_and_after_a_restart() {
    let world = World::new().await;
    let admin = caller("boss", "default", Role::Admin);
    let args = [("pattern", "chat:**".into()), ("class", "history".into()), ("history", Value::Int(2))];
    world.call(&admin, "set_policy", &args).await.unwrap();
    assert!(world.say("chat:a", "x").await.position.epoch.is_memory());
    let world = world.restarted().await;
    assert!(world.say("chat:a", "x").await.position.epoch.is_memory());
    world.call(&admin, "delete_policy", &[("pattern", "chat:**".into())]).await.unwrap();
    assert!(!world.say("chat:a", "x").await.position.epoch.is_memory());
    let again = world.call(&admin, "delete_policy", &[("pattern", "chat:**".into())]).await.unwrap_err();
    assert_eq!(again.code(), Code::NotFound);
}

#[tokio::test]
async fn history_and_listings_show_both_lanes() {
    let world = World::with(Limits::default(), vec![policy("repo:chat", Class::History, 5)]).await;
    world.say("repo:main", "1").await;
    world.say("repo:chat", "2").await;
    world.say("repo:main", "3").await;
    let me = user("me");
    let args = [("address", "repo:*".into()), ("limit", Value::Int(2))];
    let answer = world.call(&me, "history", &args).await.unwrap();
    let Some(Value::List(list)) = answer.get("messages") else { panic!("{answer:?}") };
    let texts: Vec<String> = list
        .iter()
        .map(|v| match v {
            Value::Delivery(arqon_core::Delivery::Record { record, .. }) => text(record),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(texts.len(), 2);
    let answer = world.call(&me, "list_channels", &[("room", "repo".into())]).await.unwrap();
    let Some(Value::List(list)) = answer.get("channels") else { panic!("{answer:?}") };
    let names: Vec<_> = list.iter().map(|c| c.get("channel").unwrap().as_text().unwrap()).collect();
    assert_eq!(names, ["chat", "main"]);
}

#[tokio::test]
async fn arguments_are_checked_by_name() {
    let world = World::new().await;
    let me = user("me");
    let unknown = world.call(&me, "history", &[("adress", "repo:main".into())]).await.unwrap_err();
    assert_eq!(unknown.field(), Some("args.address"));
    let extra = [("address", "repo:main".into()), ("limt", Value::Int(3))];
    assert_eq!(world.call(&me, "history", &extra).await.unwrap_err().field(), Some("args.limt"));
    let wrong = [("address", "repo:main".into()), ("limit", "ten".into())];
    assert_eq!(world.call(&me, "history", &wrong).await.unwrap_err().field(), Some("args.limit"));
    assert_eq!(
        world.call(&me, "subscribe", &[("pattern", "*".into())]).await.unwrap_err().code(),
        Code::Invalid
    );
    assert_eq!(world.call(&me, "nonsense", &[]).await.unwrap_err().code(), Code::UnknownCommand);
}

#[tokio::test]
async fn a_stopping_server_takes_nothing_new() {
    let world = World::new().await;
    let id = MessageId::parse("arq_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
    let mut publish = message("repo:main", "x");
    publish.id = Some(id.clone());
    assert_eq!(world.publish(&user("a"), publish.clone()).await.unwrap().id, id);
    world.bus.drain().await.unwrap();
    assert_eq!(world.publish(&user("a"), publish).await.unwrap_err().code(), Code::ShuttingDown);
    assert_eq!(world.bus.readiness().unwrap_err().code(), Code::ShuttingDown);
    world.bus.close().await.unwrap();
}

#[tokio::test]
async fn of_a_batch_past_the_rate_what_fits_is_taken() {
    let limits = Limits { publishes_per_second: 3, ..Limits::default() };
    let world = World::with(limits, Vec::new()).await;
    for _ in 0..2 {
        let batch = (0..5).map(|i| message("repo:main", &i.to_string())).collect();
        let results = world.bus.publish(&user("a"), batch).await;
        let taken: Vec<bool> = results.iter().map(Result::is_ok).collect();
        assert_eq!(taken, [true, true, true, false, false]);
        let refused = results[4].as_ref().unwrap_err();
        assert_eq!(refused.code(), Code::RateLimited);
        assert!(refused.retry_after().is_some());
        world.pass(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn work_for_a_skill_that_is_sent_again_goes_to_the_same_agent() {
    let world = World::new().await;
    let (_a, _b) = (world.agent("a", &["translate"]), world.agent("b", &["translate"]));
    let numbered = |sequence: u64| {
        with_extras("@skill/translate", "x", |e| e.producer = Some(Producer { id: "p".into(), sequence }))
    };
    let keyed = || with_extras("@skill/translate", "x", |e| e.idempotency_key = Some("k".into()));
    let first = world.publish(&user("c"), numbered(1)).await.unwrap();
    let again = world.publish(&user("c"), numbered(1)).await.unwrap();
    assert_eq!((&again.room, again.duplicate), (&first.room, true));
    let other = world.publish(&user("c"), numbered(2)).await.unwrap();
    assert_ne!(first.room, other.room, "turns go round");
    let first = world.publish(&user("c"), keyed()).await.unwrap();
    let again = world.publish(&user("c"), keyed()).await.unwrap();
    assert_eq!((&again.room, again.duplicate), (&first.room, true));
}
