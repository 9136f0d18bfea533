//! The operators through every door: the same answers, the same refusals, and older names for them.

use arqon_testkit::TestServer;
use arqon_testkit::door::Door;
use serde_json::{Value, json};

#[tokio::test]
async fn a_value_set_through_one_door_is_read_through_every_other_to_the_letter() {
    let server = TestServer::start().await;
    for (i, into) in Door::ALL.into_iter().enumerate() {
        let mut writer = into.open(server.url(), server.token()).await;
        let (key, value) = (format!("team/{i} ö"), json!({ "z": [1.5, null, "ü\n"], "a": { "b": false } }));
        let set =
            writer.call("op.store.set", json!({ "key": key, "value": value, "expect_version": 0 })).await;
        assert_eq!(set.unwrap()["version"], 1, "{into:?}");
        for out in Door::ALL {
            let mut reader = out.open(server.url(), server.token()).await;
            let found = reader.call("op.store.get", json!({ "key": key })).await.unwrap();
            assert_eq!((&found["value"], &found["found"]), (&value, &json!(true)), "{into:?} → {out:?}");
            let again = json!({ "key": key, "value": 1, "expect_version": 0 });
            let refused = reader.call("op.store.set", again).await.unwrap_err();
            assert_eq!(refused.code, "CONFLICT");
            assert_eq!(refused.field.as_deref(), Some("args.expect_version"));
            let versions = reader.call("op.store.history", json!({ "key": key })).await.unwrap();
            assert_eq!(versions["versions"][0]["value"], value);
        }
        let deleted =
            writer.call("op.store.delete", json!({ "key": key, "expect_version": 1 })).await.unwrap();
        assert_eq!(deleted["deleted"], true);
        let listed = writer.call("op.store.list", json!({ "prefix": "team/" })).await.unwrap();
        assert_eq!((&listed["count"], &listed["keys"]), (&json!(0), &json!([])));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_job_made_through_any_door_sends_to_every_door() {
    let server = TestServer::start().await;
    for (i, into) in Door::ALL.into_iter().enumerate() {
        let mut driver = into.open(server.url(), server.token()).await;
        let address = format!("tick{i}:main");
        let plan = json!({
            "address": address, "payload": { "n": i }, "delay_seconds": 0.05, "interval_seconds": 0.1, "repeat_count": 3,
        });
        let job = driver.call("op.cron.schedule", plan).await.unwrap();
        assert!(job["job_id"].as_str().unwrap().starts_with("cron_"), "{job}");
        assert_eq!((&job["room"], &job["channel"]), (&json!(format!("tick{i}")), &json!("main")));
        for out in Door::ALL {
            let mut reader = out.open(server.url(), server.token()).await;
            let seen = reader.read(&format!("tick{i}:*"), "earliest", 3).await;
            assert!(seen.iter().all(|m| m.payload == json!({ "n": i })), "{into:?} → {out:?}: {seen:?}");
        }
        let later = json!({ "room": "tick", "channel": "late", "payload": {}, "delay_seconds": 1000 });
        let job = driver.call("op.cron.schedule", later).await.unwrap()["job_id"].clone();
        let named = json!({ "job_id": job });
        assert_eq!(driver.call("op.cron.pause", named.clone()).await.unwrap()["paused"], true);
        assert_eq!(driver.call("op.cron.resume", named.clone()).await.unwrap()["paused"], false);
        assert_eq!(driver.call("op.cron.get", named.clone()).await.unwrap()["payload"], json!({}));
        assert_eq!(driver.call("op.cron.cancel", named.clone()).await.unwrap(), named);
        let refused = driver.call("op.cron.get", named).await.unwrap_err();
        assert_eq!((refused.code.as_str(), refused.field.as_deref()), ("NOT_FOUND", Some("args.job_id")));
    }
    server.stop().await;
}

#[tokio::test]
async fn other_names_reach_the_same_and_help_describes_them() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.call("store.set", json!({ "key": "a", "value": [1] })).await.unwrap();
    assert_eq!(client.call("store.get", json!({ "key": "a" })).await.unwrap()["value"], json!([1]));
    let help = client.call("help", json!({ "command": "store.set" })).await.unwrap();
    let row = &help["commands"][0];
    assert_eq!((&row["name"], &row["aliases"]), (&json!("op.store.set"), &json!(["store.set"])));
    assert_eq!(row["category"], "store");
    let names: Vec<&str> =
        row["reasons"].as_array().unwrap().iter().map(|r| r["reason"].as_str().unwrap()).collect();
    assert!(names.contains(&"VERSION_MISMATCH"), "{row}");
    let all = client.call("help", json!({})).await.unwrap();
    let named: usize =
        all["categories"].as_object().unwrap().values().map(|c| c.as_array().unwrap().len()).sum();
    assert_eq!(all["commands"].as_array().unwrap().len(), named);
    assert_eq!(all["available_commands"].as_array().unwrap().len(), named, "the owner may use all");

    let refused =
        client.call("store.set", json!({ "key": "a", "value": 2, "expect_version": 9 })).await.unwrap_err();
    let arqon_client::Error::Refused(error) = refused else { panic!("{refused:?}") };
    assert_eq!(error.reason(), Some("VERSION_MISMATCH"));
    let unknown = client.call("help", json!({ "command": "stor.set" })).await.unwrap_err();
    let arqon_client::Error::Refused(error) = unknown else { panic!("{unknown:?}") };
    assert_eq!((error.code().as_str(), error.reason()), ("UNKNOWN_COMMAND", Some("COMMAND_NOT_FOUND")));
    client.close().await.unwrap();
    server.stop().await;
}

/// Every example of the table is taken as it stands in the documents: none is refused for its form.
#[tokio::test]
async fn the_examples_of_the_operators_work_as_they_stand() {
    let server = TestServer::start().await;
    let client = server.client().await;
    for operation in arqon_core::operations::all().iter().filter(|o| o.name.starts_with("op.")) {
        let args: Value = serde_json::from_str(operation.example).unwrap();
        match client.call(operation.name, args).await {
            Ok(_) => {}
            Err(arqon_client::Error::Refused(error)) => {
                let reason = error.reason().unwrap_or_default().to_owned();
                assert!(
                    ["VERSION_MISMATCH", "JOB_NOT_FOUND", "RULE_NOT_FOUND", "NO_MEMBERS", "FEATURE_DISABLED"]
                        .contains(&&*reason),
                    "{}: {error}",
                    operation.name
                );
            }
            Err(other) => panic!("{}: {other}", operation.name),
        }
    }
    client.close().await.unwrap();
    server.stop().await;
}
