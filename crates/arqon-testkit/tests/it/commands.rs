//! Commands of the operators over a socket, by their other names too: what they answer, and that a name and its other name
//! are one command.

use arqon_client::{Client, Event};
use arqon_server::Config;
use arqon_testkit::TestServer;
use serde_json::{Value, json};

async fn server(change: impl FnOnce(&mut Config)) -> (TestServer, Client) {
    let server = TestServer::start_with(change).await;
    let client = server.client().await;
    (server, client)
}

async fn call(client: &Client, command: &str, args: Value) -> Value {
    client.call(command, args).await.unwrap_or_else(|error| panic!("{command}: {error}"))
}

#[tokio::test]
async fn the_store_by_its_other_names() {
    let (server, client) = server(|_| {}).await;
    for n in 1..=2 {
        let set = call(&client, "store.set", json!({ "key": "plan", "value": n })).await;
        assert_eq!(set["version"], n);
    }
    assert_eq!(call(&client, "store.get", json!({ "key": "plan" })).await["value"], 2);
    let versions = call(&client, "store.history", json!({ "key": "plan" })).await;
    assert_eq!(
        (&versions["versions"][0]["value"], &versions["versions"][1]["value"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(call(&client, "store.list", json!({})).await["keys"], json!(["plan"]));
    assert_eq!(call(&client, "store.delete", json!({ "key": "plan" })).await["deleted"], true);
    assert_eq!(call(&client, "op.store.list", json!({})).await["count"], 0);
    client.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn jobs_by_their_other_names() {
    let (server, client) = server(|_| {}).await;
    let later = json!({ "address": "tick:late", "payload": {}, "delay_seconds": 1000, "job_id": "late" });
    assert_eq!(call(&client, "cron.schedule", later).await["job_id"], "late");
    let named = json!({ "job_id": "late" });
    assert_eq!(call(&client, "cron.pause", named.clone()).await["paused"], true);
    assert_eq!(call(&client, "cron.get", named.clone()).await["paused"], true);
    assert_eq!(call(&client, "cron.resume", named.clone()).await["paused"], false);
    let listed = call(&client, "cron.list", json!({})).await;
    assert_eq!((&listed["count"], &listed["jobs"][0]["job_id"]), (&json!(1), &json!("late")));
    assert_eq!(call(&client, "cron.cancel", named.clone()).await, named);
    assert_eq!(call(&client, "op.cron.list", json!({})).await["count"], 0);
    client.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn webhooks_by_their_other_names() {
    let (server, client) = server(|config| config.webhooks.allow_private_addresses = true).await;
    let rule = json!({ "url": "http://127.0.0.1:1/in", "room": "repo" });
    let made = call(&client, "webhook.register", rule).await;
    let named = json!({ "rule_id": made["rule_id"] });
    let turned = call(&client, "webhook.rotate_secret", named.clone()).await;
    assert!(turned["secret"].is_string() && turned["secret"] != made["secret"], "{turned}");
    let listed = call(&client, "webhook.list", json!({})).await;
    assert_eq!((&listed["count"], &listed["rules"][0]["rule_id"]), (&json!(1), &made["rule_id"]));
    assert_eq!(call(&client, "webhook.unregister", named.clone()).await, named);
    client.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn history_and_inspection_by_their_other_names() {
    let (server, client) = server(|_| {}).await;
    client.publish("repo:main", json!({ "n": 1 })).await.unwrap();
    let window =
        json!({ "room": "repo", "from_ts": "2020-01-01T00:00:00Z", "to_ts": "2100-01-01T00:00:00Z" });
    for name in ["history.replay", "op.history.replay"] {
        let replayed = call(&client, name, window.clone()).await;
        assert_eq!(replayed["count"], 1, "{name}");
        assert_eq!(replayed["entries"][0]["envelope"]["payload"]["n"], 1);
    }
    let newest = call(&client, "history.get", json!({ "room": "repo" })).await;
    assert_eq!(newest["entries"][0]["envelope"]["payload"]["n"], 1);
    let policy =
        call(&client, "casil.reload", json!({ "enabled": true, "max_payload_bytes": 100_000 })).await;
    assert_eq!((&policy["enabled"], &policy["max_payload_bytes"]), (&json!(true), &json!(100_000)));
    assert_eq!(call(&client, "casil.get", json!({})).await["max_payload_bytes"], 100_000);
    client.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn work_of_a_group_comes_to_its_members() {
    let (server, boss) = server(|_| {}).await;
    let operator = server.client().await;
    let joined = call(&operator, "op.group.join", json!({ "group": "translators" })).await;
    assert_eq!((&joined["group"], &joined["members"]), (&json!("translators"), &json!(1)));
    let inbox = format!("@{}", joined["agent"].as_str().unwrap());
    let mut work = operator.subscribe(&inbox).await.unwrap();
    let members = call(&boss, "op.group.members", json!({ "group": "translators" })).await;
    assert_eq!((&members["count"], &members["members"]), (&json!(1), &json!([joined["agent"]])));
    let piece = json!({ "group": "translators", "payload": { "text": "hello" }, "strategy": "broadcast" });
    let given = call(&boss, "op.group.dispatch", piece).await;
    assert_eq!((&given["count"], &given["given"][0]["member"]), (&json!(1), &joined["agent"]));
    let Event::Message(message) = work.next().await.unwrap().unwrap() else { panic!("nothing is missing") };
    assert_eq!(message.json::<Value>().unwrap()["text"], "hello");
    let nobody = json!({ "group": "nobody", "payload": {} });
    let refused = boss.call("op.group.dispatch", nobody).await.unwrap_err();
    let arqon_client::Error::Refused(error) = refused else { panic!("{refused:?}") };
    assert_eq!((error.code().as_str(), error.reason()), ("UNAVAILABLE", Some("NO_MEMBERS")));
    drop(work);
    operator.close().await.unwrap();
    boss.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn signals_of_substrates_are_told_kept_and_forgotten() {
    let (server, client) = server(|config| config.omega.enabled = true).await;
    assert_eq!(call(&client, "op.omega.status", json!({})).await["enabled"], true);
    let mut lab = client.subscribe("omega-lab:signals").await.unwrap();
    let made =
        call(&client, "op.omega.register_substrate", json!({ "name": "loop-7", "kind": "agent" })).await;
    let id = made["substrate_id"].clone();
    let listed = call(&client, "op.omega.list_substrates", json!({})).await;
    assert_eq!((&listed["count"], &listed["substrates"][0]["substrate_id"]), (&json!(1), &id));
    let signal = json!({ "substrate_id": id, "signal": "drift", "payload": { "by": 0.2 } });
    let told = call(&client, "op.omega.emit_event", signal).await;
    let Event::Message(heard) = lab.next().await.unwrap().unwrap() else { panic!("nothing is missing") };
    let heard: Value = heard.json().unwrap();
    assert_eq!(
        (&heard["omega_event"]["event_id"], &heard["omega_event"]["signal"]),
        (&told["event_id"], &json!("drift"))
    );
    let kept = call(&client, "op.omega.list_events", json!({ "signal": "drift" })).await;
    assert_eq!((&kept["count"], &kept["events"][0]["event_id"]), (&json!(1), &told["event_id"]));
    let cleared = call(&client, "op.omega.clear_events", json!({})).await;
    assert_eq!((&cleared["removed_count"], &cleared["remaining_count"]), (&json!(1), &json!(0)));
    let gone = call(&client, "op.omega.unregister_substrate", json!({ "substrate_id": id })).await;
    assert_eq!(gone["substrate_id"], id);
    drop(lab);
    client.close().await.unwrap();
    server.stop().await;
}
