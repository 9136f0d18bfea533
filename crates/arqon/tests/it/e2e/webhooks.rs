//! Webhooks over the real binary: every confirmed message reaches the receiver, in order and signed, though the bus is
//! killed again and again.

use super::{LONG, site};
use arqon_testkit::process::Site;
use arqon_testkit::receiver::{Receiver, Request};
use arqon_testkit::wait;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

const COUNT: usize = 300;
const KILLS: usize = 5;

fn number(request: &Request) -> usize {
    request.json()["envelope"]["payload"]["n"].as_u64().unwrap() as usize
}

fn site_that_reaches_itself() -> Site {
    let mut site = site();
    let config = site.path().join("arqon.toml");
    std::fs::write(&config, "[webhooks]\nallow_private_addresses = true\n").unwrap();
    site.serve_with(&["--config", config.to_str().unwrap()]);
    site
}

#[test]
fn every_confirmed_message_is_posted_in_order_whenever_the_bus_is_killed() {
    let (site, receiver) = (site_that_reaches_itself(), Receiver::start());
    let mut bus = site.start();
    let made = site.run(&["webhook", "add", &receiver.url("/in"), "repo", "--timeout", "10s", "--json"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let mut publisher = site.client("pub", &["pub", "repo:main", "-", "--json"]);
    let mut input = publisher.stdin();
    for chunk in (0..COUNT).collect::<Vec<_>>().chunks(COUNT / KILLS) {
        let before = receiver.requests().len();
        receiver.answer(&["204 No Content", "503 Service Unavailable"]);
        let lines: String = chunk.iter().map(|n| format!("{{\"n\":{n}}}\n")).collect();
        input.write_all(lines.as_bytes()).unwrap();
        // In the middle of it: some are posted, some are not, and one may be on its way.
        receiver.wait_for(before + chunk.len() / 4, LONG);
        bus.kill();
        bus = site.start();
    }
    drop(input);
    publisher.finish(LONG);
    let all = || -> BTreeSet<usize> { receiver.requests().iter().map(number).collect() };
    wait::until("every message at the receiver", LONG, || Some(()).filter(|()| all().len() == COUNT));
    let requests = receiver.requests();
    let secret = made["secret"].as_str().unwrap();
    assert!(requests.iter().all(|request| request.is_signed_by(secret)));
    let mut seen = BTreeSet::new();
    let firsts: Vec<usize> = requests.iter().map(number).filter(|n| seen.insert(*n)).collect();
    assert_eq!(firsts, (0..COUNT).collect::<Vec<_>>(), "in the order in which they were published");
    println!("{} posts of {COUNT} messages through {KILLS} kills", requests.len());
    let ids: BTreeSet<(usize, &str)> = requests.iter().map(|r| (number(r), r.header("webhook-id"))).collect();
    assert_eq!(ids.len(), COUNT, "a message that comes again has the id that it had");

    let id = made["rule_id"].as_str().unwrap();
    assert!(site.run(&["webhook", "list"]).contains(id));
    let before = receiver.requests().len();
    let rotated = site.run(&["webhook", "rotate", id, "--overlap", "1h"]);
    assert!(rotated.starts_with("whsec_") && rotated.trim_end() != secret, "{rotated}");
    bus.kill();
    bus = site.start();
    site.run(&["pub", "repo:main", r#"{"n":0}"#]);
    let last = receiver.wait_for(before + 1, LONG).pop().unwrap();
    assert!(
        last.is_signed_by(rotated.trim_end()) && last.is_signed_by(secret),
        "both hold, also after a kill"
    );
    assert_eq!(site.run(&["webhook", "remove", id]), format!("{id} is taken back\n"));
    bus.kill();
    let bus = site.start();
    assert!(site.run(&["webhook", "list"]).starts_with("no webhooks"));
    bus.stop();
}

/// What `/metrics` of a bus says, over a socket.
fn metrics(site: &Site) -> String {
    let url = site.url();
    let host = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[test]
fn what_becomes_of_posts_is_counted() {
    let (site, receiver) = (site_that_reaches_itself(), Receiver::start());
    let bus = site.start();
    receiver.answer(&["503 Service Unavailable", "204 No Content", "500 No", "500 No"]);
    site.run(&["webhook", "add", &receiver.url("/in"), "repo", "--attempts", "2"]);
    for n in 0..2 {
        site.run(&["pub", "repo:main", &format!("{{\"n\":{n}}}")]);
    }
    let text = wait::until("a message that was given up", LONG, || {
        Some(metrics(&site)).filter(|text| value(text, "arqon_webhook_dead_letters_total") == 1.0)
    });
    assert_eq!(value(&text, "arqon_webhook_rules"), 1.0);
    assert_eq!(value(&text, "arqon_webhook_deliveries_total"), 1.0);
    assert_eq!(value(&text, "arqon_webhook_failures_total"), 3.0);
    assert_eq!(value(&text, "arqon_webhook_post_duration_seconds_count"), 4.0);
    assert!(value(&text, "arqon_webhook_post_duration_seconds_sum") > 0.0);
    assert_eq!(value(&text, "arqon_webhook_delivery_duration_seconds_count"), 1.0);
    // There is a second between a failure and the next try.
    assert!(value(&text, "arqon_webhook_delivery_duration_seconds_sum") >= 1.0);
    bus.stop();
}
