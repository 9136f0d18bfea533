//! Rooms and channels as things: made, joined, described, deleted; by name, by id, in one field or two.

use crate::store::Slow;
use crate::world::*;
use arqon_core::bus::{Connection, From, RoomSeed};
use arqon_core::limits::Limits;
use arqon_core::value::{Args, Value};
use arqon_core::{
    Address, ChannelName, Class, Code, Ctx, Error, GapReason, Pattern, Principal, Result, Role, RoomName,
    Tenant,
};
use std::sync::Arc;
use std::time::Duration;

/// How a call names a channel.
type Form<'a> = &'a [(&'static str, Value)];

fn moderator() -> Ctx {
    caller("mod", "default", Role::Moderator)
}

fn boss() -> Ctx {
    caller("boss", "default", Role::Admin)
}

fn at(room: &str, channel: &str) -> [(&'static str, Value); 2] {
    [("room", room.into()), ("channel", channel.into())]
}

fn told(error: &Error) -> (Code, Option<&str>) {
    (error.code(), error.reason())
}

fn text_of<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer.get(name).and_then(Value::as_text).unwrap_or_else(|| panic!("no text `{name}` in {answer:?}"))
}

fn list_of<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    match answer.get(name) {
        Some(Value::List(list)) => list,
        other => panic!("no list `{name}`: {other:?}"),
    }
}

async fn through(
    world: &World,
    connection: &Connection,
    name: &str,
    args: &[(&str, Value)],
) -> Result<Value> {
    let args = args.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    world.bus.call(&connection.ctx(), Some(connection), name, Args::new(args)).await
}

async fn channels(world: &World, room: &str) -> Vec<String> {
    let answer = world.call(&boss(), "list_channels", &[("room", room.into())]).await.unwrap();
    assert_eq!(answer.get("total_channels"), Some(&Value::Int(list_of(&answer, "channels").len() as i64)));
    list_of(&answer, "channels").iter().map(|c| text_of(c, "name").to_owned()).collect()
}

fn science(hardcoded: bool) -> RoomSeed {
    let channels = ["general", "explore", "share"];
    RoomSeed {
        tenant: Tenant::default(),
        room: RoomName::parse("science").unwrap(),
        description: "how a question becomes knowledge".to_owned(),
        channels: channels.iter().map(|name| ChannelName::parse(name).unwrap()).collect(),
        hardcoded,
    }
}

#[tokio::test]
async fn a_channel_that_was_made_is_there_with_its_description_also_after_a_restart() {
    let world = World::new().await;
    let args = [&at("lab", "bench")[..], &[("description", "measurements".into())]].concat();
    let made = world.call(&moderator(), "create_channel", &args).await.unwrap();
    assert_eq!((text_of(&made, "channel_name"), text_of(&made, "created_by")), ("bench", "mod"));
    assert!(text_of(&made, "room_id").starts_with("arq_room_"), "{made:?}");
    let world = world.restarted().await;
    let info = world.call(&user("me"), "channel_info", &at("lab", "bench")).await.unwrap();
    for name in ["room_id", "channel_id", "created_by", "description"] {
        assert_eq!(info.get(name), made.get(name), "{name}");
    }
    assert_eq!(info.get("created_at"), made.get("created_at"));
    assert_eq!((text_of(&info, "type"), text_of(&info, "state")), ("general", "empty"));
    assert_eq!((info.get("auto_created"), info.get("hardcoded")), (Some(&false.into()), Some(&false.into())));
    let again = world.call(&moderator(), "create_channel", &args).await.unwrap_err();
    assert_eq!(told(&again), (Code::AlreadyExists, Some("CHANNEL_EXISTS")));
    let rooms = world.call(&user("me"), "list_rooms", &[]).await.unwrap();
    let [room] = list_of(&rooms, "rooms") else { panic!("{rooms:?}") };
    assert_eq!((text_of(room, "room"), text_of(room, "type")), ("lab", "user"));
    assert_eq!(room.get("room_id"), made.get("room_id"));
}

#[tokio::test]
async fn a_channel_is_there_by_use_and_can_be_made_afterwards() {
    let world = World::new().await;
    world.say("lab:notes", "x").await;
    let info = world.call(&user("me"), "channel_info", &at("lab", "notes")).await.unwrap();
    assert_eq!((info.get("auto_created"), info.get("created_at")), (Some(&true.into()), Some(&Value::Null)));
    assert_eq!(info.get("statistics").and_then(|s| s.get("message_count")), Some(&Value::Int(1)));
    assert_eq!(info.get("last_activity"), info.get("last_stored_at"));
    world.call(&moderator(), "create_channel", &at("lab", "notes")).await.unwrap();
    let made = world.call(&user("me"), "channel_info", &at("lab", "notes")).await.unwrap();
    assert_eq!(
        (made.get("auto_created"), made.get("channel_id")),
        (Some(&false.into()), info.get("channel_id"))
    );
    assert_eq!(made.get("records"), Some(&Value::Int(1)));
}

#[tokio::test]
async fn a_channel_is_found_by_name_by_id_and_in_one_field() {
    let world = World::new().await;
    let made = world.call(&moderator(), "create_channel", &at("science", "explore")).await.unwrap();
    world.say("science:talk", "x").await;
    let talk = world.call(&user("me"), "channel_info", &at("science", "talk")).await.unwrap();
    let (room, channel) = (text_of(&made, "room_id"), text_of(&made, "channel_id"));
    let forms: [Form<'_>; 9] = [
        &[("address", "science:explore".into())],
        &at("science", "explore"),
        &at(room, channel),
        &at("science", channel),
        &at(room, "explore"),
        &at("science", "science:explore"),
        &at("science:explore", "explore"),
        &[("room", "science:explore".into())],
        &[("channel", channel.into())],
    ];
    for form in forms {
        let info = world.call(&user("me"), "channel_info", form).await;
        let info = info.unwrap_or_else(|e| panic!("{form:?}: {e}"));
        assert_eq!(text_of(&info, "channel_id"), channel, "{form:?}");
    }
    // What nobody made is found by its id in its room.
    let by_id = at("science", text_of(&talk, "channel_id"));
    let found = world.call(&user("me"), "channel_info", &by_id).await.unwrap();
    assert_eq!(text_of(&found, "name"), "talk");
    let nowhere = "arq_room_00000000000000000000000000000000";
    let nothing = "arq_channel_00000000000000000000000000000000";
    world.say("other:x", "x").await;
    let refusals: [(Form<'_>, Code, Option<&str>); 8] = [
        (&at(nowhere, "explore"), Code::NotFound, Some("ROOM_NOT_FOUND")),
        (&at("science", nothing), Code::NotFound, Some("CHANNEL_NOT_FOUND")),
        (&[("channel", nothing.into())], Code::NotFound, Some("CHANNEL_NOT_FOUND")),
        (&at("science", "never"), Code::NotFound, Some("CHANNEL_NOT_FOUND")),
        (&at("other", channel), Code::Invalid, Some("CHANNEL_ROOM_MISMATCH")),
        (&at("science:explore", "share"), Code::Invalid, Some("CHANNEL_ROOM_MISMATCH")),
        (&[("room", "science".into())], Code::Invalid, None),
        (&at("@planner", "inbox"), Code::Invalid, None),
    ];
    for (form, code, reason) in refusals {
        let refused = world.call(&user("me"), "channel_info", form).await.unwrap_err();
        assert_eq!(told(&refused), (code, reason), "{form:?}");
    }
    let mixed = [("address", "science:explore".into()), ("room", "other".into()), ("channel", "x".into())];
    let refused = world.call(&user("me"), "channel_info", &mixed).await.unwrap_err();
    assert_eq!(refused.reason(), Some("CHANNEL_ROOM_MISMATCH"));
}

#[tokio::test]
async fn whoever_has_joined_is_a_member_until_it_leaves_or_ends() {
    let world = World::new().await;
    let (a, b) = (world.agent("ann", &[]), world.agent("bob", &[]));
    let joined = through(&world, &a, "join_channel", &at("lab", "bench")).await.unwrap();
    assert_eq!((text_of(&joined, "joined_by"), joined.get("room_joined")), ("ann", Some(&true.into())));
    let next = through(&world, &a, "join_channel", &[("room", "lab:desk".into())]).await.unwrap();
    assert_eq!(next.get("room_joined"), Some(&false.into()));
    through(&world, &b, "join_channel", &at("lab", "bench")).await.unwrap();
    // Joining again changes nothing.
    let again = through(&world, &a, "join_channel", &at("lab", "bench")).await.unwrap();
    assert_eq!(again.get("joined_at"), joined.get("joined_at"));
    let addresses = |list: &[&str]| list.iter().map(|a| Address::parse(a).unwrap()).collect::<Vec<_>>();
    assert_eq!(a.joined(), addresses(&["lab:bench", "lab:desk"]));

    let members = async || {
        let info = world.call(&user("me"), "channel_info", &at("lab", "bench")).await.unwrap();
        let names = list_of(&info, "members").iter().map(|m| text_of(m, "client_id").to_owned());
        let names: Vec<String> = names.collect();
        assert_eq!(info.get("member_count"), Some(&Value::Int(names.len() as i64)));
        names
    };
    assert_eq!(members().await, ["ann", "bob"]);
    assert_eq!(channels(&world, "lab").await, ["bench", "desk"], "joined is there");
    let left = through(&world, &a, "leave_channel", &at("lab", "bench")).await.unwrap();
    assert_eq!((text_of(&left, "left_by"), left.get("room_left")), ("ann", Some(&false.into())));
    let twice = through(&world, &a, "leave_channel", &at("lab", "bench")).await.unwrap_err();
    assert_eq!(told(&twice), (Code::NotFound, Some("NOT_JOINED")));
    let last = through(&world, &a, "leave_channel", &at("lab", "desk")).await.unwrap();
    assert_eq!(last.get("room_left"), Some(&true.into()));
    assert_eq!(members().await, ["bob"]);
    b.close();
    let gone = world.call(&user("me"), "channel_info", &at("lab", "bench")).await.unwrap_err();
    assert_eq!(gone.reason(), Some("CHANNEL_NOT_FOUND"), "nobody made it and nothing is in it");
    let late = through(&world, &b, "join_channel", &at("lab", "bench")).await.unwrap_err();
    assert_eq!(late.code(), Code::ShuttingDown);
    assert!(channels(&world, "lab").await.is_empty());
}

#[tokio::test]
async fn joining_is_bounded_and_needs_the_right_to_read_and_a_connection() {
    let limits = Limits { subscriptions: 2, ..Limits::default() };
    let world = World::with(limits, Vec::new()).await;
    let connection = world.connect("me");
    for channel in ["a", "b", "a"] {
        through(&world, &connection, "join_channel", &at("lab", channel)).await.unwrap();
    }
    let full = through(&world, &connection, "join_channel", &at("lab", "c")).await.unwrap_err();
    assert_eq!(told(&full), (Code::Exhausted, Some("TOO_MANY_JOINED")));
    let without = world.call(&user("me"), "join_channel", &at("lab", "a")).await.unwrap_err();
    assert_eq!(without.code(), Code::Invalid);
    let narrow = Ctx::new(Arc::new(Principal {
        subscribe: Some([Pattern::parse("repo:*").unwrap()].into()),
        ..(*user("narrow").principal).clone()
    }));
    let connection = world.connect_as(narrow);
    let refused = through(&world, &connection, "join_channel", &at("lab", "a")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Forbidden);
}

#[tokio::test]
async fn deleting_takes_what_is_kept_with_it_and_readers_are_told() {
    let chat = vec![policy("lab:chat", Class::History, 5)];
    let world = World::with(Limits::default(), chat).await;
    let first = world.say("lab:bench", "1").await;
    world.say("lab:desk", "2").await;
    world.say("lab:bench", "3").await;
    let kept = world.say("lab:chat", "4").await;
    world.say("lab:chat", "5").await;
    for channel in ["bench", "chat"] {
        world.call(&moderator(), "delete_channel", &at("lab", channel)).await.unwrap();
    }
    assert_eq!(channels(&world, "lab").await, ["desk"]);
    let again = world.call(&moderator(), "delete_channel", &at("lab", "bench")).await.unwrap_err();
    assert_eq!(told(&again), (Code::NotFound, Some("CHANNEL_NOT_FOUND")));
    let gone =
        [("lab:bench", first.position, GapReason::Trimmed), ("lab:chat", kept.position, GapReason::Overrun)];
    for (channel, position, reason) in gone {
        let reader = Listener::new(world.connect("a"), to(channel, after(position))).await;
        assert_eq!(reader.gap().await.reason, reason, "{channel}");
    }
    let others = Listener::new(world.connect("c"), to("lab:desk", From::Earliest)).await;
    assert_eq!(others.texts(1).await, ["2"]);
    // Publishing makes it anew, with what is said from now on.
    world.say("lab:bench", "6").await;
    let answer = world.call(&user("me"), "history", &at("lab", "bench")).await.unwrap();
    assert_eq!(answer.get("total_messages"), Some(&Value::Int(1)));
}

#[tokio::test]
async fn who_may_make_and_delete_what() {
    let world = World::new().await;
    world.bus.bootstrap(vec![science(true)]).await.unwrap();
    for operation in ["create_channel", "delete_channel"] {
        let refused = world.call(&user("me"), operation, &at("lab", "bench")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Forbidden, "{operation}");
        let system = world.call(&boss(), operation, &at("system", "bench")).await.unwrap_err();
        assert_eq!(system.code(), Code::Forbidden, "{operation}");
    }
    let hardcoded = world.call(&boss(), "delete_channel", &at("science", "share")).await.unwrap_err();
    assert_eq!(told(&hardcoded), (Code::Forbidden, Some("CHANNEL_HARDCODED")));
    let member = world.connect("me");
    through(&world, &member, "join_channel", &at("lab", "bench")).await.unwrap();
    let in_use = world.call(&moderator(), "delete_channel", &at("lab", "bench")).await.unwrap_err();
    assert_eq!(told(&in_use), (Code::Conflict, Some("CHANNEL_IN_USE")));
    let narrow = Ctx::new(Arc::new(Principal {
        publish: Some([Pattern::parse("repo:*").unwrap()].into()),
        ..(*moderator().principal).clone()
    }));
    let refused = world.call(&narrow, "create_channel", &at("lab", "bench")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Forbidden);
    let long = [&at("lab", "long")[..], &[("description", "x".repeat(1025).into())]].concat();
    let refused = world.call(&moderator(), "create_channel", &long).await.unwrap_err();
    assert_eq!(refused.field(), Some("args.description"));
}

#[tokio::test]
async fn rooms_of_the_configuration_are_there_and_stay_as_long_as_it_says() {
    let world = World::new().await;
    world.bus.bootstrap(vec![science(true)]).await.unwrap();
    assert_eq!(channels(&world, "science").await, ["explore", "general", "share"]);
    let info = world.call(&user("me"), "channel_info", &at("science", "share")).await.unwrap();
    assert_eq!((info.get("hardcoded"), text_of(&info, "created_by")), (Some(&true.into()), "config"));
    world.pass(std::time::Duration::from_secs(1)).await;
    let world = world.restarted().await;
    world.bus.bootstrap(vec![science(false)]).await.unwrap();
    let later = world.call(&user("me"), "channel_info", &at("science", "share")).await.unwrap();
    assert_eq!(later.get("created_at"), info.get("created_at"), "it is not made anew");
    for channel in ["general", "explore", "share"] {
        let rooms = world.call(&user("me"), "list_rooms", &[]).await.unwrap();
        assert_eq!(text_of(&list_of(&rooms, "rooms")[0], "description"), "how a question becomes knowledge");
        world.call(&moderator(), "delete_channel", &at("science", channel)).await.unwrap();
    }
    let rooms = world.call(&user("me"), "list_rooms", &[]).await.unwrap();
    assert!(list_of(&rooms, "rooms").is_empty(), "a room goes with its last channel: {rooms:?}");
}

#[tokio::test]
async fn channels_of_one_room_made_and_deleted_at_once_lose_none_and_leave_none() {
    let world = World::through(|records| Arc::new(Slow(records))).await;
    let moderator = &boss();
    let each = async |operation: &'static str| {
        let calls = (0..10).map(|n| {
            let args = at("lab", &format!("c{n}"));
            let world = &world;
            async move { world.call(moderator, operation, &args).await.unwrap() }
        });
        futures_util::future::join_all(calls).await;
    };
    each("create_channel").await;
    assert_eq!(channels(&world, "lab").await.len(), 10);
    each("delete_channel").await;
    let rooms = world.call(moderator, "list_rooms", &[]).await.unwrap();
    assert!(list_of(&rooms, "rooms").is_empty(), "{rooms:?}");
}

#[tokio::test]
async fn tenants_do_not_see_each_others_channels_nor_find_them_by_id() {
    let world = World::new().await;
    let theirs = caller("boss", "acme", Role::Admin);
    let made = world.call(&theirs, "create_channel", &at("lab", "secret")).await.unwrap();
    let member = world.connect_as(theirs);
    through(&world, &member, "join_channel", &at("lab", "joined")).await.unwrap();
    assert!(channels(&world, "lab").await.is_empty());
    let rooms = world.call(&boss(), "list_rooms", &[]).await.unwrap();
    assert!(list_of(&rooms, "rooms").is_empty(), "{rooms:?}");
    for form in [vec![("channel", made.get("channel_id").unwrap().clone())], at("lab", "secret").to_vec()] {
        let refused = world.call(&boss(), "channel_info", &form).await.unwrap_err();
        assert_eq!(refused.reason(), Some("CHANNEL_NOT_FOUND"));
    }
    let status = world.call(&boss(), "status", &[]).await.unwrap();
    assert_eq!(status.get("channels").and_then(|c| c.get("joined")), Some(&Value::Int(0)));
    assert_eq!(status.get("rooms").and_then(|c| c.get("total")), Some(&Value::Int(0)));
}

#[tokio::test]
async fn what_may_not_be_read_is_not_found_by_its_id() {
    let world = World::new().await;
    let made = world.call(&moderator(), "create_channel", &at("secret", "plans")).await.unwrap();
    let narrow = Ctx::new(Arc::new(Principal {
        subscribe: Some([Pattern::parse("repo:*").unwrap()].into()),
        ..(*user("narrow").principal).clone()
    }));
    let alone = [("channel", made.get("channel_id").unwrap().clone())];
    let refused = world.call(&narrow, "channel_info", &alone).await.unwrap_err();
    assert_eq!(refused.reason(), Some("CHANNEL_NOT_FOUND"));
    let by_room = at(text_of(&made, "room_id"), "plans");
    let refused = world.call(&narrow, "channel_info", &by_room).await.unwrap_err();
    assert_eq!(refused.reason(), Some("ROOM_NOT_FOUND"));
    let by_name = world.call(&narrow, "channel_info", &at("secret", "plans")).await.unwrap_err();
    assert_eq!(by_name.code(), Code::Forbidden);
}

#[tokio::test]
async fn history_answers_in_both_forms_and_since_a_moment() {
    let world = World::new().await;
    world.say("lab:bench", "1").await;
    world.pass(std::time::Duration::from_secs(2)).await;
    world.say("lab:bench", "2").await;
    let me = user("me");
    let answer = world.call(&me, "history", &at("lab", "bench")).await.unwrap();
    let [first, second] = list_of(&answer, "history") else { panic!("{answer:?}") };
    assert_eq!((text_of(first, "type"), text_of(first, "sender")), ("message", "someone"));
    assert_eq!(first.get("payload"), Some(&Value::Raw(r#"{"text":"1"}"#.into())));
    assert_eq!(
        (answer.get("total_messages"), answer.get("limit")),
        (Some(&Value::Int(2)), Some(&Value::Int(50)))
    );
    let Some(Value::Time(stored)) = first.get("stored_at") else { panic!("{first:?}") };
    let since = jiff::Timestamp::from_microsecond(stored.0.try_into().unwrap()).unwrap().to_string();
    let later = [&at("lab", "bench")[..], &[("since", since.as_str().into())]].concat();
    let answer = world.call(&me, "history", &later).await.unwrap();
    assert_eq!(list_of(&answer, "history"), std::slice::from_ref(second), "the moment itself is left out");
    let by_address = [("address", "lab:*".into()), ("since", since.into())];
    let answer = world.call(&me, "history", &by_address).await.unwrap();
    assert_eq!(list_of(&answer, "messages").len(), 1);
    let bad = [&at("lab", "bench")[..], &[("since", "yesterday".into())]].concat();
    let refused = world.call(&me, "history", &bad).await.unwrap_err();
    assert_eq!(told(&refused), (Code::Invalid, Some("INVALID_TIMESTAMP")));
}

#[tokio::test]
async fn calls_a_minute_are_bounded_and_admins_have_a_hundred_times_as_many() {
    let world = World::new().await;
    let limits = [("ping", 10), ("status", 5), ("help", 5), ("list_rooms", 20), ("history", 30)];
    for (name, limit) in limits {
        let args = if name == "history" { at("lab", "bench").to_vec() } else { Vec::new() };
        let args = &args;
        for _ in 0..limit {
            world.call(&user("me"), name, args).await.unwrap();
        }
        let refused = world.call(&user("me"), name, args).await.unwrap_err();
        assert_eq!(refused.code(), Code::RateLimited, "{name}");
        assert!(refused.retry_after().is_some_and(|wait| wait.as_secs() <= 60), "{name}");
        assert!(world.call(&user("other"), name, args).await.is_ok(), "{name}");
        for _ in 0..limit * 2 {
            world.call(&boss(), name, args).await.unwrap();
        }
    }
    world.pass(std::time::Duration::from_secs(60)).await;
    assert!(world.call(&user("me"), "ping", &[]).await.is_ok());
}

#[tokio::test]
async fn a_ping_says_who_and_how_long() {
    let world = World::new().await;
    let connection = world.agent("ann", &[]);
    through(&world, &connection, "join_channel", &at("lab", "bench")).await.unwrap();
    let pong = through(&world, &connection, "ping", &[]).await.unwrap();
    assert_eq!((text_of(&pong, "client_id"), text_of(&pong, "message")), ("ann", "Pong!"));
    assert_eq!(pong.get("latency_ms"), Some(&Value::Int(0)));
    let info = pong.get("client_info").unwrap();
    assert_eq!((text_of(info, "role"), info.get("joined")), ("user", Some(&vec!["lab:bench"].into())));
}

#[tokio::test]
async fn looking_for_ids_that_are_none_is_bounded() {
    let world = World::new().await;
    let nowhere = Some("arq_room_00000000000000000000000000000000".to_owned());
    let me = user("me");
    let look = || world.bus.names_of(&me, (nowhere.clone(), Some("main".to_owned())), &[]);
    let mut codes = Vec::new();
    for _ in 0..21 {
        codes.push(look().await.unwrap_err().code());
    }
    assert!(codes[..20].iter().all(|code| *code == Code::NotFound), "{codes:?}");
    assert_eq!(codes[20], Code::RateLimited);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(look().await.unwrap_err().code(), Code::NotFound);
}
