//! Rooms and channels through every door of a real server, and over its restart.

use arqon_server::config::RoomConfig;
use arqon_testkit::TestServer;
use arqon_testkit::door::Door;
use serde_json::{Value, json};

fn without_moment(mut answer: Value) -> Value {
    answer.as_object_mut().expect("an object").remove("queried_at").expect("it says when");
    answer
}

#[tokio::test]
async fn a_channel_made_through_one_door_is_described_and_deleted_through_every_other() {
    let server = TestServer::start().await;
    for (i, into) in Door::ALL.into_iter().enumerate() {
        let mut writer = into.open(server.url(), server.token()).await;
        let address = format!("lab{i}:bench");
        let (room, channel) = (format!("lab{i}"), "bench");
        let plan = json!({ "room": room, "channel": channel, "description": "größer" });
        let made = writer.call("create_channel", plan).await.unwrap();
        for out in Door::ALL {
            let mut reader = out.open(server.url(), server.token()).await;
            let info = reader.call("channel_info", json!({ "address": address })).await.unwrap();
            for name in ["room_id", "channel_id", "description", "created_at", "created_by"] {
                assert_eq!(info[name], made[name], "{into:?} → {out:?}: {name}");
            }
            let listed = reader.call("list_channels", json!({ "room": room })).await.unwrap();
            assert_eq!(listed["channels"][0]["channel_id"], made["channel_id"], "{out:?}");
            let again = reader.call("create_channel", json!({ "address": address })).await.unwrap_err();
            assert_eq!(again.code, "ALREADY_EXISTS", "{out:?}");
        }
        writer.call("delete_channel", json!({ "address": address })).await.unwrap();
        for out in Door::ALL {
            let mut reader = out.open(server.url(), server.token()).await;
            let gone = reader.call("channel_info", json!({ "address": address })).await.unwrap_err();
            assert_eq!(gone.code, "NOT_FOUND", "{out:?}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn members_are_those_whose_connections_live() {
    let server = TestServer::start().await;
    let args = json!({ "room": "lab", "channel": "bench" });
    let mut watcher = Door::Rest.open(server.url(), server.token()).await;
    for door in [Door::WsJson, Door::WsProto] {
        let mut member = door.open(server.url(), server.token()).await;
        let joined = member.call("join_channel", args.clone()).await.unwrap();
        assert_eq!((&joined["channel_name"], &joined["room_joined"]), (&json!("bench"), &json!(true)));
        let info = watcher.call("channel_info", json!({ "address": "lab:bench" })).await.unwrap();
        assert_eq!((&info["member_count"], &info["state"]), (&json!(1), &json!("active")), "{door:?}");
        let left = member.call("leave_channel", args.clone()).await.unwrap();
        assert_eq!(left["room_left"], true);
        let again = member.call("leave_channel", args.clone()).await.unwrap_err();
        assert_eq!(again.code, "NOT_FOUND");
        member.call("join_channel", args.clone()).await.unwrap();
        drop(member);
        while watcher.call("channel_info", json!({ "address": "lab:bench" })).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn rooms_of_the_configuration_and_made_channels_outlive_a_restart() {
    let mut server = TestServer::start_with(|config| {
        config.rooms = vec![RoomConfig {
            name: "science".to_owned(),
            description: Some("how a question becomes knowledge".to_owned()),
            channels: ["general", "explore", "hypothesize", "design", "execute", "interpret", "share"]
                .map(str::to_owned)
                .to_vec(),
            ..RoomConfig::default()
        }];
    })
    .await;
    let mut driver = Door::WsJson.open(server.url(), server.token()).await;
    driver.call("create_channel", json!({ "room": "science", "channel": "attic" })).await.unwrap();
    let hardcoded = driver.call("delete_channel", json!({ "room": "science:share" })).await.unwrap_err();
    assert_eq!(hardcoded.code, "AUTHORIZATION_ERROR");
    let before = driver.call("list_channels", json!({ "room": "science" })).await.unwrap();
    assert_eq!((&before["total_channels"], &before["channels"][0]["name"]), (&json!(8), &json!("attic")));
    server.restart().await;
    let mut driver = Door::WsJson.open(server.url(), server.token()).await;
    let after = driver.call("list_channels", json!({ "room": "science" })).await.unwrap();
    assert_eq!(without_moment(after), without_moment(before));
    server.stop().await;
}
