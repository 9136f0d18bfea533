//! Content inspection through every door: what is blocked is told the same, and reaches nobody.

use arqon_server::config::{InspectionConfig, InspectionMode};
use arqon_testkit::TestServer;
use arqon_testkit::door::{Door, Refusal};
use serde_json::json;

fn leak() -> String {
    format!("use AKIA{} please", "Z7QX2LMN4PRS5TUV")
}

#[tokio::test]
async fn a_secret_is_refused_at_every_door_and_reaches_nobody() {
    let server = TestServer::start_with(|config| {
        config.inspection = InspectionConfig {
            enabled: true,
            mode: InspectionMode::Enforce,
            block_on_probable_secret: true,
            ..InspectionConfig::default()
        };
    })
    .await;
    let refused =
        |field: &str| Refusal { code: "AUTHORIZATION_ERROR".to_owned(), field: Some(field.to_owned()) };
    for (i, door) in Door::ALL.into_iter().enumerate() {
        let mut driver = door.open(server.url(), server.token()).await;
        let address = format!("room{i}:main");
        driver.publish(&address, r#"{"n":1}"#).await.unwrap();
        let error = driver.publish(&address, &json!({ "log": [leak()] }).to_string()).await.unwrap_err();
        assert_eq!(error, refused("payload.log[0]"), "{door:?}");
        driver.publish(&address, r#"{"n":2}"#).await.unwrap();
        let set = json!({ "key": "plan", "value": { "key": leak() } });
        let error = driver.call("op.store.set", set).await.unwrap_err();
        assert_eq!(error, refused("args.value.key"), "{door:?}");
        for out in Door::ALL {
            let mut reader = out.open(server.url(), server.token()).await;
            let seen = reader.read(&format!("room{i}:*"), "earliest", 2).await;
            let payloads: Vec<_> = seen.into_iter().map(|m| m.payload).collect();
            assert_eq!(payloads, [json!({ "n": 1 }), json!({ "n": 2 })], "{door:?} → {out:?}");
        }
        let shown = driver.call("op.casil.get", json!({})).await.unwrap();
        assert_eq!((&shown["mode"], &shown["counts"]["blocked"]), (&json!("enforce"), &json!(2 * (i + 1))));
    }
    server.stop().await;
}

#[tokio::test]
async fn an_incident_is_answered_by_one_command_and_a_wrong_one_changes_nothing() {
    let server = TestServer::start().await;
    for door in Door::ALL {
        let mut driver = door.open(server.url(), server.token()).await;
        let secret = json!({ "text": leak() }).to_string();
        driver.publish("repo:main", &secret).await.unwrap();
        let on = json!({ "enabled": true, "mode": "enforce", "block_on_probable_secret": true });
        driver.call("op.casil.reload", on).await.unwrap();
        assert!(driver.publish("repo:main", &secret).await.is_err(), "{door:?}");
        let wrong = json!({ "enabled": false, "secret_patterns": ["(open"] });
        let error = driver.call("op.casil.reload", wrong).await.unwrap_err();
        assert_eq!(error.code, "VALIDATION_ERROR");
        assert_eq!(error.field.as_deref(), Some("args.secret_patterns[0]"), "{door:?}");
        assert!(driver.publish("repo:main", &secret).await.is_err(), "{door:?}");
        driver.call("op.casil.reload", json!({ "enabled": false })).await.unwrap();
    }
    server.stop().await;
}
