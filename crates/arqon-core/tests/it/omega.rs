//! The omega lane: off unless turned on, bounded, apart from everything else.

use crate::world::{Listener, World, caller, to, user};
use arqon_core::bus::{From, OmegaSettings};
use arqon_core::value::Value;
use arqon_core::{Address, Code, Ctx, Kind, Result, Role};

fn settings() -> OmegaSettings {
    OmegaSettings { lab: Address::parse("omega-lab:signals").unwrap(), max_events: 3, max_substrates: 2 }
}

async fn register(world: &World, ctx: &Ctx, name: &str) -> Result<Value> {
    let args = [("name", name.into()), ("kind", "agent".into())];
    let made = world.call(ctx, "op.omega.register_substrate", &args).await?;
    Ok(made.get("substrate_id").unwrap().clone())
}

async fn emit(world: &World, ctx: &Ctx, substrate: &Value, signal: &str) -> Result<Value> {
    let args = [("substrate_id", substrate.clone()), ("signal", signal.into())];
    world.call(ctx, "op.omega.emit_event", &args).await
}

async fn signals(world: &World, filter: &[(&str, Value)]) -> Vec<String> {
    let answer = world.call(&user("me"), "op.omega.list_events", filter).await.unwrap();
    let Some(Value::List(events)) = answer.get("events") else { panic!("{answer:?}") };
    events.iter().map(|event| event.get("signal").unwrap().as_text().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn it_is_off_unless_turned_on_and_says_so() {
    let world = World::new().await;
    let status = world.call(&user("me"), "op.omega.status", &[]).await.unwrap();
    assert_eq!(status.get("enabled"), Some(&false.into()));
    let refused = register(&world, &caller("boss", "default", Role::Admin), "a").await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::Unavailable, Some("FEATURE_DISABLED")));
}

#[tokio::test]
async fn signals_are_told_in_the_lab_only_and_the_newest_are_kept() {
    let world = World::new().await;
    world.bus.turn_on_omega(settings());
    let boss = caller("boss", "default", Role::Admin);
    let lab = Listener::new(world.connect("ear"), to("omega-lab:signals", From::Latest)).await;
    let elsewhere = Listener::new(world.connect("ear2"), to("repo:**", From::Latest)).await;
    let (a, b) = (register(&world, &boss, "a").await.unwrap(), register(&world, &boss, "b").await.unwrap());
    for (substrate, signal) in [(&a, "one"), (&b, "two"), (&a, "three"), (&a, "two")] {
        emit(&world, &boss, substrate, signal).await.unwrap();
    }
    let told = lab.records(4).await;
    assert!(told.iter().all(|r| &*r.message.sender == "op-omega" && r.message.kind == Kind::Telemetry));
    assert!(std::str::from_utf8(&told[0].message.payload).unwrap().contains("\"signal\":\"one\""));
    assert!(elsewhere.is_quiet().await);
    assert_eq!(signals(&world, &[]).await, ["two", "three", "two"], "three are kept");
    assert_eq!(signals(&world, &[("limit", 1u64.into())]).await, ["two"]);
    assert_eq!(signals(&world, &[("substrate_id", b.clone())]).await, ["two"]);
    assert_eq!(signals(&world, &[("signal", "two".into()), ("substrate_id", a.clone())]).await, ["two"]);
    let cleared = world.call(&boss, "op.omega.clear_events", &[("signal", "three".into())]).await.unwrap();
    assert_eq!(
        (cleared.get("removed_count"), cleared.get("remaining_count")),
        (Some(&1u64.into()), Some(&2u64.into()))
    );
    let gone =
        world.call(&boss, "op.omega.unregister_substrate", &[("substrate_id", a.clone())]).await.unwrap();
    assert_eq!(gone.get("removed_events"), Some(&1u64.into()));
    let refused = emit(&world, &boss, &a, "late").await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::NotFound, Some("SUBSTRATE_NOT_FOUND")));
}

#[tokio::test]
async fn substrates_are_bounded_survive_a_restart_and_stay_in_their_tenant() {
    let world = World::new().await;
    world.bus.turn_on_omega(settings());
    let boss = caller("boss", "default", Role::Admin);
    let first = register(&world, &boss, "a").await.unwrap();
    register(&world, &boss, "b").await.unwrap();
    let refused = register(&world, &boss, "c").await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::Invalid, Some("TOO_MANY_SUBSTRATES")));
    let stranger = caller("boss", "acme", Role::Admin);
    assert_eq!(emit(&world, &stranger, &first, "x").await.unwrap_err().code(), Code::NotFound);
    register(&world, &stranger, "mine").await.unwrap();
    let world = world.restarted().await;
    world.bus.turn_on_omega(settings());
    let list = world.call(&user("me"), "op.omega.list_substrates", &[]).await.unwrap();
    assert_eq!(list.get("count"), Some(&2u64.into()));
    emit(&world, &boss, &first, "again").await.unwrap();
    let refused = register(&world, &user("me"), "d").await.unwrap_err();
    assert_eq!(refused.code(), Code::Forbidden);
}
