//! Webhooks over a receiver that the test plays: order, tries, dead letters, owners, restarts.

mod rotation;

use crate::world::{World, caller, policy, settle, text, user, with_extras};
use arqon_core::bus::{From, Subscribe, SubscribeOptions};
use arqon_core::port::{Outbound, Post, PostError, Receiver};
use arqon_core::value::Value;
use arqon_core::{Class, Code, Ctx, Delivery, Error, Pattern, Principal, Result, Role};
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Receivers of all rules: what was posted, and what they answer; `Ok` when nothing is left to say.
#[derive(Default)]
struct Outside {
    posts: Mutex<Vec<Post>>,
    answers: Mutex<VecDeque<Result<(), PostError>>>,
}

impl Outside {
    fn answer(&self, times: usize, with: Result<(), PostError>) {
        self.answers.lock().unwrap().extend(std::iter::repeat_n(with, times));
    }

    fn fail(&self, times: usize) {
        self.answer(times, Err(PostError::new("the receiver answered 503")));
    }

    /// What was posted since the last call: the message's text, or `gap`.
    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.posts.lock().unwrap()).iter().map(said).collect()
    }

    fn ids(&self) -> Vec<Arc<str>> {
        self.posts.lock().unwrap().iter().map(|post| post.id.clone()).collect()
    }
}

fn said(post: &Post) -> String {
    match &post.delivery {
        Delivery::Record { record, .. } => text(record),
        Delivery::Gap(_) => "gap".to_owned(),
    }
}

impl Outbound for Outside {
    fn admit(&self, receiver: Arc<Receiver>) -> BoxFuture<'static, Result<()>> {
        let is_private = receiver.url.contains("10.0.0.1");
        let refused = || Error::new(Code::Forbidden, "not a public one").with_reason("PRIVATE_ADDRESS");
        Box::pin(async move { if is_private { Err(refused()) } else { Ok(()) } })
    }

    fn post(&self, post: Post) -> BoxFuture<'static, Result<(), PostError>> {
        self.posts.lock().unwrap().push(post);
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Ok(()));
        Box::pin(async move { answer })
    }
}

async fn world() -> (World, Arc<Outside>) {
    let world = World::new().await;
    let outside = start(&world).await;
    (world, outside)
}

async fn start(world: &World) -> Arc<Outside> {
    let outside = Arc::new(Outside::default());
    world.bus.start_webhooks(outside.clone()).await.unwrap();
    settle().await;
    outside
}

async fn register(world: &World, ctx: &Ctx, more: &[(&str, Value)]) -> Result<Value> {
    let mut args: BTreeMap<&str, Value> =
        [("url", "https://example.com/in".into()), ("room", "repo".into())].into_iter().collect();
    args.extend(more.iter().cloned());
    let args: Vec<(&str, Value)> = args.into_iter().collect();
    world.call(ctx, "op.webhook.register", &args).await
}

async fn rules(world: &World, ctx: &Ctx) -> Vec<Value> {
    match world.call(ctx, "op.webhook.list", &[]).await.unwrap().get("rules") {
        Some(Value::List(rules)) => rules.clone(),
        other => panic!("{other:?}"),
    }
}

fn id_of(rule: &Value) -> Value {
    rule.get("rule_id").unwrap().clone()
}

async fn dead_letters(world: &World) -> Vec<Value> {
    let boss = caller("boss", "default", Role::Admin);
    match world.call(&boss, "list_dead_letters", &[]).await.unwrap().get("dead_letters") {
        Some(Value::List(letters)) => letters.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_published_after_the_rule_was_made_is_posted_in_order_and_once() {
    let (world, outside) = world().await;
    world.say("repo:main", "before").await;
    register(&world, &user("me"), &[]).await.unwrap();
    for n in 0..20 {
        world.say(if n % 2 == 0 { "repo:main" } else { "repo:dev:x" }, &n.to_string()).await;
        world.say("other:main", "elsewhere").await;
    }
    world.pass(SECOND).await;
    let ids = outside.ids();
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 20);
    assert_eq!(outside.heard(), (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    world.pass(SECOND * 60).await;
    assert!(outside.heard().is_empty());
    let rule = rules(&world, &user("me")).await.remove(0);
    assert_eq!((rule.get("delivered"), rule.get("problem")), (Some(&20u64.into()), Some(&Value::Null)));
    assert_eq!(rule.get("secret"), None, "it is shown once");
}

#[tokio::test]
async fn a_failure_is_tried_again_later_and_later_before_anything_behind_it() {
    let (world, outside) = world().await;
    register(&world, &user("me"), &[]).await.unwrap();
    outside.fail(3);
    world.say("repo:main", "a").await;
    world.say("repo:main", "b").await;
    settle().await;
    let first = outside.ids();
    assert_eq!(outside.heard(), ["a"]);
    let rule = rules(&world, &user("me")).await.remove(0);
    assert_eq!(rule.get("problem").unwrap().as_text(), Some("the receiver answered 503"));
    assert_eq!(rule.get("failures"), Some(&1u64.into()));
    // After 1, 2 and 4 seconds, each up to a tenth longer.
    for (early, late) in [(900, 300), (1600, 700), (3200, 1300)] {
        world.pass(Duration::from_millis(early)).await;
        assert!(outside.heard().is_empty(), "{early}");
        world.pass(Duration::from_millis(late)).await;
        assert_eq!(outside.ids()[0], first[0], "the same at every try");
        let heard = outside.heard();
        assert_eq!(heard[0], "a");
        assert_eq!(heard.get(1).map(String::as_str), (late == 1300).then_some("b"));
    }
    assert_eq!(rules(&world, &user("me")).await[0].get("problem"), Some(&Value::Null));
    assert!(dead_letters(&world).await.is_empty());
}

#[tokio::test]
async fn after_so_many_tries_it_is_a_dead_letter_with_the_reason_and_the_next_one_goes_on() {
    let (world, outside) = world().await;
    register(&world, &user("me"), &[("max_attempts", 3u64.into())]).await.unwrap();
    outside.fail(3);
    world.say("repo:main", "poison").await;
    world.say("repo:main", "good").await;
    world.pass(SECOND * 5).await;
    assert_eq!(outside.heard(), ["poison", "poison", "poison", "good"]);
    let letters = dead_letters(&world).await;
    assert_eq!(letters.len(), 1);
    let reason = letters[0].get("reason").unwrap().as_text().unwrap();
    assert!(reason.contains("the receiver answered 503 (3 tries)"), "{reason}");
    assert_eq!(rules(&world, &user("me")).await[0].get("given_up"), Some(&1u64.into()));
    let boss = caller("boss", "default", Role::Admin);
    let letter = [("id", letters[0].get("id").unwrap().clone())];
    world.call(&boss, "replay_dead_letter", &letter).await.unwrap();
    world.pass(SECOND).await;
    assert_eq!(outside.heard(), ["poison"]);
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_is_given_it() {
    let (world, outside) = world().await;
    register(&world, &user("me"), &[]).await.unwrap();
    let retry_after = Some(SECOND * 30);
    outside.answer(1, Err(PostError { retry_after, ..PostError::new("the receiver answered 429") }));
    world.say("repo:main", "a").await;
    world.pass(SECOND * 29).await;
    assert_eq!(outside.heard(), ["a"]);
    world.pass(SECOND * 5).await;
    assert_eq!(outside.heard(), ["a"]);
}

#[tokio::test]
async fn what_expires_while_it_waits_is_given_up() {
    let (world, outside) = world().await;
    register(&world, &user("me"), &[]).await.unwrap();
    outside.fail(4);
    let now = arqon_core::env::Clock::now(&*world.clock);
    let publish = with_extras("repo:main", "late", |e| e.expires_at = Some(now.plus(SECOND * 5)));
    world.publish(&user("someone"), publish).await.unwrap();
    world.say("repo:main", "next").await;
    world.pass(SECOND * 12).await;
    assert_eq!(outside.heard(), ["late", "late", "late", "next", "next"]);
    let reason = dead_letters(&world).await[0].get("reason").unwrap().as_text().unwrap().to_owned();
    assert!(reason.contains("expired"), "{reason}");
}

#[tokio::test]
async fn rules_survive_a_restart_and_miss_nothing() {
    let (world, outside) = world().await;
    let made = register(&world, &user("me"), &[]).await.unwrap();
    world.say("repo:main", "a").await;
    world.pass(SECOND).await;
    outside.fail(1);
    world.say("repo:main", "b").await;
    settle().await;
    assert_eq!(outside.heard(), ["a", "b"]);
    // The process is gone while `b` waits for its next try; `c` comes before anybody reads again.
    let world = world.restarted().await;
    world.say("repo:main", "c").await;
    let outside = start(&world).await;
    world.pass(SECOND * 5).await;
    assert_eq!(outside.heard(), ["b", "c"]);
    let rule = rules(&world, &user("me")).await.remove(0);
    assert_eq!(id_of(&rule), id_of(&made));
    assert_eq!(rule.get("url"), made.get("url"));
}

#[tokio::test]
async fn a_rule_belongs_to_its_owner() {
    let (world, outside) = world().await;
    let (me, boss) = (user("me"), caller("boss", "default", Role::Admin));
    let made = register(&world, &me, &[]).await.unwrap();
    let named = [("rule_id", id_of(&made))];
    assert!(rules(&world, &user("other")).await.is_empty());
    assert_eq!(rules(&world, &boss).await.len(), 1);
    let refused = world.call(&user("other"), "op.webhook.unregister", &named).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::Forbidden, Some("NOT_OWNER")));
    for stranger in [caller("me", "acme", Role::User), caller("boss", "acme", Role::Admin)] {
        let refused = world.call(&stranger, "op.webhook.unregister", &named).await.unwrap_err();
        assert_eq!((refused.code(), refused.reason()), (Code::NotFound, Some("RULE_NOT_FOUND")));
        assert!(rules(&world, &stranger).await.is_empty());
    }
    world.call(&boss, "op.webhook.unregister", &named).await.unwrap();
    assert!(rules(&world, &me).await.is_empty());
    world.say("repo:main", "a").await;
    world.pass(SECOND * 5).await;
    assert!(outside.heard().is_empty());
}

#[tokio::test]
async fn what_is_taken_back_is_not_tried_again_and_leaves_no_subscription() {
    let (world, outside) = world().await;
    let made = register(&world, &user("me"), &[]).await.unwrap();
    outside.fail(100);
    world.say("repo:main", "a").await;
    settle().await;
    assert_eq!(outside.heard(), ["a"]);
    let listed = |answer: Value| matches!(answer.get("subscriptions"), Some(Value::List(l)) if l.is_empty());
    let boss = caller("boss", "default", Role::Admin);
    assert!(!listed(world.call(&boss, "list_subscriptions", &[]).await.unwrap()));
    world.call(&user("me"), "op.webhook.unregister", &[("rule_id", id_of(&made))]).await.unwrap();
    world.pass(SECOND * 60).await;
    assert!(outside.heard().is_empty());
    assert!(listed(world.call(&boss, "list_subscriptions", &[]).await.unwrap()));
    let world = world.restarted().await;
    let outside = start(&world).await;
    world.say("repo:main", "b").await;
    world.pass(SECOND * 5).await;
    assert!(outside.heard().is_empty() && rules(&world, &user("me")).await.is_empty());
}

#[tokio::test]
async fn nobody_takes_a_rules_place() {
    let (world, outside) = world().await;
    let made = register(&world, &user("me"), &[]).await.unwrap();
    let name = format!("~{}", id_of(&made).as_text().unwrap());
    let thief = world.connect("thief");
    let wish = Subscribe {
        pattern: Pattern::parse("repo:**").unwrap(),
        from: From::Latest,
        durable: Some(name.clone()),
        options: SubscribeOptions::default(),
    };
    let refused = thief.subscribe(&thief.ctx(), wish).await.unwrap_err();
    assert_eq!(refused.field(), Some("args.durable"));
    // Who may manage subscriptions can delete its place; then it goes on from there.
    let boss = caller("boss", "default", Role::Admin);
    world.call(&boss, "delete_subscription", &[("name", name.into())]).await.unwrap();
    world.pass(SECOND * 3).await;
    world.say("repo:main", "a").await;
    world.pass(SECOND).await;
    assert_eq!(outside.heard(), ["a"]);
}

#[tokio::test]
async fn what_is_kept_in_memory_only_is_posted_too() {
    let world = World::with(Default::default(), vec![policy("repo:*", Class::Ephemeral, 0)]).await;
    let outside = start(&world).await;
    register(&world, &user("me"), &[("max_attempts", 2u64.into())]).await.unwrap();
    outside.fail(2);
    for text in ["a", "b", "c"] {
        world.say("repo:main", text).await;
    }
    world.pass(SECOND * 3).await;
    assert_eq!(outside.heard(), ["a", "a", "b", "c"]);
    assert!(dead_letters(&world).await.is_empty());
}

#[tokio::test]
async fn what_may_not_be_is_refused_and_leaves_nothing() {
    let (world, _outside) = world().await;
    let me = user("me");
    let cases: [(&[(&str, Value)], &str); 9] = [
        (&[("url", Value::Null)], "args.url"),
        (&[("url", "x".repeat(2049).into())], "args.url"),
        (&[("room", "a b".into())], "args.room"),
        (&[("room", "@planner".into())], "args.room"),
        (&[("headers", "x".into())], "args.headers"),
        (&[("headers", Value::map([("a", 1u64.into())]))], "args.headers"),
        (&[("timeout_seconds", 0u64.into())], "args.timeout_seconds"),
        (&[("max_attempts", 0u64.into())], "args.max_attempts"),
        (&[("max_attempts", 21u64.into())], "args.max_attempts"),
    ];
    for (more, field) in cases {
        let error = register(&world, &me, more).await.unwrap_err();
        assert_eq!(error.field(), Some(field), "{more:?}: {error}");
    }
    let private = register(&world, &me, &[("url", "http://10.0.0.1/".into())]).await.unwrap_err();
    assert_eq!((private.code(), private.reason()), (Code::Forbidden, Some("PRIVATE_ADDRESS")));
    let principal = Principal {
        subscribe: Some(Arc::new([Pattern::parse("other:**").unwrap()])),
        ..(*me.principal).clone()
    };
    let limited = Ctx::new(Arc::new(principal));
    assert_eq!(register(&world, &limited, &[]).await.unwrap_err().code(), Code::Forbidden);
    let all = register(&world, &limited, &[("room", Value::Null)]).await.unwrap_err();
    assert_eq!(all.code(), Code::Forbidden, "its patterns do not reach all rooms");
    assert!(rules(&world, &caller("boss", "default", Role::Admin)).await.is_empty());
}

#[tokio::test]
async fn a_tenant_has_a_limit_of_rules() {
    let (world, _outside) = world().await;
    for n in 0..100 {
        register(&world, &user(&format!("u{n}")), &[]).await.unwrap();
    }
    let refused = register(&world, &user("me"), &[]).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::Exhausted, Some("TOO_MANY_RULES")));
    register(&world, &caller("me", "acme", Role::User), &[]).await.unwrap();
}

#[tokio::test]
async fn a_bus_that_reaches_nothing_outside_says_so() {
    let world = World::new().await;
    let refused = register(&world, &user("me"), &[]).await.unwrap_err();
    assert_eq!(refused.reason(), Some("FEATURE_DISABLED"));
}
