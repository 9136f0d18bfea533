//! Telemetry through real sockets: the older port, and the HTTP endpoints beside it. Each type of event is caused in
//! `telemetry/events.rs`.

mod events;

use crate::http::{PATIENCE, ask};
use crate::site::Site;
use arqon_core::Role;
use arqon_server::Config;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A plain WebSocket client.
pub struct Talk(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Talk {
    pub async fn open(url: &str) -> Talk {
        Talk(connect_async(url).await.unwrap().0)
    }

    pub async fn send(&mut self, said: &Value) {
        self.0.send(Message::text(said.to_string())).await.unwrap();
    }

    /// The next object, or the code of the close frame.
    pub async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let message =
                tokio::time::timeout(PATIENCE, self.0.next()).await.expect("something comes in time");
            match message.expect("a close frame before the end").unwrap() {
                Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
                Message::Close(frame) => return Err(frame.unwrap().code.into()),
                _ => {}
            }
        }
    }

    /// The next event of a type; those before it are dropped.
    pub async fn event(&mut self, what: &str) -> Value {
        loop {
            let event = self.next().await.unwrap();
            if event["event_type"] == what {
                return event;
            }
        }
    }
}

/// The older port of a site.
pub fn port(site: &Site, token: &str) -> String {
    format!("ws://{}/?token={token}", site.server.telemetry_addr().unwrap())
}

/// A site with the older port.
pub async fn site(change: impl FnOnce(&mut Config)) -> Site {
    Site::with(|config| {
        config.telemetry.listen = Some("127.0.0.1:0".parse().unwrap());
        change(config);
    })
    .await
}

/// Somebody who hears these types on the older port.
pub async fn eye(site: &Site, events: &[&str]) -> Talk {
    let mut eye = Talk::open(&port(site, &site.owner)).await;
    assert_eq!(eye.next().await.unwrap()["event_type"], "telemetry_connected");
    eye.send(&json!({"type": "subscribe", "events": events})).await;
    loop {
        let said = eye.next().await.unwrap();
        if said["type"] == "subscribed" {
            return eye;
        }
    }
}

#[tokio::test]
async fn the_port_speaks_the_older_protocol() {
    let site = site(|_| ()).await;
    let mut eye = Talk::open(&port(&site, &site.owner)).await;
    let welcome = eye.next().await.unwrap();
    assert_eq!(welcome["event_type"], "telemetry_connected");
    let config = &welcome["server_config"];
    assert_eq!(config["port"], site.server.telemetry_addr().unwrap().port());
    assert_eq!((&config["host"], &config["filtered_events"]), (&json!("127.0.0.1"), &json!([])));
    eye.event("system_started").await;
    eye.send(&json!({"type": "ping"})).await;
    let pong = eye.next().await.unwrap();
    assert!(pong["type"] == "pong" && pong["timestamp"].is_string(), "{pong}");

    eye.send(&json!({"type": "subscribe", "events": ["message_received", "message_failed"]})).await;
    assert_eq!(eye.next().await.unwrap()["events"], json!(["message_received", "message_failed"]));
    eye.send(&json!({"type": "unsubscribe", "events": ["message_failed"]})).await;
    assert_eq!(eye.next().await.unwrap()["events"], json!(["message_received"]));
    site.publish("repo:main", 1).await;
    let event = eye.next().await.unwrap();
    assert_eq!((&event["event_type"], &event["severity"]), (&json!("message_received"), &json!("debug")));
    assert_eq!((&event["source"], &event["schema_version"]), (&json!("arqonbus"), &json!("1.0")));
    assert_eq!((&event["server_name"], &event["broadcast_ready"]), (&json!("ArqonBus"), &json!(true)));
    assert!(event["processing_time_ms"].is_number() && event["formatted_at"].is_string(), "{event}");
    assert_eq!(event["metadata"]["address"], "repo:main");
    assert_eq!((&event["eventType"], &event["payload"]), (&event["event_type"], &event["metadata"]));

    for wrong in [json!({"type": "subscribe", "events": ["nothing"]}), json!({"type": "publish"}), json!([])]
    {
        eye.send(&wrong).await;
        let said = eye.next().await.unwrap();
        assert!(said["type"] == "error" && said["error"].is_string(), "{said}");
    }
    for _ in 0..7 {
        eye.send(&json!(1)).await;
    }
    let end = loop {
        if let Err(code) = eye.next().await {
            break code;
        }
    };
    assert_eq!(end, 4502, "ten in a minute that could not be read");
}

#[tokio::test]
async fn the_port_is_for_those_who_may_read_events_and_not_for_too_many() {
    let site = site(|config| config.telemetry.max_connections = 2).await;
    let addr = site.server.telemetry_addr().unwrap();
    let user = site.token("default", Role::User, Duration::from_secs(60));
    let no_token = format!("ws://{addr}/");
    for (url, status) in [(no_token, 401), (port(&site, "x.y.z"), 401), (port(&site, &user), 403)] {
        match connect_async(&url).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status(), status, "{url}"),
            other => panic!("{url}: {other:?}"),
        }
    }
    let moderator = site.token("default", Role::Moderator, Duration::from_secs(60));
    let mut first = Talk::open(&port(&site, &moderator)).await;
    assert_eq!(first.next().await.unwrap()["event_type"], "telemetry_connected");
    let mut second = Talk::open(&port(&site, &site.owner)).await;
    second.next().await.unwrap();
    let mut third = Talk::open(&port(&site, &site.owner)).await;
    assert_eq!(third.next().await, Err(1013));
    // A page is no client of it.
    let plain = ask("GET", "/").token(&site.owner).send(addr).await;
    assert_eq!(plain.status, 426);
}

#[tokio::test]
async fn a_client_of_the_port_that_stops_reading_is_told_what_it_missed_and_slows_nobody() {
    let site = site(|_| ()).await;
    let mut eye = Talk::open(&port(&site, &site.owner)).await;
    eye.next().await.unwrap();
    let mut wanted = 0;
    for _ in 0..40 {
        let lines = "{\"to\":\"repo:main\",\"payload\":{}}\n".repeat(1000);
        let answer = site.send(ask("POST", "/api/v1/messages").lines(lines)).await;
        wanted += answer.lines().iter().filter(|line| line["position"].is_string()).count();
    }
    assert_eq!(wanted, 40_000, "all are confirmed");
    // The first that it is told of what it missed; whether its connection ended over that depends on the time.
    let missed = loop {
        let event = eye.next().await.unwrap();
        if event["event_type"] == "system_warning" && event["metadata"]["to"].is_string() {
            break event;
        }
    };
    assert!(missed["metadata"]["reason"].is_string(), "{missed}");
}

#[tokio::test]
async fn an_operator_can_say_what_is_told_on_the_port() {
    let site = site(|config| config.telemetry.filtered_events = vec!["channel_created".to_owned()]).await;
    let mut eye = Talk::open(&port(&site, &site.owner)).await;
    let welcome = eye.next().await.unwrap();
    assert_eq!(welcome["server_config"]["filtered_events"], json!(["channel_created"]));
    eye.send(&json!({"type": "subscribe", "events": ["channel_created", "room_created"]})).await;
    assert_eq!(eye.next().await.unwrap()["events"], json!(["channel_created"]));
    let body = json!({"room": "repo", "channel": "main"}).to_string();
    let made = site.send(ask("POST", "/api/v1/channels").body(body)).await;
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(eye.next().await.unwrap()["event_type"], "channel_created");
}

#[tokio::test]
async fn the_last_events_are_shown_over_http_where_they_are_kept() {
    let site = site(|config| config.telemetry.keep_events = 3).await;
    for channel in ["a", "b", "c", "d"] {
        let body = json!({"room": "repo", "channel": channel}).to_string();
        assert_eq!(site.send(ask("POST", "/api/v1/channels").body(body)).await.status, 200);
    }
    // The last one is there once it is published, in a moment.
    let look = async {
        loop {
            let answer = site.get("/telemetry/events").await.json();
            if answer["events"][2]["metadata"]["channel"] == "d" {
                return answer;
            }
        }
    };
    let events = tokio::time::timeout(PATIENCE, look).await.expect("the last one is shown");
    assert_eq!((&events["count"], &events["query"]["limit"]), (&json!(3), &json!(50)));
    let one = site.get("/telemetry/events?limit=1&event_type=channel_created&severity=info").await.json();
    assert_eq!(one["events"].as_array().unwrap().len(), 1);
    assert_eq!(one["events"][0]["metadata"]["address"], "repo:d");
    assert_eq!(site.get("/telemetry/events?severity=error").await.json()["count"], 0);
    for wrong in ["limit=0", "event_type=nothing", "severity=bad", "more=1"] {
        assert_eq!(site.get(&format!("/telemetry/events?{wrong}")).await.status, 400, "{wrong}");
    }
    let stats = site.get("/telemetry/stats").await.json();
    assert_eq!((&stats["kept_events_max"], &stats["dropped_events"]), (&json!(3), &json!(0)));
    assert_eq!(stats["events_by_type"]["channel_created"], 4);
    assert_eq!(stats["active_listeners"], 0);
}

#[tokio::test]
async fn where_no_events_are_kept_that_is_said() {
    let site = site(|_| ()).await;
    let answer = site.get("/telemetry/events").await;
    assert_eq!((answer.status, &answer.json()["error"]), (503, &json!("Service Unavailable")));
    assert!(answer.body.contains("telemetry.keep_events"), "{}", answer.body);
    let _eye = eye(&site, &[]).await;
    assert_eq!(site.get("/telemetry/stats").await.json()["active_listeners"], 1);
    let admin = site.token("default", Role::Admin, Duration::from_secs(60));
    for path in ["/telemetry/events", "/telemetry/stats"] {
        assert_eq!(ask("GET", path).token(&admin).send(site.addr).await.status, 403, "{path}");
    }
}
