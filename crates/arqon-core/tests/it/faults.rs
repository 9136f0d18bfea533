//! What holds when stores fail, histories break off, and connections end in the middle of something.

use crate::faulty::Faulty;
use crate::world::*;
use arqon_core::bus::{From, Item, Subscribe, SubscribeOptions};
use arqon_core::port::{LogItem, Page, ReadFrom};
use arqon_core::record::Epoch;
use arqon_core::value::{Args, Value};
use arqon_core::{Delivery, Gap, GapReason, Message, Position, Record, Role, RoomKey, RoomName, Tenant};
use std::sync::Arc;
use std::time::Duration;

async fn dead_letters(world: &Faulty) -> Vec<Value> {
    let admin = caller("boss", "default", Role::Admin);
    let answer =
        world.bus.call(&admin, None, "list_dead_letters", Args::new(Default::default())).await.unwrap();
    match answer.get("dead_letters") {
        Some(Value::List(letters)) => letters.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_confirmed_acknowledgement_is_synced_even_where_it_was_written_before() {
    let world = Faulty::new().await;
    world.say("work:a", "0").await;
    let listener = Listener::new(world.connect(user("w")), durably("work:*", "w")).await;
    let record = listener.records(1).await.remove(0);
    listener.acknowledge(&record).await;
    world.pass(Duration::from_millis(300)).await;
    assert_eq!(world.records.unsynced(), ["w/work"], "written, and not synced, by itself");
    let again = (&[record.position][..], None);
    listener.connection.acknowledge(&listener.id, None, again, true).await.unwrap();
    assert!(world.records.unsynced().is_empty());
}

#[tokio::test]
async fn an_inbox_is_trimmed_only_once_its_acknowledgements_are_synced() {
    let world = Faulty::new().await;
    world.say("@w", "0").await;
    world.say("@w", "1").await;
    let listener = Listener::new(world.connect(user("w")), to("@w", From::Latest)).await;
    let record = listener.records(1).await.remove(0);
    listener.acknowledge(&record).await;
    world.pass(Duration::from_secs(6)).await;
    assert!(world.records.unsynced().iter().all(|id| !id.ends_with("/@w")), "{:?}", world.records.unsynced());
}

#[tokio::test]
async fn one_subscription_that_cannot_be_written_holds_up_no_other() {
    let world = Faulty::new().await;
    world.say("work:a", "0").await;
    let mut held = Vec::new();
    for i in 0..8 {
        let listener = Listener::new(world.connect(user("w")), durably("work:*", &format!("w{i}"))).await;
        let record = listener.records(1).await.remove(0);
        held.push((listener, record));
    }
    world.records.fail(Some("w3/"));
    for (listener, record) in &held {
        listener.acknowledge(record).await;
    }
    world.pass(Duration::from_millis(300)).await;
    assert_eq!(world.records.unsynced().len(), 7);
}

#[tokio::test]
async fn an_expired_messages_dead_letter_outlasts_a_failing_disk() {
    let world = Faulty::new().await;
    let soon = world.now().plus(Duration::from_secs(1));
    let stale = with_extras("work:a", "stale", |e| e.expires_at = Some(soon));
    world.bus.publish(&user("a"), vec![stale]).await.remove(0).unwrap();
    world.pass(Duration::from_secs(2)).await;
    let listener = Listener::new(world.connect(user("w")), durably("work:*", "w")).await;
    world.records.fail(Some("w/"));
    assert!(listener.is_quiet().await);
    world.pass(Duration::from_secs(1)).await;
    world.records.fail(None);
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(dead_letters(&world).await.len(), 1);
}

#[tokio::test]
async fn a_last_try_that_times_out_makes_place_for_the_next_message() {
    let world = Faulty::new().await;
    world.say("work:a", "0").await;
    world.say("work:a", "1").await;
    let options = SubscribeOptions { credit: Some(1), max_deliver: Some(1), ..SubscribeOptions::default() };
    let request = Subscribe { options, ..durably("work:*", "w") };
    let listener = Listener::new(world.connect(user("w")), request).await;
    assert_eq!(listener.texts(1).await, ["0"]);
    assert!(listener.is_quiet().await);
    world.pass(Duration::from_secs(31)).await;
    assert!(!listener.is_quiet().await, "the second message never came");
    assert_eq!(dead_letters(&world).await.len(), 1);
}

/// A room whose history broke off after its third record and went on in a new one with the sixth.
fn broken_off() -> impl Fn(&arqon_core::port::Read) -> Page {
    let (old, new) = (Epoch::durable(0x10), Epoch::durable(0x20));
    let key = Arc::new(RoomKey::new(Tenant::default(), RoomName::parse("work").unwrap()));
    let record = move |epoch: Epoch, offset: u64| {
        let draft = message("work:a", &offset.to_string());
        let arqon_core::Target::Channel(address) = draft.target else { panic!() };
        let message = Message {
            id: arqon_core::MessageId::Ulid(u128::from(offset)),
            kind: draft.kind,
            address,
            sender: "someone".into(),
            timestamp: arqon_core::Timestamp(0),
            stored_at: arqon_core::Timestamp(0),
            priority: draft.priority,
            payload: draft.payload,
            extras: None,
        };
        LogItem::Record(Arc::new(Record::new(key.clone(), Position::new(epoch, offset), Arc::new(message))))
    };
    let gap = LogItem::Gap(Gap {
        room: Arc::new(RoomKey::new(Tenant::default(), RoomName::parse("work").unwrap())),
        from: Some(Position::new(old, 3)),
        to: Position::new(new, 5),
        reason: GapReason::Damaged,
    });
    let all = move || {
        let items = (1..=3).map(|o| (o, record(old, o)));
        let rest = (6..=8).map(|o| (o, record(new, o)));
        items.chain([(5, gap.clone())]).chain(rest).collect::<Vec<_>>()
    };
    move |read| {
        let after = match read.from {
            ReadFrom::After(position) => position.offset,
            ReadFrom::Earliest | ReadFrom::Last(_) => 0,
        };
        let items: Vec<_> = all().into_iter().filter(|(o, _)| *o > after).take(read.max_records).collect();
        let last = items.last().map_or(after, |(o, _)| *o);
        let epoch = if last >= 5 { new } else { old };
        let items = items.into_iter().map(|(_, item)| item).collect();
        Page { items, next: Some(Position::new(epoch, last)), at_end: last >= 8 }
    }
}

#[tokio::test]
async fn what_is_out_when_a_history_breaks_off_is_still_to_be_acknowledged() {
    let world = Faulty::new().await;
    world.log.script(broken_off());
    let options = SubscribeOptions { credit: Some(4), ..SubscribeOptions::default() };
    let request = Subscribe { options, ..durably("work:*", "w") };
    let first = Listener::new(world.connect(user("w")), request.clone()).await;
    let mut out = Vec::new();
    for item in first.items(5).await {
        if let Item::Delivery(Delivery::Record { record, .. }) = item.item {
            out.push(record);
        }
    }
    assert_eq!(out.iter().map(|r| text(r)).collect::<Vec<_>>(), ["1", "2", "3", "6"]);
    assert!(first.is_quiet().await, "credit for four only");
    assert_eq!(first.acknowledge(&out[1]).await, 1);
    assert_eq!(first.texts(1).await, ["7"], "the credit comes back");
    assert_eq!(first.acknowledge(&out[0]).await, 1);
    assert_eq!(first.texts(1).await, ["8"]);
    first.connection.close();

    let second = Listener::new(world.connect(user("w")), request).await;
    let again = second.records(1).await;
    assert_eq!(text(&again[0]), "3", "never acknowledged");
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_gone_on_with() {
    // As from a backup: the subscription remembers more than the log has, in the same history.
    let world = Faulty::new().await;
    for i in 1..=3 {
        world.say("work:a", &i.to_string()).await;
    }
    let reader = Listener::new(world.connect(user("r")), to("work:*", From::Earliest)).await;
    let last = reader.records(3).await.remove(2).position;
    let beyond = Position::new(last.epoch, 100);
    let request = Subscribe { from: after(beyond), ..durably("work:a", "w") };
    let listener = Listener::new(world.connect(user("w")), request).await;
    assert_eq!(listener.gap().await.reason, GapReason::EpochChanged);
    world.say("work:a", "4").await;
    assert_eq!(listener.texts(1).await, ["4"]);
}

#[tokio::test]
async fn a_reply_inbox_that_is_taken_up_while_its_last_reader_leaves_hears_on() {
    let world = Faulty::new().await;
    let inbox = "@reply.0123456789abcdef";
    let old = Listener::new(world.connect(user("a")), to(inbox, From::Latest)).await;
    let gate = world.log.shut();
    let connection = world.connect(user("a"));
    let joining = tokio::task::spawn(Listener::open(connection, to(inbox, From::Latest)));
    settle().await;
    old.connection.close();
    drop(old);
    gate.add_permits(9);
    world.log.open();
    let new = joining.await.unwrap().unwrap();
    world.say(inbox, "answer").await;
    assert!(!new.is_quiet().await, "nothing came");
}

#[tokio::test]
async fn reply_inboxes_that_nobody_reads_are_forgotten() {
    let world = Faulty::new().await;
    for i in 0..10 {
        let inbox = format!("@reply.{i}");
        Listener::new(world.connect(user("a")), to(&inbox, From::Latest)).await.connection.close();
    }
    world.pass(Duration::from_secs(10)).await;
    let rooms = world.bus.metrics().into_iter().find(|m| m.name == "rooms_in_use").unwrap();
    assert!(rooms.value < 1.0, "{rooms:?}");
}

#[tokio::test]
async fn a_subscription_that_is_fenced_while_it_begins_leaves_nothing_behind() {
    let world = Faulty::new().await;
    world.say("work:a", "0").await;
    // The first call of `rooms` is the consumer's own beginning; the second one joins.
    Listener::new(world.connect(user("w")), durably("*", "w")).await.connection.close();
    let gate = world.log.shut();
    let connection = world.connect(user("w"));
    let joining = tokio::task::spawn(Listener::open(connection.clone(), durably("*", "w")));
    settle().await;
    world.log.open();
    let new = Listener::new(world.connect(user("w")), durably("*", "w")).await;
    let mut out = Vec::new();
    connection.next(&mut out, 1).await.unwrap();
    assert!(matches!(out[0].item, Item::Ended(_)));
    gate.add_permits(9);
    let _ = joining.await.unwrap();
    let admin = caller("boss", "default", Role::Admin);
    let answer = world.bus.call(&admin, None, "list_rooms", Args::new(Default::default())).await.unwrap();
    let Some(Value::List(rooms)) = answer.get("rooms") else { panic!("{answer:?}") };
    assert_eq!(rooms[0].get("subscribers"), Some(&Value::Int(1)));
    drop(new);
}

#[tokio::test]
async fn an_agent_that_registers_on_a_closed_connection_is_not_online() {
    let world = Faulty::new().await;
    let connection = world.connect(user("a"));
    connection.close();
    let _ = connection.register(arqon_core::AgentId::parse("a").unwrap(), vec!["x".to_owned()]);
    let sent = world.bus.publish(&user("b"), vec![message("@skill/x", "hello")]).await.remove(0);
    assert!(sent.is_err());
}

#[tokio::test]
async fn an_inbox_resumes_from_places_in_both_its_rooms() {
    let world = Faulty::new().await;
    let place = Position::parse("abc-3").unwrap();
    let rooms = ["@w", "@all"].map(|name| (RoomName::parse(name).unwrap(), vec![place]));
    let from = From::Positions { one: Vec::new(), rooms: rooms.into_iter().collect() };
    Listener::new(world.connect(user("w")), to("@w", from)).await;
}

#[tokio::test]
async fn history_in_memory_is_read_whole_however_small_the_pages() {
    let world = Faulty::with(vec![policy("chat:**", arqon_core::Class::History, 3)]).await;
    for text in ["b0", "b1", "b2"] {
        world.say("chat:b", text).await;
    }
    for i in 0..10 {
        world.say("chat:a", &format!("a{i}")).await;
    }
    let listener = Listener::new(world.connect(user("x")), to("chat:*", From::Earliest)).await;
    let mut texts = Vec::new();
    for _ in 0..6 {
        texts.extend(listener.texts(1).await);
    }
    assert_eq!(texts, ["b0", "b1", "b2", "a7", "a8", "a9"]);
}

#[tokio::test]
async fn what_a_durable_subscription_may_hold_is_bounded() {
    let world = Faulty::new().await;
    let options = SubscribeOptions { credit: Some(u32::MAX), ..SubscribeOptions::default() };
    let request = Subscribe { options, ..durably("work:*", "w") };
    let refused = Listener::open(world.connect(user("w")), request).await.err().unwrap();
    assert_eq!(refused.field(), Some("args.credit"));
}

#[tokio::test]
async fn a_name_used_again_after_its_deletion_begins_anew() {
    let world = Faulty::new().await;
    world.say("work:a", "0").await;
    let moderator = caller("boss", "default", Role::Moderator);
    let listener = Listener::new(world.connect(user("w")), durably("work:*", "w")).await;
    let record = listener.records(1).await.remove(0);
    let args = Args::new([("name".to_owned(), "w".into())].into());
    world.bus.call(&moderator, None, "delete_subscription", args).await.unwrap();
    // The holder has not heard of it yet.
    let late = listener.connection.acknowledge(&listener.id, None, (&[record.position], None), true).await;
    assert!(late.is_ok());
    Listener::new(world.connect(user("w")), durably("work:*", "w")).await.connection.close();
    let world = world.restarted().await;
    let again = Listener::new(world.connect(user("w")), durably("work:*", "w")).await;
    assert!(!again.is_quiet().await, "the place of the one that was deleted");
}

#[tokio::test]
async fn of_two_rules_set_at_once_the_one_on_disk_counts() {
    let world = Faulty::new().await;
    let admin = caller("boss", "default", Role::Admin);
    let set = |pattern: &str| {
        let args = [("pattern".to_owned(), pattern.into()), ("class".to_owned(), "ephemeral".into())];
        let (bus, admin) = (world.bus.clone(), admin.clone());
        async move { bus.call(&admin, None, "set_policy", Args::new(args.into())).await }
    };
    // The first one is on disk, and hears of it only after the second one is done.
    let first = world.records.delay_next_answer();
    let slow = tokio::task::spawn(set("a:**"));
    settle().await;
    assert!(!slow.is_finished());
    set("b:**").await.unwrap();
    first.add_permits(1);
    slow.await.unwrap().unwrap();
    for address in ["a:x", "b:x"] {
        let said = world.bus.publish(&user("u"), vec![message(address, "x")]).await.remove(0).unwrap();
        assert!(said.position.epoch.is_memory(), "{address}");
    }
}
