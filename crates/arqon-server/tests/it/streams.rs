//! Event streams and polls: nothing lost and nothing twice, across reconnections.

use crate::http::{Ask, Events, ask};
use crate::site::{Site, numbers};
use arqon_core::Role;
use serde_json::json;
use std::time::Duration;

fn events(site: &Site, query: &str) -> Ask {
    ask("GET", &format!("/api/v1/events?{query}")).token(&site.owner)
}

async fn poll(site: &Site, query: &str) -> serde_json::Value {
    let answer = site.get(&format!("/api/v1/poll?{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_stream_joins_replay_to_live_and_its_last_id_goes_on_after_it() {
    let site = Site::start().await;
    for n in 1..=300 {
        site.publish("repo:main", n).await;
    }
    let mut stream = Events::open(site.addr, events(&site, "pattern=repo:*&from=earliest")).await;
    assert_eq!(stream.numbers(300).await, (1..=300).collect::<Vec<_>>());
    site.publish("repo:main", 301).await;
    let event = stream.next().await.unwrap();
    let envelope = event.json();
    assert_eq!(event.id.as_deref(), envelope["position"].as_str());
    assert_eq!((&envelope["room"], &envelope["channel"]), (&json!("repo"), &json!("main")));
    let last = stream.last_id.clone();
    drop(stream);
    site.publish("repo:main", 302).await;
    let mut again =
        Events::open(site.addr, events(&site, "pattern=repo:*").header("last-event-id", &last)).await;
    site.publish("repo:other", 303).await;
    assert_eq!(again.numbers(2).await, [302, 303]);
    // The same for clients that cannot set the header.
    let mut query =
        Events::open(site.addr, events(&site, &format!("pattern=repo:*&last_event_id={last}"))).await;
    assert_eq!(query.numbers(2).await, [302, 303]);
}

#[tokio::test]
async fn a_reader_that_has_got_nothing_yet_still_loses_nothing() {
    let site = Site::start().await;
    // No room exists, so the first id names none; what begins later is read from its beginning.
    let empty = Events::open(site.addr, events(&site, "pattern=*")).await;
    assert_eq!(empty.last_id, "-");
    let last = empty.last_id.clone();
    drop(empty);
    site.publish("a:x", 1).await;
    let mut again = Events::open(site.addr, events(&site, "pattern=*").header("last-event-id", &last)).await;
    assert_eq!(again.numbers(1).await, [1]);
    drop(again);
    // Rooms that exist are named at once.
    let idle = Events::open(site.addr, events(&site, "pattern=*")).await;
    let last = idle.last_id.clone();
    assert!(last.starts_with("a="), "{last}");
    drop(idle);
    site.publish("a:x", 2).await;
    site.publish("b:x", 3).await;
    let mut again = Events::open(site.addr, events(&site, "pattern=*").header("last-event-id", &last)).await;
    let mut got = again.numbers(2).await;
    got.sort_unstable();
    assert_eq!(got, [2, 3]);
}

#[tokio::test]
async fn several_rooms_are_resumed_each_at_its_place() {
    let site = Site::start().await;
    let mut stream = Events::open(site.addr, events(&site, "pattern=*&from=earliest")).await;
    for n in 1..=4 {
        site.publish(if n % 2 == 0 { "even:x" } else { "odd:x" }, n).await;
        assert_eq!(stream.numbers(1).await, [n]);
    }
    let last = stream.last_id.clone();
    assert!(last.contains("even=") && last.contains(",odd="), "{last}");
    drop(stream);
    for n in 5..=8 {
        site.publish(if n % 2 == 0 { "even:x" } else { "odd:x" }, n).await;
    }
    let mut again = Events::open(site.addr, events(&site, "pattern=*").header("last-event-id", &last)).await;
    let mut got = again.numbers(4).await;
    got.sort_unstable();
    assert_eq!(got, [5, 6, 7, 8]);
}

#[tokio::test]
async fn a_foreign_position_yields_a_gap_and_then_what_there_is() {
    let site = Site::start().await;
    site.publish("a:x", 1).await;
    let mut stream = Events::open(site.addr, events(&site, "pattern=a:*&from=123-7")).await;
    let gap = stream.next().await.unwrap();
    assert_eq!((gap.kind.as_str(), &gap.json()["reason"]), ("gap", &json!("epoch_changed")));
    assert_eq!(stream.numbers(1).await, [1]);
    let polled = poll(&site, "pattern=a:*&from=123-7").await;
    assert_eq!((&polled["gaps"][0]["from"], &polled["gaps"][0]["room"]), (&json!("123-7"), &json!("a")));
}

#[tokio::test]
async fn a_durable_stream_acknowledges_what_its_reader_hands_back() {
    let site = Site::start().await;
    for n in 1..=4 {
        site.publish("job:x", n).await;
    }
    let wish = "pattern=job:*&from=earliest&durable=worker";
    let mut stream = Events::open(site.addr, events(&site, wish)).await;
    assert_eq!(stream.numbers(2).await, [1, 2]);
    let reached = stream.last_id.clone();
    drop(stream);
    // What came after the id that is handed back comes again; what came up to it does not.
    let mut again = Events::open(site.addr, events(&site, wish).header("last-event-id", &reached)).await;
    let event = again.next().await.unwrap().json();
    assert_eq!((&event["payload"]["n"], event["attempt"].as_i64() >= Some(1)), (&json!(3), true));
    assert_eq!(again.numbers(1).await, [4]);
    // A second one of the same name takes over, and the first is told so.
    let _second = Events::open(site.addr, events(&site, wish)).await;
    let ended = loop {
        let event = again.next().await.expect("an end that is said");
        if event.kind == "ended" {
            break event.json();
        }
    };
    assert_eq!(ended["error"]["code"], "FENCED");
    assert_eq!(again.next().await, None);
}

#[tokio::test]
async fn a_durable_stream_that_stands_settles_by_itself() {
    let site = Site::with(|c| c.http.settle_seconds = Duration::from_millis(300)).await;
    site.publish("job:x", 1).await;
    let mut stream = Events::open(site.addr, events(&site, "pattern=job:*&from=earliest&durable=w")).await;
    assert_eq!(stream.numbers(1).await, [1]);
    let settled = async {
        let acknowledged =
            || site.server.bus().metrics().into_iter().find(|m| m.name == "messages_acknowledged_total");
        while acknowledged().unwrap().value < 1.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::http::PATIENCE, settled).await.expect("it settles");
    drop(stream);
    let mut again = Events::open(site.addr, events(&site, "pattern=job:*&durable=w")).await;
    site.publish("job:x", 2).await;
    assert_eq!(again.numbers(1).await, [2]);
}

#[tokio::test]
async fn a_silent_stream_carries_comments_and_ends_with_its_token() {
    let site = Site::with(|c| c.http.keep_alive_seconds = Duration::from_millis(50)).await;
    let token = site.token("default", Role::User, Duration::from_secs(2));
    let mut stream =
        Events::open(site.addr, ask("GET", &format!("/api/v1/events?pattern=a:*&token={token}"))).await;
    assert_eq!(stream.raw().await.unwrap(), ": keep-alive");
    assert_eq!(stream.raw().await.unwrap(), ": keep-alive");
    let ended = stream.next().await.unwrap();
    assert_eq!((ended.kind.as_str(), &ended.json()["error"]["message"]), ("ended", &json!("Token expired")));
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_wish_that_cannot_be_met_is_refused_before_the_stream() {
    let site = Site::start().await;
    for (query, field) in [
        ("from=earliest", "args.pattern"),
        ("pattern=a", "args.pattern"),
        ("pattern=a:*&from=sometime", "args.from"),
        ("pattern=*&from=9-1", "args.from"),
        ("pattern=a:*&resume=maybe", "args.resume"),
        ("pattern=a:*&durable=not a name", "args.durable"),
        ("pattern=a:*&limit=3", "args.limit"),
    ] {
        let query = query.replace(' ', "%20");
        let answer = site.send(events(&site, &query)).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["details"]["field"]),
            (400, &json!(field)),
            "{query}"
        );
    }
}

#[tokio::test]
async fn polls_go_on_from_next_without_gap_or_duplicate() {
    let site = Site::start().await;
    let mut next = "latest".to_owned();
    let mut got = Vec::new();
    let first = poll(&site, "pattern=*&wait_ms=0").await;
    assert_eq!((&first["messages"], &first["gaps"]), (&json!([]), &json!([])));
    first["next"].as_str().unwrap().clone_into(&mut next);
    for n in 1..=25 {
        site.publish(["a:x", "b:x", "c:x"][n as usize % 3], n).await;
    }
    while got.len() < 25 {
        let page = poll(&site, &format!("pattern=*&limit=4&from={next}")).await;
        let messages = numbers(&page["messages"]);
        assert!((1..=4).contains(&messages.len()), "{page}");
        got.extend(messages);
        page["next"].as_str().unwrap().clone_into(&mut next);
    }
    got.sort_unstable();
    assert_eq!(got, (1..=25).collect::<Vec<_>>());
    let none = poll(&site, &format!("pattern=*&from={next}&wait_ms=0")).await;
    assert_eq!((&none["messages"], none["next"].as_str()), (&json!([]), Some(next.as_str())));
}

#[tokio::test]
async fn a_poll_waits_for_what_comes() {
    let site = Site::start().await;
    let (page, _) = tokio::join!(poll(&site, "pattern=a:*&wait_ms=10000"), async {
        // The poll may not have subscribed yet: go on until it has got one.
        site.get("/api/v1/poll?pattern=never:*&wait_ms=100").await;
        site.publish("a:x", 7).await
    });
    assert_eq!(numbers(&page["messages"]), [7]);
}

#[tokio::test]
async fn a_durable_poll_repeats_until_next_is_handed_back() {
    let site = Site::start().await;
    for n in 1..=3 {
        site.publish("job:x", n).await;
    }
    let wish = "pattern=job:*&durable=w&limit=2&wait_ms=0";
    let first = poll(&site, &format!("{wish}&from=earliest")).await;
    assert_eq!(numbers(&first["messages"]), [1, 2]);
    let again = poll(&site, wish).await;
    assert_eq!(numbers(&again["messages"]), [1, 2]);
    assert_eq!(again["messages"][0]["attempt"], 2);
    let next = poll(&site, &format!("{wish}&from={}", again["next"].as_str().unwrap())).await;
    assert_eq!(numbers(&next["messages"]), [3]);
}

#[tokio::test]
async fn a_page_of_large_messages_is_bounded_and_goes_on() {
    let site = Site::start().await;
    let body = json!({"to": "big:x", "payload": {"x": "y".repeat(900_000)}}).to_string();
    for _ in 0..40 {
        assert_eq!(site.send(ask("POST", "/api/v1/messages").body(body.clone())).await.status, 200);
    }
    let (mut next, mut got, mut pages) = ("earliest".to_owned(), 0, 0);
    while got < 40 {
        let page = poll(&site, &format!("pattern=big:*&limit=1000&from={next}")).await;
        let count = page["messages"].as_array().unwrap().len();
        assert!((1..40).contains(&count), "{count} large messages in one page");
        got += count;
        pages += 1;
        page["next"].as_str().unwrap().clone_into(&mut next);
    }
    assert_eq!(got, 40, "in {pages} pages");
}
