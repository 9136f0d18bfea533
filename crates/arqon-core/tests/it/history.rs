//! History by time: windows with both edges excluded, the newest or the oldest of them, and strictness.

use crate::world::{World, caller, message, policy, user, with_extras};
use arqon_core::policy::Policy;
use arqon_core::value::Value;
use arqon_core::{Class, Code, Ctx, Delivery, Error, Pattern, Principal, Result, Role, Timestamp};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Says `count` things in a channel, one each second; answers with when each was stored.
async fn say(world: &World, address: &str, count: usize) -> Vec<Timestamp> {
    let mut times = Vec::new();
    for n in 0..count {
        world.clock.advance(SECOND);
        times.push(arqon_core::env::Clock::now(&*world.clock));
        world.say(address, &format!("{n}")).await;
    }
    times
}

/// RFC 3339.
fn text(at: Timestamp) -> Value {
    jiff::Timestamp::from_microsecond(at.0 as i64).unwrap().to_string().into()
}

fn texts(answer: &Value) -> Vec<String> {
    let Some(Value::List(entries)) = answer.get("entries") else { panic!("{answer:?}") };
    let text = |entry: &Value| match entry.get("envelope") {
        Some(Value::Delivery(Delivery::Record { record, .. })) => crate::world::text(record),
        other => panic!("{other:?}"),
    };
    entries.iter().map(text).collect()
}

async fn get(world: &World, ctx: &Ctx, args: &[(&str, Value)]) -> Result<Vec<String>> {
    world.call(ctx, "op.history.get", args).await.map(|answer| texts(&answer))
}

async fn replay(world: &World, window: (Timestamp, Timestamp), args: &[(&str, Value)]) -> Result<Value> {
    let edges = [("room", "repo".into()), ("from_ts", text(window.0)), ("to_ts", text(window.1))];
    world.call(&user("me"), "op.history.replay", &[&edges[..], args].concat()).await
}

#[tokio::test]
async fn both_edges_of_a_window_are_excluded_and_the_newest_come_first() {
    let world = World::new().await;
    let times = say(&world, "repo:main", 10).await;
    let me = user("me");
    let repo = ("room", Value::from("repo"));
    assert_eq!(get(&world, &me, std::slice::from_ref(&repo)).await.unwrap().len(), 10);
    let window = [repo.clone(), ("since", text(times[2])), ("until", text(times[6]))];
    assert_eq!(get(&world, &me, &window).await.unwrap(), ["5", "4", "3"]);
    let few = [&window[..], &[("limit", 2u64.into())]].concat();
    assert_eq!(get(&world, &me, &few).await.unwrap(), ["5", "4"]);
    let since = [repo.clone(), ("since", text(times[7]))];
    assert_eq!(get(&world, &me, &since).await.unwrap(), ["9", "8"]);
    let until = [repo.clone(), ("until", text(times[1])), ("channel", "main".into())];
    assert_eq!(get(&world, &me, &until).await.unwrap(), ["0"]);
    let answer = world.call(&me, "history.get", &few).await.unwrap();
    assert_eq!((answer.get("count"), answer.get("more")), (Some(&2u64.into()), Some(&true.into())));
    assert_eq!(answer.get("limit"), Some(&2u64.into()));

    let answer = replay(&world, (times[2], times[6]), &[]).await.unwrap();
    assert_eq!(
        (texts(&answer), answer.get("more")),
        (vec!["3".into(), "4".into(), "5".into()], Some(&false.into()))
    );
    assert!(matches!(answer.get("latency_ms"), Some(Value::Float(ms)) if *ms >= 0.0));
    let answer = replay(&world, (times[2], times[6]), &[("limit", 2u64.into())]).await.unwrap();
    assert_eq!((texts(&answer), answer.get("more")), (vec!["3".into(), "4".into()], Some(&true.into())));
}

/// Halving finds what looking at every record finds, wherever the edges lie and however rare the channel is.
#[tokio::test]
async fn a_window_is_what_looking_at_every_record_gives() {
    let world = World::new().await;
    let mut all = Vec::new();
    world.clock.advance(SECOND * 10);
    for n in 0u64..300 {
        world.clock.advance(Duration::from_millis(n % 3 * 500));
        let channel = if n % 37 == 0 { "rare" } else { "often" };
        world.say(&format!("repo:{channel}"), &n.to_string()).await;
        all.push((arqon_core::env::Clock::now(&*world.clock), channel, n.to_string()));
    }
    let first = all[0].0;
    for (from, to) in [(0, 1), (0, 400), (3, 9), (100, 101), (40, 150), (149, 150), (150, 400), (399, 500)] {
        let at = |n: u64| Timestamp(first.0 - 1_000_000 + n * 500_000);
        for channel in ["rare", "often"] {
            let lies = |(when, c, _): &&(Timestamp, &str, String)| {
                *c == channel && (*when > at(from) && *when < at(to))
            };
            let expected: Vec<String> = all.iter().filter(lies).map(|(.., n)| n.clone()).collect();
            for limit in [1, 3, 1000] {
                let args = [
                    ("room", "repo".into()),
                    ("channel", channel.into()),
                    ("since", text(at(from))),
                    ("until", text(at(to))),
                    ("limit", (limit as u64).into()),
                ];
                let newest: Vec<String> = expected.iter().rev().take(limit).cloned().collect();
                assert_eq!(
                    get(&world, &user("me"), &args).await.unwrap(),
                    newest,
                    "{from} {to} {channel} {limit}"
                );
                let more = [("channel", channel.into()), ("limit", (limit as u64).into())];
                let oldest: Vec<String> = expected.iter().take(limit).cloned().collect();
                let answer = replay(&world, (at(from), at(to)), &more).await.unwrap();
                assert_eq!(texts(&answer), oldest, "{from} {to} {channel} {limit}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_kept_in_memory_is_history_too() {
    let rules: Vec<Policy> = vec![policy("chat:*", Class::History, 50)];
    let world = World::with(Default::default(), rules).await;
    let times = say(&world, "chat:main", 4).await;
    let window = [("room", "chat:main".into()), ("since", text(times[0]))];
    assert_eq!(get(&world, &user("me"), &window).await.unwrap(), ["3", "2", "1"]);
}

#[tokio::test]
async fn all_rooms_at_once_are_for_admins_and_in_the_order_of_time() {
    let world = World::new().await;
    for (n, room) in ["a", "b", "a", "c", "b"].into_iter().enumerate() {
        world.clock.advance(SECOND);
        world.say(&format!("{room}:main"), &n.to_string()).await;
    }
    world.say("@somebody", "secret").await;
    let refused = get(&world, &user("me"), &[]).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::Forbidden, Some("ROOM_REQUIRED")));
    assert_eq!(refused.field(), Some("args.room"));
    let boss = caller("boss", "default", Role::Admin);
    assert_eq!(get(&world, &boss, &[]).await.unwrap(), ["4", "3", "2", "1", "0"]);
    assert_eq!(
        get(&world, &boss, &[("channel", "main".into()), ("limit", 2u64.into())]).await.unwrap(),
        ["4", "3"]
    );
    let stranger = caller("boss", "acme", Role::Admin);
    assert!(get(&world, &stranger, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_strict_replay_refuses_numbers_that_go_back() {
    let world = World::new().await;
    for number in [1, 2, 2, 7, 5] {
        world.clock.advance(SECOND);
        let metadata = format!("{{\"sequence\":{number}}}");
        let publish = with_extras("repo:main", &number.to_string(), |e| e.metadata = Some(metadata.into()));
        world.publish(&user("me"), publish).await.unwrap();
    }
    world.publish(&user("me"), message("repo:main", "none")).await.unwrap();
    world.clock.advance(SECOND);
    let all = (Timestamp(0), arqon_core::env::Clock::now(&*world.clock));
    let refused = replay(&world, all, &[]).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::Invalid, Some("SEQUENCE_BROKEN")));
    assert!(refused.message().contains("from 7 to 5"), "{refused}");
    let lax = replay(&world, all, &[("strict_sequence", false.into())]).await.unwrap();
    assert_eq!(texts(&lax), ["1", "2", "2", "7", "5", "none"]);
    let before = replay(&world, all, &[("limit", 4u64.into())]).await.unwrap();
    assert_eq!(texts(&before), ["1", "2", "2", "7"]);
}

/// An operation, its arguments, and the field that is wrong.
type Case<'a> = (&'a str, &'a [(&'a str, Value)], &'a str);

#[tokio::test]
async fn what_is_asked_wrongly_is_said_with_its_field() {
    let world = World::new().await;
    let me = user("me");
    let cases: [Case<'_>; 7] = [
        ("op.history.get", &[("room", "repo".into()), ("since", "noon".into())], "args.since"),
        ("op.history.get", &[("room", "repo".into()), ("limit", 1001u64.into())], "args.limit"),
        ("op.history.get", &[("room", "a b".into())], "args.room"),
        ("op.history.replay", &[("room", "repo".into()), ("to_ts", 5u64.into())], "args.from_ts"),
        ("op.history.replay", &[("room", "repo".into()), ("from_ts", 5u64.into())], "args.to_ts"),
        ("op.history.replay", &[("from_ts", 5u64.into()), ("to_ts", 5u64.into())], "args.to_ts"),
        (
            "op.history.replay",
            &[("from_ts", 5u64.into()), ("to_ts", 6u64.into()), ("limit", 5001u64.into())],
            "args.limit",
        ),
    ];
    for (name, args, field) in cases {
        let error: Error = world.call(&me, name, args).await.unwrap_err();
        assert_eq!(error.field(), Some(field), "{name} {args:?}: {error}");
    }
    let principal = Principal {
        subscribe: Some(Arc::new([Pattern::parse("other:*").unwrap()])),
        ..(*me.principal).clone()
    };
    let limited = Ctx::new(Arc::new(principal));
    assert_eq!(get(&world, &limited, &[("room", "repo".into())]).await.unwrap_err().code(), Code::Forbidden);
    assert!(
        get(&world, &limited, &[("room", "other".into()), ("channel", "x".into())]).await.unwrap().is_empty()
    );
}
