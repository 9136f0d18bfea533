//! The store: versions, compare-and-set, owners, namespaces, ends, restarts.

use crate::world::*;
use arqon_core::limits::Limits;
use arqon_core::port::{Doc, DocKey, Durability, Expect, Records, Scan, ScanPage, StoreError, Write};
use arqon_core::value::Value;
use arqon_core::{Code, Ctx, Error, Pattern, Principal, Result, Role, Tenant, Timestamp};
use arqon_store_contract::ManualClock;
use arqon_store_memory::{MemoryLog, MemoryRecords};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

fn raw(json: &str) -> Value {
    Value::Raw(json.to_owned().into())
}

async fn set(world: &World, ctx: &Ctx, key: &str, json: &str, more: &[(&str, Value)]) -> Result<Value> {
    let args: Vec<_> = [("key", key.into()), ("value", raw(json))].into_iter().chain(more.to_vec()).collect();
    world.call(ctx, "op.store.set", &args).await
}

async fn get(world: &World, ctx: &Ctx, key: &str) -> Value {
    world.call(ctx, "op.store.get", &[("key", key.into())]).await.unwrap()
}

fn version(answer: &Value) -> i64 {
    match answer.get("version") {
        Some(Value::Int(n)) => *n,
        other => panic!("{other:?}"),
    }
}

fn told(error: &Error) -> (Code, Option<&str>) {
    (error.code(), error.reason())
}

/// Records that let others go first between reading and answering.
pub struct Slow(pub Arc<MemoryRecords>);

impl Records for Slow {
    fn get(&self, key: &DocKey, now: Timestamp) -> BoxFuture<'static, Result<Option<Doc>, StoreError>> {
        let answer = self.0.get(key, now);
        Box::pin(async move {
            let answer = answer.await;
            tokio::task::yield_now().await;
            answer
        })
    }
    fn commit(
        &self,
        writes: Vec<Write>,
        durability: Durability,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Vec<u64>, StoreError>> {
        self.0.commit(writes, durability, now)
    }
    fn scan(&self, scan: Scan) -> BoxFuture<'static, Result<ScanPage, StoreError>> {
        self.0.scan(scan)
    }
    fn sweep(&self, now: Timestamp, limit: usize) -> BoxFuture<'static, Result<usize, StoreError>> {
        self.0.sweep(now, limit)
    }
    fn health(&self) -> Result<(), StoreError> {
        self.0.health()
    }
    fn close(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        self.0.close()
    }
}

#[tokio::test]
async fn a_value_is_kept_as_it_is_with_a_version_that_rises() {
    let world = World::new().await;
    let me = user("me");
    let none = get(&world, &me, "plan").await;
    assert_eq!((none.get("found"), none.get("value")), (Some(&false.into()), Some(&Value::Null)));
    // Kept to the letter: a number that no float can hold, an order of members that no map keeps.
    let odd = r#"{"z":123456789012345678901234567890,"a":[1.0,"ü"]}"#;
    let first = set(&world, &me, "plan", odd, &[]).await.unwrap();
    assert_eq!((first.get("updated"), version(&first)), (Some(&false.into()), 1));
    assert_eq!(get(&world, &me, "plan").await.get("value"), Some(&raw(odd)));
    let second = set(&world, &user("other"), "plan", "2", &[]).await.unwrap();
    assert_eq!((second.get("updated"), version(&second)), (Some(&true.into()), 2));
    assert_eq!(second.get("owner"), Some(&"me".into()), "whoever made it");
    let found = world.restarted().await;
    let found = get(&found, &me, "plan").await;
    assert_eq!((found.get("value"), found.get("updated_by")), (Some(&raw("2")), Some(&"other".into())));
    for bad in [raw("null"), Value::Null] {
        let bad = if bad == raw("null") { continue } else { bad };
        let refused =
            world.call(&me, "op.store.set", &[("key", "x".into()), ("value", bad)]).await.unwrap_err();
        assert_eq!(refused.field(), Some("args.value"));
    }
}

#[tokio::test]
async fn of_two_that_expect_one_version_one_wins_also_at_the_same_moment() {
    let world = World::through(|records| Arc::new(Slow(records))).await;
    let me = user("me");
    let lost = |error: Error| assert_eq!(told(&error), (Code::Conflict, Some("VERSION_MISMATCH")));
    set(&world, &me, "n", "1", &[("expect_version", 0u64.into())]).await.unwrap();
    lost(set(&world, &me, "n", "1", &[("expect_version", 0u64.into())]).await.unwrap_err());
    lost(set(&world, &me, "n", "9", &[("expect_version", 7u64.into())]).await.unwrap_err());
    // Ten count together, each by reading and expecting what it read.
    let world = Arc::new(world);
    let counting = (0..10).map(|n| {
        let world = world.clone();
        async move {
            let me = user(&format!("counter{n}"));
            loop {
                let found = get(&world, &me, "n").await;
                let Some(Value::Raw(json)) = found.get("value") else { panic!() };
                let next = std::str::from_utf8(json).unwrap().parse::<u64>().unwrap() + 1;
                let expect = [("expect_version", found.get("version").unwrap().clone())];
                tokio::task::yield_now().await;
                match set(&world, &me, "n", &next.to_string(), &expect).await {
                    Ok(_) => return,
                    Err(error) => assert_eq!(error.code(), Code::Conflict),
                }
            }
        }
    });
    futures_util::future::join_all(counting).await;
    assert_eq!(get(&world, &me, "n").await.get("value"), Some(&raw("11")));
    // Whoever expects nothing is never refused for others.
    let all = (0..10).map(|n| {
        let world = world.clone();
        async move { set(&world, &user("x"), "m", &n.to_string(), &[]).await.map(|a| version(&a)) }
    });
    let mut versions: Vec<i64> =
        futures_util::future::join_all(all).await.into_iter().map(Result::unwrap).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_version_is_never_another_value_also_after_deletion_and_expiry() {
    let world = World::new().await;
    let me = user("me");
    set(&world, &me, "a", "1", &[]).await.unwrap();
    let delete = |expect: Option<u64>| {
        let args: Vec<_> =
            [("key", "a".into())].into_iter().chain(expect.map(|n| ("expect_version", n.into()))).collect();
        let world = &world;
        let me = me.clone();
        async move { world.call(&me, "op.store.delete", &args).await }
    };
    assert_eq!(delete(Some(5)).await.unwrap_err().code(), Code::Conflict);
    assert_eq!(delete(Some(1)).await.unwrap().get("deleted"), Some(&true.into()));
    assert_eq!(delete(None).await.unwrap().get("deleted"), Some(&false.into()));
    assert_eq!(get(&world, &me, "a").await.get("found"), Some(&false.into()));
    let again = set(&world, &user("heir"), "a", "2", &[("expect_version", 0u64.into())]).await.unwrap();
    assert_eq!((version(&again), again.get("updated")), (3, Some(&false.into())));
    assert_eq!(again.get("owner"), Some(&"heir".into()));
    assert_eq!(delete(Some(1)).await.unwrap_err().code(), Code::Conflict, "whoever remembers the first");

    set(&world, &me, "brief", "1", &[("ttl_s", 10u64.into())]).await.unwrap();
    world.clock.advance(Duration::from_secs(9));
    assert_eq!(get(&world, &me, "brief").await.get("found"), Some(&true.into()));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(get(&world, &me, "brief").await.get("found"), Some(&false.into()));
    let keys = world.call(&me, "op.store.list", &[]).await.unwrap();
    assert_eq!(keys.get("keys"), Some(&Value::List(vec!["a".into()])));
    assert_eq!(version(&set(&world, &me, "brief", "2", &[]).await.unwrap()), 2);
    for bad in [0u64, 1 << 40] {
        let refused = set(&world, &me, "x", "1", &[("ttl_s", bad.into())]).await.unwrap_err();
        assert_eq!(refused.field(), Some("args.ttl_s"));
    }
}

#[tokio::test]
async fn earlier_versions_can_be_read_for_a_while() {
    let world = World::new().await;
    let me = user("me");
    let history = || async {
        let answer = world.call(&me, "op.store.history", &[("key", "a".into())]).await.unwrap();
        let Some(Value::List(versions)) = answer.get("versions").cloned() else { panic!() };
        versions.iter().map(|v| (version(v), v.get("value").unwrap().clone())).collect::<Vec<_>>()
    };
    assert_eq!(history().await, []);
    // A key whose name begins like the other's has versions of its own.
    set(&world, &me, "a/b", "0", &[]).await.unwrap();
    set(&world, &me, "a/b", "0", &[]).await.unwrap();
    for n in 1..=15 {
        set(&world, &me, "a", &n.to_string(), &[]).await.unwrap();
    }
    let expected: Vec<_> = (5..=15).rev().map(|n| (n, raw(&n.to_string()))).collect();
    assert_eq!(history().await, expected);
    world.call(&me, "op.store.delete", &[("key", "a".into())]).await.unwrap();
    assert_eq!(history().await[..2], [(16, Value::Null), (15, raw("15"))]);
    world.clock.advance(Duration::from_secs(25 * 3600));
    assert_eq!(history().await, [], "with the key its past is forgotten");
    set(&world, &me, "a", "1", &[]).await.unwrap();
    assert_eq!(history().await, [(1, raw("1"))], "and does not come back");
}

#[tokio::test]
async fn what_is_its_owners_alone_others_may_read_and_not_change() {
    let world = World::new().await;
    let (me, other, admin) = (user("me"), user("other"), caller("boss", "default", Role::Admin));
    let locked = |yes: bool| [("owner_only", yes.into())];
    set(&world, &me, "a", "1", &locked(true)).await.unwrap();
    let refused = |error: Error| assert_eq!(told(&error), (Code::Forbidden, Some("NOT_OWNER")));
    refused(set(&world, &other, "a", "2", &[]).await.unwrap_err());
    refused(set(&world, &other, "a", "2", &locked(false)).await.unwrap_err());
    refused(world.call(&other, "op.store.delete", &[("key", "a".into())]).await.unwrap_err());
    assert_eq!(get(&world, &other, "a").await.get("value"), Some(&raw("1")));
    set(&world, &me, "a", "3", &[]).await.unwrap();
    refused(set(&world, &other, "a", "2", &[]).await.unwrap_err());
    set(&world, &admin, "a", "4", &locked(false)).await.unwrap();
    set(&world, &other, "a", "5", &[]).await.unwrap();
    refused(set(&world, &other, "a", "6", &locked(true)).await.unwrap_err());
}

#[tokio::test]
async fn namespaces_are_apart_and_own_ones_are_closed() {
    let world = World::new().await;
    let (me, other, admin) = (user("me"), user("other"), caller("boss", "default", Role::Admin));
    let own = [("namespace", "@me".into())];
    set(&world, &me, "a", "1", &own).await.unwrap();
    set(&world, &me, "a", "2", &[("namespace", "team:x".into())]).await.unwrap();
    assert_eq!(get(&world, &me, "a").await.get("found"), Some(&false.into()));
    let closed = |error: Error| assert_eq!(told(&error), (Code::Forbidden, Some("NAMESPACE_CLOSED")));
    closed(set(&world, &other, "a", "3", &own).await.unwrap_err());
    for operation in ["op.store.get", "op.store.delete", "op.store.history", "op.store.list"] {
        let key = [("key", "a".into())];
        let args: Vec<(&str, Value)> =
            key.into_iter().filter(|_| operation != "op.store.list").chain(own.clone()).collect();
        closed(world.call(&other, operation, &args).await.unwrap_err());
        world.call(&admin, operation, &args).await.unwrap();
    }
    // Another tenant has the same names for other things.
    let far = caller("me", "acme", Role::User);
    let answer = world.call(&far, "op.store.list", &[("namespace", "team:x".into())]).await.unwrap();
    assert_eq!(answer.get("count"), Some(&Value::Int(0)));
    assert_eq!(get(&world, &far, "a").await.get("namespace"), Some(&"tenant:acme".into()));
}

#[tokio::test]
async fn a_token_with_patterns_reaches_what_they_cover_and_its_own() {
    let world = World::new().await;
    let pattern = |text: &str| -> Option<Arc<[Pattern]>> { Some([Pattern::parse(text).unwrap()].into()) };
    let (publish, subscribe) = (pattern("store:team"), pattern("store:**"));
    let (subject, tenant, role) = ("narrow".into(), Tenant::default(), Role::User);
    let ctx = Ctx::new(Arc::new(Principal { subject, tenant, role, publish, subscribe, expires_at: None }));
    for (namespace, may_write) in [("team", true), ("@narrow", true), ("default", false), ("team:x", false)] {
        let in_it = [("namespace", namespace.into())];
        assert_eq!(set(&world, &ctx, "a", "1", &in_it).await.is_ok(), may_write, "{namespace}");
        world.call(&ctx, "op.store.list", &in_it).await.unwrap();
    }
}

#[tokio::test]
async fn keys_are_listed_by_name_in_pages() {
    let world = World::new().await;
    let me = user("me");
    for n in 0..25 {
        set(&world, &me, &format!("job/{n:02}"), "1", &[]).await.unwrap();
        set(&world, &me, &format!("other/{n:02}"), "1", &[]).await.unwrap();
    }
    for n in (0..25).step_by(2) {
        world.call(&me, "op.store.delete", &[("key", format!("job/{n:02}").into())]).await.unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let args = [("prefix", "job/".into()), ("limit", 5u64.into()), ("cursor", cursor)];
        let page = world.call(&me, "store.list", &args).await.unwrap();
        let Some(Value::List(keys)) = page.get("keys") else { panic!() };
        seen.extend(keys.iter().map(|key| key.as_text().unwrap().to_owned()));
        cursor = page.get("cursor").unwrap().clone();
        if cursor == Value::Null {
            break;
        }
    }
    let expected: Vec<String> = (1..25).step_by(2).map(|n| format!("job/{n:02}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_is_too_much_is_refused() {
    let world = World::new().await;
    let me = user("me");
    let large = format!("\"{}\"", "x".repeat(256 * 1024));
    let refused = set(&world, &me, "a", &large, &[]).await.unwrap_err();
    assert_eq!(told(&refused), (Code::TooLarge, Some("VALUE_TOO_LARGE")));
    assert_eq!(set(&world, &me, "", "1", &[]).await.unwrap_err().field(), Some("args.key"));
}

/// Of the two stores of a bus only the records can be filled past the limit quickly, so this one fills them itself.
#[tokio::test]
async fn a_tenant_has_a_limit_of_keys_and_deletion_makes_room_in_time() {
    let clock = Arc::new(ManualClock::default());
    let random = Arc::new(arqon_store_contract::SeededRandom::new(7));
    let (log, records) = (Arc::new(MemoryLog::new(clock.clone(), random)), Arc::new(MemoryRecords::new()));
    let now = arqon_core::env::Clock::now(&*clock);
    let put = |n: usize| Write::Put {
        key: DocKey { space: "store", tenant: Tenant::default(), id: format!("default/old{n:06}") },
        expect: Expect::Any,
        data: bytes::Bytes::from_static(&[1, 1, 0, 1, b'x', 1, b'x', 1, 1, 0, b'1']),
        indexes: Vec::new(),
        expires_at: Some(now.plus(Duration::from_secs(90))),
    };
    records.commit((0..99_999).map(put).collect(), Durability::Synced, now).await.unwrap();
    let bus = start_over(clock.clone(), (log, records), (Limits::default(), Vec::new())).await;
    let set = |key: &'static str| {
        let args = [("key", Value::from(key)), ("value", raw("1"))].map(|(k, v)| (k.to_owned(), v));
        let bus = &bus;
        async move {
            let args = arqon_core::value::Args::new(args.into_iter().collect());
            bus.call(&user("me"), None, "op.store.set", args).await
        }
    };
    set("last").await.unwrap();
    assert_eq!(told(&set("more").await.unwrap_err()), (Code::Exhausted, Some("STORE_FULL")));
    set("last").await.unwrap();
    clock.advance(Duration::from_secs(91));
    set("more").await.unwrap();
}
