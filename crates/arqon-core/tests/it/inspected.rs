//! Inspection on the way in: what is blocked is nowhere, what is redacted is redacted everywhere.

use crate::world::*;
use arqon_core::bus::From;
use arqon_core::inspect::{InspectionPolicy, Mode};
use arqon_core::value::Value;
use arqon_core::{Code, Error, Record, Role};
use std::time::Duration;

async fn under(change: impl FnOnce(&mut InspectionPolicy)) -> World {
    let world = World::new().await;
    let mut policy = InspectionPolicy { enabled: true, mode: Mode::Enforce, ..InspectionPolicy::default() };
    change(&mut policy);
    world.bus.inspector().reload(&policy).unwrap();
    world
}

/// A key of the right shape, made here so that none stands in a file.
fn leak() -> String {
    format!("use AKIA{} please", "Z7QX2LMN4PRS5TUV")
}

fn raw(text: &str) -> Value {
    Value::Raw(text.to_owned().into())
}

fn told(error: &Error) -> (Code, Option<&str>, Option<&str>) {
    assert!(!format!("{error} {error:?}").contains("AKIA"), "{error:?}");
    (error.code(), error.reason(), error.field())
}

fn metadata(record: &Record) -> String {
    let metadata = record.message.extras.as_ref().unwrap().metadata.clone().unwrap();
    String::from_utf8(metadata.to_vec()).unwrap()
}

const SECRET: &str = "CASIL_POLICY_BLOCKED_SECRET";

#[tokio::test]
async fn what_is_blocked_is_neither_stored_nor_delivered_and_holds_up_nothing() {
    let world = under(|p| p.block_on_probable_secret = true).await;
    let live = Listener::new(world.connect("x"), to("repo:main", From::Latest)).await;
    let batch = vec![message("repo:main", "a"), message("repo:main", &leak()), message("repo:main", "b")];
    let results = world.bus.publish(&user("a"), batch).await;
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(told(error), (Code::Forbidden, Some(SECRET), Some("payload.text")));
    assert!(results[0].is_ok() && results[2].is_ok());
    assert_eq!(live.texts(2).await, ["a", "b"]);
    let later = Listener::new(world.connect("y"), to("repo:main", From::Earliest)).await;
    assert_eq!(later.texts(2).await, ["a", "b"]);
    assert!(live.is_quiet().await && later.is_quiet().await);
    let counts = world.bus.inspector().counts();
    assert_eq!((counts.inspected, counts.blocked, counts.secrets), (3, 1, 1));
    let metrics = world.bus.metrics();
    let metric = |name| metrics.iter().find(|m| m.name == name).unwrap().value;
    assert_eq!((metric("inspection_blocked_total"), metric("messages_refused_total")), (1.0, 1.0));
}

#[tokio::test]
async fn monitor_lets_everything_pass_as_it_is() {
    let world = under(|p| (p.mode, p.block_on_probable_secret) = (Mode::Monitor, true)).await;
    let text = leak();
    world.say("repo:main", &text).await;
    let listener = Listener::new(world.connect("x"), to("repo:main", From::Earliest)).await;
    assert_eq!(listener.texts(1).await, [text]);
    assert_eq!(world.bus.inspector().counts().spared, 1);
}

#[tokio::test]
async fn what_is_redacted_in_transport_is_stored_redacted_and_marked_if_asked_for() {
    let world = under(|p| (p.transport_redaction, p.metadata_to_envelope) = (true, true)).await;
    let forged = with_extras("repo:main", &leak(), |e| {
        e.metadata = Some(r#"{"casil":{"decision":"ALLOW"},"password":"hunter2","n":1}"#.into());
    });
    world.publish(&user("a"), forged).await.unwrap();
    let listener = Listener::new(world.connect("x"), to("repo:main", From::Earliest)).await;
    let record = listener.records(1).await.remove(0);
    assert_eq!(text(&record), "use ***REDACTED*** please");
    let text = metadata(&record);
    let begin = r#"{"casil":{"kind":"data","risk_level":"high","#;
    assert!(text.starts_with(begin) && text.contains(r#""decision":"ALLOW_WITH_REDACTION"},"#), "{text}");
    assert!(text.ends_with(r#","password":"***REDACTED***","n":1}"#), "{text}");
}

#[tokio::test]
async fn rights_and_sizes_are_asked_before_the_content_and_the_scope_is_the_address() {
    let world = under(|p| {
        p.block_on_probable_secret = true;
        p.max_payload_bytes = 100;
        p.scope_exclude = vec!["vault:*".to_owned(), "@skill/keys".to_owned()];
    })
    .await;
    let system = world.try_say("system:main", &leak()).await.unwrap_err();
    assert_eq!(told(&system), (Code::Forbidden, None, None));
    assert_eq!(world.bus.inspector().counts().inspected, 0);
    let big = world.try_say("repo:main", &"x".repeat(200)).await.unwrap_err();
    assert_eq!(told(&big), (Code::TooLarge, Some("CASIL_POLICY_OVERSIZE"), Some("payload")));
    assert!(world.try_say("vault:aws", &leak()).await.is_ok());
    let _agent = world.agent("keeper", &["keys"]);
    assert!(world.try_say("@skill/keys", &leak()).await.is_ok());
    assert_eq!(told(&world.try_say("@keeper", &leak()).await.unwrap_err()).1, Some(SECRET));
}

#[tokio::test]
async fn questions_and_their_answers_are_messages_and_a_blocked_answer_is_none() {
    let world = under(|p| p.block_on_probable_secret = true).await;
    let asker = user("asker");
    let refused = world.bus.request(&asker, message("math:double", &leak()), Duration::from_secs(5)).await;
    assert_eq!(told(&refused.unwrap_err()).1, Some(SECRET));

    let mut questions = world.bus.questions(&asker);
    let (_, publish) =
        questions.ask(message("math:double", "2"), Duration::from_secs(5), (), world.bus.moment());
    questions.announce();
    let inbox = publish.extras.as_ref().unwrap().reply_to.as_ref().unwrap().to_string();
    world.publish(&asker, publish).await.unwrap();
    assert_eq!(told(&world.try_say(&inbox, &leak()).await.unwrap_err()).1, Some(SECRET));
    world.say(&inbox, "4").await;
    let (_, answer) = std::future::poll_fn(|cx| {
        questions.poll(cx).map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    })
    .await;
    assert_eq!(text(&answer.unwrap().into_record(asker.tenant())), "4");
}

#[tokio::test]
async fn commands_are_judged_by_what_they_carry() {
    let world = under(|p| {
        p.block_on_probable_secret = true;
        p.scope_exclude = vec!["op.store.delete".to_owned(), "vault:*".to_owned()];
    })
    .await;
    let me = user("me");
    let value = raw(&format!(r#"{{"deep":["{}"]}}"#, leak()));
    let set = |key: &'static str, value: Value| [("key", key.into()), ("value", value)];
    let refused = world.call(&me, "op.store.set", &set("plan", value.clone())).await.unwrap_err();
    assert_eq!(told(&refused), (Code::Forbidden, Some(SECRET), Some("args.value.deep[0]")));
    let found = world.call(&me, "store.get", &[("key", "plan".into())]).await.unwrap();
    assert_eq!(found.get("found"), Some(&false.into()));
    // By its name, and by its address.
    assert!(world.call(&me, "op.store.delete", &[("key", leak().into())]).await.is_ok());
    let job = |room: &str| {
        [
            ("room", Value::from(room)),
            ("channel", "aws".into()),
            ("payload", raw(&format!(r#"{{"k":"{}"}}"#, leak()))),
        ]
    };
    assert!(world.call(&me, "op.cron.schedule", &job("vault")).await.is_ok());
    assert!(world.call(&me, "op.cron.schedule", &job("open")).await.is_err());
    // What publishes is judged once, as a message.
    let before = world.bus.inspector().counts().inspected;
    let publish = [("address", "repo:main".into()), ("payload", raw(r#"{"n":1}"#))];
    world.call(&me, "publish", &publish).await.unwrap();
    assert_eq!(world.bus.inspector().counts().inspected, before + 1);
}

#[tokio::test]
async fn what_a_command_carries_is_redacted_where_messages_are() {
    let world = under(|p| p.transport_redaction = true).await;
    let me = user("me");
    let value = raw(&format!(r#"{{ "password" : 7, "a\"b": [1, "{}"] }}"#, leak()));
    let set = [("key", Value::from("token \"x\"")), ("value", value), ("expect_version", 0u64.into())];
    world.call(&me, "op.store.set", &set).await.unwrap();
    let found = world.call(&me, "op.store.get", &[("key", "token \"x\"".into())]).await.unwrap();
    let kept = r#"{ "password" : "***REDACTED***", "a\"b": [1, "use ***REDACTED*** please"] }"#;
    assert_eq!(found.get("value"), Some(&raw(kept)));
}

#[tokio::test]
async fn a_policy_is_reloaded_by_an_admin_whole_or_not_at_all() {
    let world = World::new().await;
    let admin = caller("root", "default", Role::Admin);
    let on =
        [("enabled", true.into()), ("mode", "enforce".into()), ("block_on_probable_secret", true.into())];
    let refused = world.call(&user("a"), "op.casil.reload", &on).await.unwrap_err();
    assert_eq!(refused.code(), Code::Forbidden);
    let stranger = caller("b", "other", Role::Admin);
    let refused = world.call(&stranger, "op.casil.reload", &on).await.unwrap_err();
    assert_eq!(told(&refused).1, Some("NOT_YOUR_POLICY"));
    assert!(!world.bus.inspector().is_on());
    let answer = world.call(&admin, "op.casil.reload", &on).await.unwrap();
    assert_eq!((answer.get("mode"), answer.get("counts")), (Some(&"enforce".into()), None));

    let wrong = [("mode", "monitor".into()), ("redaction_patterns", vec!["("].into())];
    let refused = world.call(&admin, "op.casil.reload", &wrong).await.unwrap_err();
    assert_eq!(told(&refused), (Code::Invalid, Some("BAD_POLICY"), Some("args.redaction_patterns[0]")));
    let fast = world.call(&admin, "op.casil.reload", &[("mode", "fast".into())]).await.unwrap_err();
    assert_eq!(told(&fast), (Code::Invalid, Some("BAD_POLICY"), Some("args.mode")));
    let unknown = [("mode", "monitor".into()), ("modus", 1u64.into())];
    assert!(world.call(&admin, "op.casil.reload", &unknown).await.is_err());
    let shown = world.call(&user("a"), "op.casil.get", &[]).await.unwrap();
    assert_eq!(shown.get("mode"), Some(&"enforce".into()));
    assert!(world.try_say("repo:main", &leak()).await.is_err());

    // What an admin sends to change the policy is never blocked by it.
    let patterns = vec![leak()];
    let off = [("redaction_paths", Value::List(Vec::new())), ("redaction_patterns", patterns.into())];
    world.call(&admin, "op.casil.reload", &off).await.unwrap();
    world.call(&admin, "op.casil.reload", &[("enabled", false.into())]).await.unwrap();
    assert!(world.try_say("repo:main", &leak()).await.is_ok());
    let policy = world.bus.inspector().policy();
    assert!(policy.redaction_paths.is_empty() && policy.block_on_probable_secret);
    let owner = caller("owner", "default", Role::System);
    let shown = world.call(&owner, "casil.get", &[]).await.unwrap();
    assert_eq!(shown.get("counts").unwrap().get("blocked"), Some(&1u64.into()));
}
