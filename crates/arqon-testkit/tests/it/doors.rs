//! The same scenario through every door, and from every door to every other.

use arqon_testkit::TestServer;
use arqon_testkit::door::{Door, Refusal, Seen};
use serde_json::{Value, json};

fn payload(n: usize) -> String {
    json!({ "n": n, "text": "größer \"quoted\" \\ \n" }).to_string()
}

#[tokio::test]
async fn what_goes_in_through_one_door_comes_out_of_every_other() {
    let server = TestServer::start().await;
    for (i, into) in Door::ALL.into_iter().enumerate() {
        let address = format!("room{i}:main");
        let mut writer = into.open(server.url(), server.token()).await;
        let mut expected = Vec::new();
        for n in 0..5 {
            let position = writer.publish(&address, &payload(n)).await.unwrap();
            let payload: Value = serde_json::from_str(&payload(n)).unwrap();
            expected.push(Seen { position, address: address.clone(), payload });
        }
        for out in Door::ALL {
            let mut reader = out.open(server.url(), server.token()).await;
            let pattern = format!("room{i}:*");
            assert_eq!(reader.read(&pattern, "earliest", 5).await, expected, "{into:?} → {out:?}");
            let after_second = &expected[1].position;
            assert_eq!(reader.read(&pattern, after_second, 3).await, expected[2..], "{into:?} → {out:?}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn positions_of_one_room_rise_by_one_whichever_door_they_came_through() {
    let server = TestServer::start().await;
    let mut offsets = Vec::new();
    for door in Door::ALL.into_iter().cycle().take(9) {
        let mut driver = door.open(server.url(), server.token()).await;
        let position = driver.publish("shared:main", "{}").await.unwrap();
        let (_, offset) = position.split_once('-').unwrap();
        offsets.push(offset.parse::<u64>().unwrap());
    }
    assert!(offsets.windows(2).all(|pair| pair[1] == pair[0] + 1), "{offsets:?}");
    server.stop().await;
}

#[tokio::test]
async fn every_door_refuses_the_same_with_the_same_words() {
    let server = TestServer::start().await;
    let refused = |code: &str, field: &str| Refusal { code: code.to_owned(), field: Some(field.to_owned()) };
    for door in Door::ALL {
        let mut driver = door.open(server.url(), server.token()).await;
        let error = driver.publish("work:main", "\"text\"").await.unwrap_err();
        assert_eq!(error, refused("VALIDATION_ERROR", "payload"), "{door:?}");
        let error = driver.publish("system:main", "{}").await.unwrap_err();
        assert_eq!(error.code, "AUTHORIZATION_ERROR", "{door:?}");
        let error = driver.call("channel_info", json!({ "address": "nowhere:main" })).await.unwrap_err();
        assert_eq!(error.code, "NOT_FOUND", "{door:?}");
        // The door still stands open.
        driver.publish("work:main", "{}").await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn operations_answer_the_same_through_every_door() {
    let server = TestServer::start().await;
    let mut answers = Vec::new();
    Door::Rest.open(server.url(), server.token()).await.publish("work:main", &payload(1)).await.unwrap();
    for door in Door::ALL {
        let mut driver = door.open(server.url(), server.token()).await;
        let rooms = driver.call("list_rooms", json!({})).await.unwrap();
        let mut channels = driver.call("list_channels", json!({ "room": "work" })).await.unwrap();
        channels.as_object_mut().unwrap().remove("queried_at").unwrap();
        let history = driver.call("history", json!({ "address": "work:main", "limit": 10 })).await.unwrap();
        answers.push((rooms, channels, history));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    server.stop().await;
}
