//! Who may do what: roles, address patterns, tenant walls, and that every operation is guarded.

use crate::world::*;
use arqon_core::bus::From;
use arqon_core::value::Value;
use arqon_core::{Code, Ctx, Pattern, Principal, Role, Tenant, Timestamp, operations};
use std::sync::Arc;

fn limited(publish: &[&str], subscribe: &[&str]) -> Ctx {
    let patterns = |list: &[&str]| Some(list.iter().map(|p| Pattern::parse(p).unwrap()).collect());
    Ctx::new(Arc::new(Principal {
        subject: "narrow".into(),
        tenant: Tenant::default(),
        role: Role::User,
        publish: patterns(publish),
        subscribe: patterns(subscribe),
        expires_at: None,
    }))
}

#[tokio::test]
async fn patterns_bound_what_a_token_reaches() {
    let world = World::new().await;
    let ctx = limited(&["repo:*"], &["repo:**", "chat:a"]);
    let publish = |address: &str| world.publish(&ctx, message(address, "x"));
    assert!(publish("repo:main").await.is_ok());
    for address in ["repo:main:deep", "chat:a", "@someone", "@all", "@skill/x"] {
        assert_eq!(publish(address).await.unwrap_err().code(), Code::Forbidden, "{address}");
    }
    for (pattern, allowed) in [
        ("repo:main", true),
        ("repo:**", true),
        ("chat:a", true),
        ("chat:*", false),
        ("*", false),
        ("*:a", false),
    ] {
        let opened = Listener::open(world.connect_as(ctx.clone()), to(pattern, From::Latest)).await;
        assert_eq!(opened.is_ok(), allowed, "{pattern}");
    }
    let peek = world.call(&ctx, "history", &[("address", "secret:x".into())]).await.unwrap_err();
    assert_eq!(peek.code(), Code::Forbidden);
}

#[tokio::test]
async fn an_inbox_is_read_by_its_agent_only() {
    let world = World::new().await;
    let refused = Listener::open(world.connect("thief"), to("@planner", From::Latest)).await.err().unwrap();
    assert_eq!(refused.code(), Code::Forbidden);
    assert!(Listener::open(world.connect("planner"), to("@planner", From::Latest)).await.is_ok());
    let connection = world.connect("thief");
    let agent = arqon_core::AgentId::parse("planner").unwrap();
    assert_eq!(connection.register(agent, Vec::new()).unwrap_err().code(), Code::Forbidden);
}

#[tokio::test]
async fn tenants_never_meet() {
    let world = World::new().await;
    let (a, b) = (caller("x", "acme", Role::Admin), caller("x", "beta", Role::Admin));
    let spy = Listener::new(world.connect_as(b.clone()), to("*", From::Earliest)).await;
    let spy_durable = Listener::new(world.connect_as(b.clone()), durably("repo:*", "d")).await;
    world.publish(&a, message("repo:main", "secret")).await.unwrap();
    world.publish(&a, message("@x", "secret")).await.unwrap();
    let inbox = Listener::new(world.connect_as(b.clone()), to("@x", From::Latest)).await;
    assert!(spy.is_quiet().await && spy_durable.is_quiet().await && inbox.is_quiet().await);
    let empty = Value::List(Vec::new());
    assert_eq!(world.call(&b, "list_rooms", &[]).await.unwrap().get("rooms").unwrap(), &{
        let Value::List(rooms) =
            world.call(&b, "list_rooms", &[]).await.unwrap().get("rooms").unwrap().clone()
        else {
            panic!()
        };
        assert!(rooms.iter().all(|r| r.get("records") == Some(&Value::Int(0))));
        Value::List(rooms)
    });
    let history = world.call(&b, "history", &[("address", "repo:main".into())]).await.unwrap();
    assert_eq!(history.get("messages"), Some(&empty));
    let mine = world.call(&a, "list_subscriptions", &[]).await.unwrap();
    assert_eq!(mine.get("subscriptions"), Some(&empty));
    let status = world.call(&a, "status", &[]).await.unwrap();
    assert_eq!(status.get("connections"), Some(&empty));
    assert_eq!(status.get("metrics"), Some(&Value::Null), "no count crosses the wall");
    let owner = world.call(&caller("owner", "default", Role::System), "status", &[]).await.unwrap();
    assert!(matches!(owner.get("metrics"), Some(Value::Map(_))));
}

#[tokio::test]
async fn every_operation_refuses_a_role_below_its_permission() {
    let world = World::new().await;
    for operation in operations::all() {
        let least = operation.permission.least_role();
        for role in Role::ALL.into_iter().filter(|role| *role < least) {
            let ctx = caller("low", "default", role);
            let refused = world.call(&ctx, operation.name, &[]).await.unwrap_err();
            assert_eq!(refused.code(), Code::Forbidden, "{} as {role:?}", operation.name);
        }
    }
}

#[tokio::test]
async fn every_operation_refuses_an_expired_token() {
    let world = World::new().await;
    let mut principal = (*caller("late", "default", Role::System).principal).clone();
    principal.expires_at = Some(Timestamp(1));
    let ctx = Ctx::new(Arc::new(principal));
    for operation in operations::all() {
        let refused = world.call(&ctx, operation.name, &[]).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{}", operation.name);
    }
    assert_eq!(world.publish(&ctx, message("a:b", "x")).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let world = World::new().await;
    let admin = caller("boss", "default", Role::Admin);
    let token = |args: Vec<(&'static str, Value)>| {
        let (world, admin) = (&world, admin.clone());
        async move { world.call(&admin, "create_token", &args).await }
    };
    assert!(token(vec![("subject", "worker".into())]).await.is_ok());
    let higher = token(vec![("subject", "w".into()), ("role", "system".into())]).await.unwrap_err();
    assert_eq!(higher.code(), Code::Forbidden);
    let elsewhere = token(vec![("subject", "w".into()), ("tenant", "other".into())]).await.unwrap_err();
    assert_eq!(elsewhere.code(), Code::Forbidden);
    let bad = token(vec![("subject", "w".into()), ("role", "god".into())]).await.unwrap_err();
    assert_eq!(bad.field(), Some("role"));
}

fn names(answer: &Value, list: &str, name: &str) -> Vec<String> {
    let Some(Value::List(items)) = answer.get(list) else { panic!("{answer:?}") };
    items.iter().map(|item| item.get(name).unwrap().as_text().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_is_listed_ends_where_the_right_to_read_ends() {
    let world = World::new().await;
    for address in ["repo:main", "secret:plans", "mixed:open", "mixed:closed", "@planner"] {
        world.say(address, "x").await;
    }
    for (pattern, name) in [("repo:*", "mine"), ("secret:*", "theirs")] {
        Listener::new(world.connect("w"), durably(pattern, name)).await;
    }
    Listener::new(world.connect("planner"), to("@planner", From::Latest)).await;
    let mut principal = (*limited(&["*"], &["repo:**", "mixed:open"]).principal).clone();
    principal.role = Role::Moderator;
    let ctx = Ctx::new(Arc::new(principal));

    let rooms = world.call(&ctx, "list_rooms", &[]).await.unwrap();
    assert_eq!(names(&rooms, "rooms", "room"), ["mixed", "repo"]);
    for (room, channels) in [("mixed", vec!["open"]), ("secret", vec![]), ("@planner", vec![])] {
        let answer = world.call(&ctx, "list_channels", &[("room", room.into())]).await.unwrap();
        assert_eq!(names(&answer, "channels", "channel"), channels, "{room}");
    }
    let peek = world.call(&ctx, "channel_info", &[("address", "secret:plans".into())]).await.unwrap_err();
    assert_eq!(peek.code(), Code::Forbidden);
    let subscriptions = world.call(&ctx, "list_subscriptions", &[]).await.unwrap();
    assert_eq!(names(&subscriptions, "subscriptions", "name"), ["mine"]);
    for name in ["theirs", "@planner"] {
        let refused = world.call(&ctx, "delete_subscription", &[("name", name.into())]).await.unwrap_err();
        assert_eq!(refused.code(), Code::Forbidden, "{name}");
    }
    let moderator = caller("mod", "default", Role::Moderator);
    let inbox = [("name", Value::from("@planner"))];
    let refused = world.call(&moderator, "delete_subscription", &inbox).await.unwrap_err();
    assert_eq!(refused.code(), Code::Forbidden);
    let admin = caller("boss", "default", Role::Admin);
    world.call(&admin, "delete_subscription", &inbox).await.unwrap();
}

#[tokio::test]
async fn dead_letters_are_read_by_those_who_may_read_their_room() {
    let world = World::new().await;
    let options = arqon_core::bus::SubscribeOptions { max_deliver: Some(1), ..Default::default() };
    for (address, pattern) in [("repo:main", "repo:*"), ("secret:plans", "secret:*")] {
        world.say(address, "poison").await;
        let name = pattern.split(':').next().unwrap();
        let request = arqon_core::bus::Subscribe { options: options.clone(), ..durably(pattern, name) };
        let listener = Listener::new(world.connect("w"), request).await;
        let record = listener.records(1).await.remove(0);
        listener.reject(&record, "no");
        world.pass(std::time::Duration::from_millis(300)).await;
    }
    let admin = caller("boss", "default", Role::Admin);
    let all = names(&world.call(&admin, "list_dead_letters", &[]).await.unwrap(), "dead_letters", "id");
    assert_eq!(all.len(), 2);
    let mut principal = (*limited(&["*"], &["repo:**"]).principal).clone();
    principal.role = Role::Moderator;
    let ctx = Ctx::new(Arc::new(principal));
    let mine = names(&world.call(&ctx, "list_dead_letters", &[]).await.unwrap(), "dead_letters", "id");
    assert_eq!(mine, [all[0].clone()]);
    for operation in ["get_dead_letter", "replay_dead_letter", "delete_dead_letter"] {
        let refused = world.call(&ctx, operation, &[("id", all[1].as_str().into())]).await.unwrap_err();
        assert_eq!(refused.code(), Code::Forbidden, "{operation}");
    }
}
