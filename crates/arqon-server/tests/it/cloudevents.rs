//! CloudEvents through real sockets: in by each mode, out by streams and polls.

use crate::http::{Ask, Events, ask};
use crate::site::Site;
use serde_json::{Value, json};

const EVENT: &str = "application/cloudevents+json";

fn event(id: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/tests", "type": "made.for.tests", "data": data})
}

fn post(query: &str, kind: &str, body: &Value) -> Ask {
    ask("POST", &format!("/api/v1/messages{query}")).header("content-type", kind).body(body.to_string())
}

async fn poll(site: &Site, pattern: &str) -> Vec<Value> {
    let path = format!("/api/v1/poll?pattern={pattern}&from=earliest&format=cloudevents");
    site.get(&path).await.json()["messages"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_event_goes_in_by_each_mode_and_comes_out_as_it_was() {
    let site = Site::start().await;
    let structured = site.send(post("?address=ce:main", EVENT, &event("1", &json!({"n": 1})))).await;
    assert_eq!((structured.status, &structured.json()["room"]), (200, &json!("ce")), "{structured:?}");
    let binary = ask("POST", "/api/v1/messages")
        .header("ce-specversion", "1.0")
        .header("ce-id", "2")
        .header("ce-source", "/tests")
        .header("ce-type", "made.for.tests")
        .header("ce-address", "ce:main")
        .header("ce-subject", "gr%C3%B6%C3%9Fe")
        .header("content-type", "text/plain")
        .body("plain text");
    assert_eq!(site.send(binary).await.status, 200);
    let found = poll(&site, "ce:*").await;
    assert_eq!(found.len(), 2);
    for (event, expected) in found.iter().zip([
        json!({"id": "1", "source": "/tests", "type": "made.for.tests", "data": {"n": 1}, "sender": "owner"}),
        json!({"id": "2", "data": "plain text", "datacontenttype": "text/plain", "subject": "größe"}),
    ]) {
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&event[name], value, "{name} of {event}");
        }
        assert_eq!((&event["specversion"], &event["address"]), (&json!("1.0"), &json!("ce:main")));
    }
    // Who knows nothing of events reads the data as the payload.
    let plain = site.get("/api/v1/channels/ce:main/messages").await.json();
    assert_eq!(plain["messages"][0]["payload"], json!({"n": 1}));
    assert_eq!(plain["messages"][0]["metadata"]["cloudevents"]["type"], "made.for.tests");
}

#[tokio::test]
async fn an_event_that_is_sent_again_is_stored_once() {
    let site = Site::start().await;
    let sent = event("same", &json!({}));
    let first = site.send(post("?address=ce:main", EVENT, &sent)).await.json();
    let again = site.send(post("?address=ce:main", EVENT, &sent)).await.json();
    assert_eq!((&first["duplicate"], &again["duplicate"]), (&json!(false), &json!(true)));
    assert_eq!(first["position"], again["position"]);
}

#[tokio::test]
async fn a_batch_is_answered_event_by_event() {
    let site = Site::start().await;
    let kind = "application/cloudevents-batch+json";
    let batch = json!([event("1", &json!({"n": 1})), {"specversion": "1.0"}, event("2", &json!([2])), 7]);
    let answer = site.send(post("?address=ce:main", kind, &batch)).await;
    let answers = answer.json();
    assert_eq!((answer.status, answers.as_array().unwrap().len()), (200, 4), "{answers}");
    assert_eq!((&answers[0]["room"], &answers[2]["room"]), (&json!("ce"), &json!("ce")));
    assert_eq!(answers[1]["error"]["details"]["field"], "id");
    assert_eq!(answers[3]["error"]["details"]["field"], "event");
    let data: Vec<Value> =
        poll(&site, "ce:*").await.into_iter().map(|mut event| event["data"].take()).collect();
    assert_eq!(data, [json!({"n": 1}), json!([2])]);
    let empty = site.send(post("?address=ce:main", kind, &json!([]))).await;
    assert_eq!(empty.json(), json!([]));
    for (query, body, field) in [
        ("?address=ce:main&confirm=none", json!([]), "args.confirm"),
        ("?address=ce:main", json!({}), "events"),
    ] {
        let refused = site.send(post(query, kind, &body)).await;
        assert_eq!((refused.status, &refused.json()["error"]["details"]["field"]), (400, &json!(field)));
    }
}

#[tokio::test]
async fn what_is_no_event_is_refused_with_the_attribute() {
    let site = Site::start().await;
    let mut old = event("1", &json!({}));
    old["specversion"] = json!("0.3");
    for (query, body, field) in [
        ("", event("1", &json!({})), "address"),
        ("?address=ce:main", old, "specversion"),
        ("?address=ce:main", event("", &json!({})), "id"),
    ] {
        let refused = site.send(post(query, EVENT, &body)).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]["details"]["field"]),
            (400, &json!(field)),
            "{body}"
        );
    }
    let bad =
        ask("POST", "/api/v1/messages?address=a:b").header("ce-specversion", "1.0").header("ce-id", "%FF");
    assert_eq!(site.send(bad).await.json()["error"]["details"]["field"], "id");
    let format = site.get("/api/v1/poll?pattern=a:*&format=xml").await;
    assert_eq!((format.status, &format.json()["error"]["details"]["field"]), (400, &json!("args.format")));
}

#[tokio::test]
async fn a_stream_carries_every_message_as_an_event() {
    let site = Site::start().await;
    let path = "/api/v1/events?pattern=ce:*&format=cloudevents";
    let mut stream = Events::open(site.addr, ask("GET", path).token(&site.owner)).await;
    let position = site.publish("ce:main", 5).await;
    let seen = stream.next().await.unwrap();
    assert_eq!((seen.kind.as_str(), seen.id.as_deref()), ("message", Some(position.as_str())));
    let event = seen.json();
    assert_eq!(
        (&event["source"], &event["type"]),
        (&json!("urn:arqon:default:owner"), &json!("arqon.message"))
    );
    assert_eq!((&event["data"], &event["position"]), (&json!({"n": 5}), &json!(position)));
}
