//! Changes of the inspection policy over restarts: what commands have set holds over the configuration until it is taken
//! back.

use crate::world::{World, caller};
use arqon_core::inspect::{InspectionPolicy, Mode};
use arqon_core::value::Value;
use arqon_core::{Ctx, Role};

fn admin() -> Ctx {
    caller("root", "default", Role::Admin)
}

async fn reload(world: &World, args: &[(&str, Value)]) -> Value {
    world.call(&admin(), "op.casil.reload", args).await.unwrap()
}

async fn shown(world: &World) -> Value {
    world.call(&admin(), "op.casil.get", &[]).await.unwrap()
}

async fn restarted(world: &World, config: &InspectionPolicy) -> World {
    let world = world.restarted().await;
    world.bus.start_inspection(config).await.unwrap();
    world
}

fn config() -> InspectionPolicy {
    InspectionPolicy { enabled: true, max_patterns: 4, ..InspectionPolicy::default() }
}

#[tokio::test]
async fn what_a_command_has_set_holds_over_the_configuration_after_a_restart() {
    let world = World::new().await;
    world.bus.start_inspection(&config()).await.unwrap();
    reload(&world, &[("mode", "enforce".into()), ("scope_exclude", vec!["vault:*"].into())]).await;
    reload(&world, &[("block_on_probable_secret", true.into())]).await;
    let before = world.bus.inspector().policy();
    let world = restarted(&world, &config()).await;
    assert_eq!(world.bus.inspector().policy(), before);
    let keys = vec!["block_on_probable_secret", "mode", "scope_exclude"];
    assert_eq!(shown(&world).await.get("reloaded"), Some(&keys.into()));
    // What no command has set is the configuration's, also when that changes.
    let other = InspectionPolicy { mode: Mode::Monitor, max_payload_bytes: 9_999, ..config() };
    let world = restarted(&world, &other).await;
    let policy = world.bus.inspector().policy();
    assert_eq!((policy.mode, policy.max_payload_bytes), (Mode::Enforce, 9_999));
    assert!(policy.enabled && policy.block_on_probable_secret && world.bus.inspector().is_on());
    // A server without that section is changed as well.
    let world = restarted(&world, &InspectionPolicy::default()).await;
    reload(&world, &[("enabled", true.into())]).await;
    assert!(restarted(&world, &InspectionPolicy::default()).await.bus.inspector().is_on());
}

#[tokio::test]
async fn what_was_set_is_taken_back_for_good() {
    let world = World::new().await;
    world.bus.start_inspection(&config()).await.unwrap();
    reload(&world, &[("mode", "enforce".into()), ("max_patterns", 9u64.into())]).await;
    // Back, and something else at once.
    let answer = reload(&world, &[("reset", true.into()), ("transport_redaction", true.into())]).await;
    assert_eq!(answer.get("reloaded"), Some(&vec!["transport_redaction"].into()));
    let expected = InspectionPolicy { transport_redaction: true, ..config() };
    assert_eq!(*world.bus.inspector().policy(), expected);
    reload(&world, &[("reset", true.into())]).await;
    assert_eq!(*world.bus.inspector().policy(), config());
    let world = restarted(&world, &config()).await;
    assert_eq!(*world.bus.inspector().policy(), config());
}

#[tokio::test]
async fn what_was_kept_and_goes_with_the_configuration_no_more_is_said_and_left() {
    let world = World::new().await;
    world.bus.start_inspection(&config()).await.unwrap();
    reload(&world, &[("redaction_patterns", vec!["a1", "b2", "c3"].into())]).await;
    let narrow = InspectionPolicy { max_patterns: 2, ..config() };
    let world = restarted(&world, &narrow).await;
    assert_eq!(*world.bus.inspector().policy(), narrow);
    let problem = shown(&world).await;
    let problem = problem.get("reload_problem").and_then(Value::as_text).unwrap_or_default().to_owned();
    assert!(problem.contains("max_patterns"), "{problem}");
    // It is kept still, and holds again with a configuration that it goes with.
    let again = restarted(&world, &config()).await;
    assert_eq!(again.bus.inspector().policy().redaction_patterns.len(), 3);
    // Damage is told, and the next reload begins anew.
    world.put_stored("inspection", "reloads", b"\x01\x09damaged".to_vec().into()).await;
    let world = restarted(&world, &config()).await;
    assert!(matches!(shown(&world).await.get("reload_problem"), Some(Value::Text(_))));
    let answer = reload(&world, &[("mode", "enforce".into())]).await;
    assert_eq!(
        (answer.get("mode"), answer.get("reload_problem")),
        (Some(&"enforce".into()), Some(&Value::Null))
    );
}

#[tokio::test]
async fn of_changes_at_once_none_is_lost() {
    let world = World::new().await;
    world.bus.start_inspection(&config()).await.unwrap();
    let (on, off) =
        ([("metadata_to_envelope", Value::from(true))], [("metadata_to_logs", Value::from(false))]);
    let (deep, mode) = ([("redaction_depth", Value::from(3u64))], [("mode", Value::from("enforce"))]);
    tokio::join!(reload(&world, &on), reload(&world, &off), reload(&world, &deep), reload(&world, &mode));
    let policy = world.bus.inspector().policy();
    let expected = InspectionPolicy {
        metadata_to_envelope: true,
        metadata_to_logs: false,
        redaction_depth: 3,
        mode: Mode::Enforce,
        ..config()
    };
    assert_eq!(*policy, expected);
    assert_eq!(*restarted(&world, &config()).await.bus.inspector().policy(), expected);
}
