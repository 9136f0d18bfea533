//! Commands that have no other way than a live connection, and those about what a durable subscription gave up: called
//! over a socket, with what they answer and what follows from them.

use crate::client::Client;
use crate::world::World;
use serde_json::{Value, json};
use std::time::Duration;

/// What a command answers with; it must not be refused.
async fn call(client: &mut Client, command: &str, args: Value) -> Value {
    let answer = client.call("c", command, &args.to_string()).await;
    assert_eq!(answer["status"], "success", "{command}: {answer}");
    answer["payload"]["data"].clone()
}

/// The code and the reason that a command is refused with.
async fn refused(client: &mut Client, command: &str, args: Value) -> (Value, Value) {
    let answer = client.call("c", command, &args.to_string()).await;
    assert_eq!(answer["type"], "error", "{command}: {answer}");
    (answer["error_code"].clone(), answer["payload"]["reason"].clone())
}

#[tokio::test]
async fn publishing_by_command_answers_with_the_place_and_credit_says_how_much_may_come() {
    let world = World::new().await;
    let (mut reader, _) = Client::connect(&world, "?token=reader").await;
    let (mut writer, _) = Client::connect(&world, "?token=writer").await;
    let made = call(&mut reader, "subscribe", json!({ "pattern": "repo:*", "credit": 1 })).await;
    let subscription = made["subscription"].clone();
    let mut positions = Vec::new();
    for n in 1..=2 {
        let said =
            call(&mut writer, "publish", json!({ "address": "repo:main", "payload": { "n": n } })).await;
        assert_eq!((&said["room"], &said["duplicate"]), (&json!("repo"), &json!(false)));
        positions.push(said["position"].clone());
    }
    let first = reader.json().await;
    assert_eq!((&first["payload"]["n"], &first["position"]), (&json!(1), &positions[0]));
    // The second comes only with more credit, behind the answer that grants it.
    let granted = call(&mut reader, "credit", json!({ "subscription": subscription, "add": 1 })).await;
    assert_eq!(granted["subscription"], subscription);
    assert_eq!(reader.json().await["position"], positions[1]);
    let ended = call(&mut reader, "unsubscribe", json!({ "subscription": subscription })).await;
    assert_eq!(ended["subscription"], subscription);
    let again = refused(&mut reader, "unsubscribe", json!({ "subscription": subscription })).await;
    assert_eq!(again.0, "NOT_FOUND");
}

#[tokio::test]
async fn who_registers_speaks_as_the_agent_and_is_found_by_its_skill() {
    let world = World::new().await;
    let (mut agent, _) = Client::connect(&world, "?token=planner").await;
    let known = call(&mut agent, "register", json!({ "agent": "planner", "skills": ["plan"] })).await;
    assert_eq!(known, json!({ "agent": "planner", "skills": ["plan"] }));
    let other = refused(&mut agent, "register", json!({ "agent": "somebody-else" })).await;
    assert_eq!(other.0, "AUTHORIZATION_ERROR");
    call(&mut agent, "subscribe", json!({ "pattern": "@planner" })).await;
    let (mut writer, _) = Client::connect(&world, "?token=writer").await;
    call(&mut writer, "publish", json!({ "address": "@skill/plan", "payload": { "n": 1 } })).await;
    assert_eq!(agent.json().await["payload"]["n"], 1);
    let nobody = json!({ "address": "@skill/unknown", "payload": {} });
    assert_eq!(refused(&mut writer, "publish", nobody).await.0, "UNAVAILABLE");
}

#[tokio::test]
async fn what_was_given_up_is_read_sent_again_and_removed() {
    let world = World::new().await;
    let (mut boss, _) = Client::connect(&world, "?token=admin").await;
    let durable = json!({ "pattern": "repo:*", "durable": "worker", "max_deliver": 1 });
    let subscription = call(&mut boss, "subscribe", durable).await["subscription"].clone();
    let mut given_up = Vec::new();
    for n in 1..=2 {
        boss.send(json!({"type": "message", "to": "repo:main", "payload": {"n": n}}).to_string()).await;
        let position = boss.json().await["position"].clone();
        let reject = json!({ "subscription": subscription, "position": position, "reason": "no such file" });
        call(&mut boss, "reject", reject).await;
        // It is put there beside the answer.
        loop {
            let listed = call(&mut boss, "list_dead_letters", json!({ "subscription": "worker" })).await;
            let letters = listed["dead_letters"].as_array().unwrap();
            if letters.len() == n {
                given_up = letters.iter().map(|letter| letter["id"].clone()).collect();
                break;
            }
            world.pass(Duration::from_millis(100)).await;
        }
    }
    let letter = call(&mut boss, "get_dead_letter", json!({ "id": given_up[0] })).await;
    assert_eq!(
        (&letter["reason"], &letter["subscription"]),
        (&json!("rejected: no such file"), &json!("worker"))
    );
    let again = boss.call("c", "replay_dead_letter", &json!({ "id": given_up[0] }).to_string()).await;
    assert_eq!(again["payload"]["data"]["duplicate"], false, "{again}");
    assert_eq!(boss.json().await["payload"], letter["message"]["payload"]);
    assert_eq!(call(&mut boss, "delete_dead_letter", json!({ "id": given_up[1] })).await["id"], given_up[1]);
    for id in given_up {
        assert_eq!(refused(&mut boss, "get_dead_letter", json!({ "id": id })).await.0, "NOT_FOUND");
    }
    call(&mut boss, "unsubscribe", json!({ "subscription": subscription })).await;
    let forgotten = call(&mut boss, "delete_subscription", json!({ "name": "worker" })).await;
    assert_eq!(forgotten["name"], "worker");
    let none = call(&mut boss, "list_subscriptions", json!({})).await;
    assert_eq!(none["subscriptions"], json!([]));
}
