//! Groups of operators: work in turn, for all, and for the first that answers.

use crate::world::{Listener, World, caller, text, to, user};
use arqon_core::bus::{Connection, From, Publish};
use arqon_core::value::{Args, Value};
use arqon_core::{Code, Ctx, Delivery, Pattern, Principal, Record, Result, Role, Target};
use std::sync::Arc;

/// An operator with its inbox open.
async fn operator(world: &World, name: &str) -> Listener {
    let connection = world.connect(name);
    join(world, &connection).await.unwrap();
    Listener::new(connection, to(&format!("@{name}"), From::Earliest)).await
}

async fn join(world: &World, connection: &Connection) -> Result<Value> {
    let args = Args::new([("group".to_owned(), "team".into())].into_iter().collect());
    world.bus.call(&connection.ctx(), Some(connection), "operator.join", args).await
}

async fn dispatch(world: &World, ctx: &Ctx, n: usize, more: &[(&str, Value)]) -> Result<Value> {
    let payload = Value::Raw(format!("{{\"text\":\"{n}\"}}").into());
    let args = [("group", "team".into()), ("payload", payload)];
    world.call(ctx, "op.group.dispatch", &[&args[..], more].concat()).await
}

fn answers(value: &Value) -> Vec<String> {
    let Some(Value::List(list)) = value.get("answers") else { panic!("{value:?}") };
    let said = |answer: &Value| match answer {
        Value::Delivery(Delivery::Record { record, .. }) => {
            format!("{}: {}", record.message.sender, text(record))
        }
        other => panic!("{other:?}"),
    };
    list.iter().map(said).collect()
}

/// Does a piece of work: answers it, and acknowledges it.
async fn work(world: &World, operator: &Listener, answer: &str) -> Arc<Record> {
    let record = operator.records(1).await.remove(0);
    let reply_to = record.message.extras.as_ref().and_then(|e| e.reply_to.clone());
    if let Some(to) = reply_to {
        let publish = Publish::new(Target::parse(&to).unwrap(), format!("{{\"text\":\"{answer}\"}}"));
        world.publish(&operator.connection.ctx(), publish).await.unwrap();
    }
    operator.acknowledge(&record).await;
    record
}

#[tokio::test]
async fn work_goes_round_and_to_members_only() {
    let world = World::new().await;
    let (a, b) = (operator(&world, "a").await, operator(&world, "b").await);
    let outsider = Listener::new(world.connect("c"), to("@c", From::Earliest)).await;
    for n in 0..6 {
        let given = dispatch(&world, &user("boss"), n, &[]).await.unwrap();
        assert_eq!(given.get("count"), Some(&1u64.into()));
    }
    let (mine, theirs) = (a.texts(3).await, b.texts(3).await);
    let mut all = [mine, theirs].concat();
    all.sort();
    assert_eq!(all, ["0", "1", "2", "3", "4", "5"]);
    assert!(outsider.is_quiet().await && a.is_quiet().await && b.is_quiet().await);
}

#[tokio::test]
async fn a_broadcast_reaches_all_and_collects_every_answer() {
    let world = World::new().await;
    let (a, b) = (operator(&world, "a").await, operator(&world, "b").await);
    let (boss, timeout) = (user("boss"), [("strategy", "broadcast".into()), ("timeout_ms", 5000u64.into())]);
    let asked = dispatch(&world, &boss, 7, &timeout);
    let (given, first, second) = tokio::join!(asked, work(&world, &a, "yes"), work(&world, &b, "no"));
    let given = given.unwrap();
    let mut seen = answers(&given);
    seen.sort();
    assert_eq!(seen, ["a: yes", "b: no"]);
    assert_eq!((text(&first), text(&second)), ("7".to_owned(), "7".to_owned()));
    assert_eq!(&*first.message.sender, "boss");
    let metadata = first.message.extras.as_ref().unwrap().metadata.clone().unwrap();
    assert_eq!(&metadata[..], br#"{"group":"team","strategy":"broadcast"}"#);
}

#[tokio::test]
async fn of_competing_operators_the_first_answer_counts_and_a_late_one_harms_nothing() {
    let world = World::new().await;
    let (a, b) = (operator(&world, "a").await, operator(&world, "b").await);
    let competing = [("strategy", "competing".into())];
    let (boss, quick) = (user("boss"), work(&world, &b, "quick"));
    let (given, _) = tokio::join!(dispatch(&world, &boss, 1, &competing), quick);
    let given = given.unwrap();
    assert_eq!((answers(&given), given.get("count")), (vec!["b: quick".to_owned()], Some(&2u64.into())));
    work(&world, &a, "late").await;
}

#[tokio::test]
async fn who_leaves_gets_no_more_and_what_it_did_not_acknowledge_waits_for_it() {
    let world = World::new().await;
    let a = operator(&world, "a").await;
    dispatch(&world, &user("boss"), 1, &[]).await.unwrap();
    assert_eq!(a.texts(1).await, ["1"]);
    a.connection.close();
    let refused = dispatch(&world, &user("boss"), 2, &[]).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::Unavailable, Some("NO_MEMBERS")));
    let refused = dispatch(&world, &user("boss"), 2, &[("strategy", "broadcast".into())]).await.unwrap_err();
    assert_eq!(refused.reason(), Some("NO_MEMBERS"));
    let again = operator(&world, "a").await;
    assert_eq!(again.texts(1).await, ["1"]);
}

#[tokio::test]
async fn rights_and_walls_hold() {
    let world = World::new().await;
    let a = operator(&world, "a").await;
    let stranger = caller("boss", "acme", Role::Admin);
    let refused = dispatch(&world, &stranger, 1, &[]).await.unwrap_err();
    assert_eq!(refused.reason(), Some("NO_MEMBERS"), "tenants never meet");
    let principal = Principal {
        publish: Some(Arc::new([Pattern::parse("repo:**").unwrap()])),
        ..(*user("limited").principal).clone()
    };
    let limited = Ctx::new(Arc::new(principal));
    for strategy in ["round_robin", "competing", "broadcast"] {
        let refused = dispatch(&world, &limited, 1, &[("strategy", strategy.into())]).await.unwrap_err();
        assert_eq!(refused.code(), Code::Forbidden, "{strategy}");
    }
    for (more, field) in [
        ([("strategy", Value::from("twice"))], "args.strategy"),
        ([("group", "a b".into())], "args.group"),
        ([("payload", Value::Raw("[1]".into()))], "args.payload"),
    ] {
        assert_eq!(dispatch(&world, &user("boss"), 1, &more).await.unwrap_err().field(), Some(field));
    }
    assert!(a.is_quiet().await);
    let members = world.call(&user("x"), "op.group.members", &[("group", "team".into())]).await.unwrap();
    assert_eq!(members.get("members"), Some(&Value::List(vec!["a".into()])));
}
