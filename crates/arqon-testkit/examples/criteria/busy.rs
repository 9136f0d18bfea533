//! SC-004, SC-006, SC-007 and SC-008, on one server that is under load all the time.

use crate::ground::{Ground, Row, Times, client};
use arqon_bench::clock::now;
use arqon_bench::http;
use arqon_client::{Client, Event, Subscription};
use arqon_testkit::process::Site;
use serde_json::{Value, json};
use std::time::Duration;

/// The commands of the older bus, with what they are called with; the channel is made and joined in this order.
const COMMANDS: [&str; 10] = [
    "status",
    "ping",
    "help",
    "create_channel",
    "join_channel",
    "list_channels",
    "channel_info",
    "history",
    "leave_channel",
    "delete_channel",
];
/// Those of them that are about channels.
const CHANNELS: std::ops::Range<usize> = 3..10;
const SECOND: Duration = Duration::from_secs(1);
/// An event that has not come by then never comes.
const LONG: Duration = Duration::from_secs(20);

/// Messages a second of the load, each to ten subscribers.
fn rate(ground: &Ground) -> String {
    ground.size(1000, 100).to_string()
}

fn load(ground: &Ground) -> String {
    format!("{} messages/s to 10 subscribers each", rate(ground))
}

pub async fn measure(ground: &Ground) -> Vec<Row> {
    let (site, bus) = ground.start("");
    let rate = rate(ground);
    let fan_out =
        ["bench", "fan-out", "--subscribers", "10", "--duration", "10m", "--quiet", "--rate", &rate];
    let load = site.client("load", &fan_out);
    let client = client(&site).await;
    until_busy(&client).await;
    let mut rows = commands(ground, &client).await;
    rows.push(telemetry(ground, &site, &client).await);
    rows.push(answers(ground, &site));
    load.kill();
    client.close().await.expect("it ends in order");
    assert!(bus.stop().success(), "the server ends in order");
    rows
}

/// Waits until the load runs.
async fn until_busy(client: &Client) {
    loop {
        let status = client.call("status", json!({})).await.expect("it answers");
        if status["metrics"]["messages_received_total"].as_f64() > Some(50.0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// All ten, again and again: how long each took.
async fn commands(ground: &Ground, client: &Client) -> Vec<Row> {
    let rounds = ground.size(200, 5);
    let (mut all, mut channels) = (Times::default(), Times::default());
    for n in 0..rounds {
        for (i, name) in COMMANDS.into_iter().enumerate() {
            // Few are allowed in a minute.
            if i < CHANNELS.start && n >= 40 {
                continue;
            }
            let args = if i < CHANNELS.start {
                json!({})
            } else if name == "list_channels" {
                json!({ "room": "criteria" })
            } else {
                json!({ "room": "criteria", "channel": format!("c{n}") })
            };
            let mut took = Times::default();
            took.take(client.call(name, args)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            if CHANNELS.contains(&i) {
                channels.note(took.at(1.0));
            }
            all.join(took);
        }
    }
    let within = channels.within(SECOND) as f64 / channels.count() as f64;
    vec![
        Row {
            id: "SC-004",
            criterion: "commands",
            target: "≤ 100 ms",
            measured: format!("{}; {} calls", all.shown(), all.count()),
            how: format!("the ten commands of the older bus, one after the other, beside {}", load(ground)),
            is_met: all.at(1.0) <= Duration::from_millis(100),
            is_timed: true,
        },
        Row {
            id: "SC-008",
            criterion: "channel operations",
            target: "95 % within 1 s",
            measured: format!(
                "{:.2} % of {} within 1 s; {}",
                within * 100.0,
                channels.count(),
                channels.shown()
            ),
            how: "create, join, list, info, history, leave and delete among the calls of SC-004, none failed"
                .to_owned(),
            is_met: within >= 0.95,
            is_timed: true,
        },
    ]
}

/// From the call of a command to the event about it, at another connection.
async fn telemetry(ground: &Ground, site: &Site, client: &Client) -> Row {
    let eye = crate::ground::client(site).await;
    let mut events = eye.subscribe("system:command_succeeded").await.expect("the owner may listen");
    let rounds = ground.size(500, 20);
    let mut times = Times::default();
    for n in 0..rounds {
        let begin = now();
        client.call("op.store.set", json!({ "key": "eye", "value": n })).await.expect("it answers");
        next(&mut events, "op.store.set").await;
        times.note(begin.elapsed());
    }
    eye.close().await.expect("it ends in order");
    Row {
        id: "SC-007",
        criterion: "telemetry",
        target: "≤ 500 ms",
        measured: times.shown(),
        how: format!(
            "from the call of a command to the event of it on another connection, {rounds} times, beside {}",
            load(ground)
        ),
        is_met: times.at(1.0) <= Duration::from_millis(500),
        is_timed: true,
    }
}

async fn next(events: &mut Subscription, command: &str) {
    loop {
        let event = tokio::time::timeout(LONG, events.next()).await.expect("an event comes");
        let event = event.expect("it goes on").expect("the connection stays open");
        if let Event::Message(message) = event
            && message.json::<Value>().expect("events are JSON")["metadata"]["command"] == command
        {
            return;
        }
    }
}

/// The three endpoints that monitors ask, in turn.
fn answers(ground: &Ground, site: &Site) -> Row {
    let rounds = ground.size(1000, 20);
    let url = site.url();
    let address = url.trim_start_matches("http://");
    let limits = [("/health", 50), ("/version", 100), ("/metrics", 200)];
    let mut times = limits.map(|_| Times::default());
    let mut good = 0;
    for _ in 0..rounds {
        for ((path, _), times) in limits.iter().zip(&mut times) {
            let begin = now();
            let answer = http::get(address, path, None);
            times.note(begin.elapsed());
            good += usize::from(matches!(answer, Ok((200, _))));
        }
    }
    let all = rounds * limits.len();
    let share = good as f64 / all as f64;
    let shown: Vec<String> = limits
        .iter()
        .zip(&times)
        .map(|((path, _), times)| format!("`{path}` p99 {:.1} ms", times.at(0.99).as_secs_f64() * 1e3))
        .collect();
    let in_time =
        limits.iter().zip(&times).all(|((_, ms), times)| times.at(0.99) < Duration::from_millis(*ms));
    Row {
        id: "SC-006",
        criterion: "HTTP for monitors",
        target: "99.9 % answered; `/health` < 50, `/version` < 100, `/metrics` < 200 ms",
        measured: format!("{:.2} % of {all} answered; {}", share * 100.0, shown.join(", ")),
        how: format!("one request after the other, each on a connection of its own, beside {}", load(ground)),
        is_met: share >= 0.999 && (ground.is_quick || in_time),
        is_timed: false,
    }
}
