//! Events: told to whoever listens, and never at the cost of anybody.

use crate::world::*;
use arqon_core::bus::events::EventType;
use arqon_core::bus::{ConnectInfo, From};
use arqon_core::inspect::{InspectionPolicy, Mode};
use arqon_core::{AgentId, Code, Ctx, Kind, Record, Role};
use std::sync::Arc;
use std::time::Duration;

fn moderator() -> Ctx {
    caller("eye", "default", Role::Moderator)
}

/// Somebody who hears what a pattern matches; that the server began is heard already.
async fn watch(world: &World, pattern: &str) -> Listener {
    let listener = Listener::new(world.connect_as(moderator()), to(pattern, From::Latest)).await;
    if pattern == "system:*" {
        assert_eq!(types(&listener, 1).await, ["system_started"]);
    }
    listener
}

fn payload(record: &Arc<Record>) -> String {
    String::from_utf8(record.message.payload.to_vec()).unwrap()
}

/// The types of the next events, in their order.
async fn types(listener: &Listener, count: usize) -> Vec<String> {
    let records = listener.records(count).await;
    records.iter().map(|r| r.message.address.channel.as_str().to_owned()).collect()
}

fn metric(world: &World, name: &str) -> f64 {
    world.bus.metrics().iter().find(|m| m.name == name).unwrap().value
}

#[tokio::test]
async fn who_listens_is_told_what_happens_with_all_its_fields() {
    let world = World::new().await;
    let eye = watch(&world, "system:*").await;
    let reader = Listener::new(world.connect("reader"), to("repo:main", From::Latest)).await;
    let receipt = world.say("repo:main", "hello").await;
    assert_eq!(reader.texts(1).await, ["hello"]);
    world.call(&user("me"), "ping", &[]).await.unwrap();
    world.call(&user("me"), "create_token", &[("subject", "x".into())]).await.unwrap_err();
    world.try_say("system:x", "no").await.unwrap_err();
    drop(reader);
    let records = eye.records(14).await;
    let names: Vec<&str> = records.iter().map(|r| r.message.address.channel.as_str()).collect();
    let expected = [
        "client_authenticated",
        "client_authorized",
        "client_connected",
        "message_received",
        "message_routed",
        "message_sent",
        "command_executed",
        "command_succeeded",
        "command_executed",
        "authorization_denied",
        "command_failed",
        "authorization_denied",
        "message_failed",
        "client_disconnected",
    ];
    assert_eq!(names, expected);
    let received = &records[3];
    assert_eq!((received.message.kind, &*received.message.sender), (Kind::Telemetry, "arqonbus"));
    let text = payload(received);
    for part in [
        r#""event_type":"message_received""#,
        r#""severity":"debug""#,
        r#""source":"arqonbus""#,
        r#""timestamp":"2026-01-01T00:00:00Z""#,
        r#""metadata":{"address":"repo:main","subject":"someone"}"#,
        &format!(r#""message_id":"{}""#, receipt.id),
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let client = payload(&records[2]);
    assert!(
        client.contains(r#""client_id":"arq_client_0"#) && client.contains(r#""subject":"reader""#),
        "{client}"
    );
    assert!(payload(&records[10]).contains(r#""error_code":"AUTHORIZATION_ERROR""#));
    assert!(eye.is_quiet().await, "there are no events about events");
}

#[tokio::test]
async fn one_type_can_be_had_alone_and_wildcards_reach_none() {
    let world = World::new().await;
    let wide =
        Listener::new(world.connect_as(caller("root", "default", Role::System)), to("*", From::Latest)).await;
    let eye = watch(&world, "system:command_failed").await;
    world.call(&user("me"), "ping", &[]).await.unwrap();
    world.call(&user("me"), "pong", &[]).await.unwrap_err();
    world.say("repo:main", "x").await;
    assert_eq!(types(&eye, 1).await, ["command_failed"]);
    assert_eq!(wide.texts(1).await, ["x"]);
    assert!(wide.is_quiet().await && eye.is_quiet().await);
}

#[tokio::test]
async fn without_a_listener_nothing_is_told_and_the_last_one_to_go_ends_it() {
    let world = World::new().await;
    world.say("repo:main", "x").await;
    let eye = watch(&world, "system:*").await;
    assert!(eye.is_quiet().await);
    world.say("repo:main", "x").await;
    eye.records(2).await;
    drop(eye);
    world.pass(Duration::from_secs(3)).await;
    let told = metric(&world, "events_published_total");
    world.say("repo:main", "x").await;
    settle().await;
    assert_eq!(metric(&world, "events_published_total"), told);
    let eye = watch(&world, "system:message_received").await;
    world.say("repo:main", "x").await;
    assert_eq!(types(&eye, 1).await, ["message_received"]);
}

#[tokio::test]
async fn a_flood_leaves_the_oldest_out_says_so_and_holds_up_nobody() {
    let world = World::new().await;
    let eye = watch(&world, "system:system_warning").await;
    let _received = watch(&world, "system:message_received").await;
    // Nothing else runs between these, so nothing is published meanwhile.
    let mut waiting = Vec::new();
    for _ in 0..100 {
        waiting.push(world.bus.publish(&user("loud"), vec![message("repo:main", "x"); 100]));
    }
    for publishing in waiting {
        assert!(publishing.await.iter().all(Result::is_ok));
    }
    let text = payload(&eye.records(1).await[0]);
    assert!(text.contains(r#""dropped_events":5904"#), "{text}");
    assert_eq!(metric(&world, "events_dropped_total"), 5904.0);
    assert_eq!(metric(&world, "messages_stored_total"), 10_000.0);
}

#[tokio::test]
async fn events_are_for_moderators_of_the_tenant_that_they_concern() {
    let world = World::new().await;
    let refused = Listener::open(world.connect("me"), to("system:*", From::Latest)).await;
    assert_eq!(refused.err().unwrap().code(), Code::Forbidden);
    let elsewhere = world.connect_as(caller("eye", "other", Role::Moderator));
    let elsewhere = Listener::new(elsewhere, to("system:*", From::Latest)).await;
    let eye = watch(&world, "system:message_received").await;
    world.say("repo:main", "x").await;
    assert_eq!(types(&eye, 1).await, ["message_received"]);
    // It is told when the server began, as everybody is.
    assert_eq!(types(&elsewhere, 1).await, ["system_started"]);
    assert!(elsewhere.is_quiet().await);
}

#[tokio::test]
async fn verdicts_are_events_unless_the_policy_says_otherwise() {
    let world = World::new().await;
    let mut policy = InspectionPolicy { enabled: true, mode: Mode::Enforce, ..InspectionPolicy::default() };
    policy.block_on_probable_secret = true;
    world.bus.inspector().reload(&policy).unwrap();
    let eye = watch(&world, "system:casil_decision").await;
    let leak = format!("AKIA{}", "Z7QX2LMN4PRS5TUV");
    world.try_say("repo:main", &leak).await.unwrap_err();
    let text = payload(&eye.records(1).await[0]);
    for part in [
        r#""severity":"warning""#,
        r#""decision":"BLOCK","flags":["contains_probable_secret"],"place":"repo:main""#,
        r#""reason_code":"CASIL_POLICY_BLOCKED_SECRET""#,
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("AKIA"), "{text}");
    policy.metadata_to_telemetry = false;
    world.bus.inspector().reload(&policy).unwrap();
    world.try_say("repo:main", &leak).await.unwrap_err();
    assert!(eye.is_quiet().await);
}

#[tokio::test]
async fn the_end_is_told() {
    let world = World::new().await;
    let eye = watch(&world, "system:*").await;
    world.bus.drain().await.unwrap();
    assert_eq!(types(&eye, 1).await, [EventType::SystemStopped.as_str()]);
}

#[tokio::test]
async fn a_gone_connection_has_left_what_it_had_joined_and_an_agent_is_told_of_in_few_words() {
    let world = World::new().await;
    let agent = world.agent("planner", &[]);
    let eye = watch(&world, "integriguard:dashboard-events").await;
    let left = watch(&world, "system:client_left_room").await;
    let ctx = agent.ctx();
    let call = |name: &'static str, args: Vec<(String, arqon_core::value::Value)>| {
        let args = arqon_core::value::Args::new(args.into_iter().collect());
        world.bus.call(&ctx, Some(&agent), name, args)
    };
    for channel in ["a", "b"] {
        let args = [("room", "repo"), ("channel", channel)];
        call("join_channel", args.map(|(k, v)| (k.to_owned(), v.into())).to_vec()).await.unwrap();
    }
    for _ in 0..10 {
        world.publish(&ctx, message("repo:a", "x")).await.unwrap();
    }
    let args = [("room", "repo"), ("channel", "b")].map(|(k, v)| (k.to_owned(), v.into()));
    call("leave_channel", args.to_vec()).await.unwrap();
    drop(agent);
    let texts: Vec<String> = eye.records(6).await.iter().map(payload).collect();
    let activity =
        |text: &String| text.split(r#""activity":""#).nth(1).unwrap().split('"').next().unwrap().to_owned();
    let told: Vec<String> = texts.iter().map(activity).collect();
    assert_eq!(told, ["joined", "called", "joined", "published", "left", "disconnected"]);
    assert!(
        texts[0].contains(r#""address":"repo:a""#) && texts[0].contains(r#""sender":"planner""#),
        "{texts:?}"
    );
    assert_eq!(types(&left, 1).await, ["client_left_room"]);
    assert!(left.is_quiet().await && eye.is_quiet().await);
    // A person is told of by everything else.
    let person = world.connect("me");
    world.publish(&person.ctx(), message("repo:a", "x")).await.unwrap();
    assert!(eye.is_quiet().await);
}

#[tokio::test]
async fn the_last_events_are_kept_where_somebody_wants_them_and_none_below_info() {
    let world = World::new().await;
    world.bus.set_telemetry(2, Duration::ZERO);
    for channel in ["a", "b", "c"] {
        let args = [("room", "repo".into()), ("channel", channel.into())];
        world.call(&moderator(), "create_channel", &args).await.unwrap();
        world.say("repo:main", "x").await;
    }
    settle().await;
    let kept = world.bus.recent_events(10, |_| true);
    let kept: Vec<String> = kept.iter().map(|e| String::from_utf8(e.event.to_vec()).unwrap()).collect();
    assert_eq!(kept.len(), 2);
    assert!(kept[0].contains("repo:b") && kept[1].contains("repo:c"), "{kept:?}");
    let counts = world.bus.event_counts();
    assert_eq!((counts.by_type["channel_created"], counts.by_type["room_created"]), (3, 1));
    assert!(!counts.by_type.contains_key("message_received"), "nobody wants it, so it is not made");
}

#[tokio::test]
async fn what_is_left_out_is_counted_for_each_tenant_alone() {
    let world = World::new().await;
    let warned = watch(&world, "system:system_warning").await;
    let _received = watch(&world, "system:message_received").await;
    let elsewhere = world.connect_as(caller("eye", "other", Role::Moderator));
    let elsewhere = Listener::new(elsewhere, to("system:system_warning", From::Latest)).await;
    // A tenant in which nobody hears of messages leaves nothing of anybody else's out.
    let loud = caller("loud", "other", Role::User);
    let mut waiting = vec![world.bus.publish(&user("quiet"), vec![message("repo:main", "x"); 100])];
    for _ in 0..100 {
        waiting.push(world.bus.publish(&loud, vec![message("repo:main", "x"); 100]));
    }
    for publishing in waiting.drain(..) {
        assert!(publishing.await.iter().all(Result::is_ok));
    }
    settle().await;
    assert_eq!(metric(&world, "events_dropped_total"), 0.0);
    // And whose events are left out hears of it alone.
    for _ in 0..100 {
        waiting.push(world.bus.publish(&user("loud"), vec![message("repo:main", "x"); 100]));
    }
    for publishing in waiting {
        assert!(publishing.await.iter().all(Result::is_ok));
    }
    assert!(payload(&warned.records(1).await[0]).contains(r#""dropped_events":5904"#));
    assert!(elsewhere.is_quiet().await, "that is none of their business");
}

#[tokio::test]
async fn when_the_server_began_is_kept_once() {
    let world = World::new().await;
    world.bus.set_telemetry(10, Duration::ZERO);
    world.bus.set_telemetry(20, Duration::ZERO);
    let eye = watch(&world, "system:system_started").await;
    assert_eq!(types(&eye, 1).await, ["system_started"]);
    let elsewhere = world.connect_as(caller("eye", "other", Role::Moderator));
    let elsewhere = Listener::new(elsewhere, to("system:system_started", From::Latest)).await;
    assert_eq!(types(&elsewhere, 1).await, ["system_started"]);
    let kept = world.bus.recent_events(20, |event| event.what == EventType::SystemStarted);
    assert_eq!(kept.len(), 1);
}

#[tokio::test]
async fn a_connection_that_was_never_there_has_no_end_and_what_was_refused_is_no_activity() {
    let world = World::new().await;
    let eye = watch(&world, "system:client_disconnected").await;
    let activity = watch(&world, "system:agent_activity").await;
    let info = ConnectInfo { agent: Some(AgentId::parse("you").unwrap()), ..ConnectInfo::default() };
    assert_eq!(world.bus.connect(user("me"), info).err().unwrap().code(), Code::Forbidden);
    assert!(eye.is_quiet().await, "nobody was told that it came");
    let agent = world.agent("planner", &[]);
    assert_eq!(types(&activity, 2).await.len(), 2, "registered and connected");
    world.publish(&agent.ctx(), message("system:x", "no")).await.unwrap_err();
    assert!(activity.is_quiet().await);
    world.publish(&agent.ctx(), message("repo:main", "yes")).await.unwrap();
    assert!(payload(&activity.records(1).await[0]).contains(r#""activity":"published""#));
}

#[tokio::test]
async fn messages_count_as_processed_once_that_is_known() {
    let world = World::new().await;
    let before = metric(&world, "messages_processed_total");
    let mut batch = vec![message("repo:main", "x"); 3];
    batch.push(message("system:x", "no"));
    let publishing = world.bus.publish(&user("me"), batch);
    assert_eq!(metric(&world, "messages_processed_total"), before, "they are on their way");
    assert_eq!(publishing.await.iter().filter(|result| result.is_ok()).count(), 3);
    assert_eq!(metric(&world, "messages_processed_total"), before + 3.0);
    world.call(&user("me"), "ping", &[]).await.unwrap();
    world.call(&user("me"), "nothing", &[]).await.unwrap_err();
    let read = |name| metric(&world, name);
    assert_eq!(
        (read("commands_total"), read("command_success_total"), read("errors_total"), read("error_rate")),
        (2.0, 1.0, 1.0, 0.5)
    );
}
