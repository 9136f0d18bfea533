//! The main job: a history is piped in, a durable subscriber writes it down, a real program answers requests, and
//! the bus is killed again and again in the middle of it.

use super::history::history;
use super::proof::{Evidence, judge};
use super::{LONG, seed, site};
use arqon_testkit::dice::Dice;
use arqon_testkit::process::Site;
use std::io::Write;

const COMMITS: usize = 9_000;
const KILLS: usize = 6;
/// Each with kill points of its own.
const ROUNDS: u64 = 3;

#[test]
fn every_confirmed_line_arrives_once_and_in_order_whenever_the_bus_is_killed() {
    let first = seed(1);
    let folder = tempfile::tempdir().unwrap();
    let sent = history(folder.path(), COMMITS);
    let hits: usize = (first..first + ROUNDS).map(|seed| run(seed, &sent)).sum();
    println!("{hits} of {} kills came while lines were in flight", KILLS as u64 * ROUNDS);
    assert!(hits > 0, "no kill hit anything; the test proved nothing");
}

/// One run with its own kill points; answers how many kills hit while lines were in flight.
fn run(seed: u64, sent: &str) -> usize {
    let mut dice = Dice::new(seed);
    let site = site();
    let lines: Vec<&str> = sent.split_inclusive('\n').collect();
    let mut bus = site.start();
    let _replier = site.client("reply", &["reply", "svc:wc", "--text", "--", "wc", "-c"]);
    let subscribe = ["sub", "repo:*", "--durable", "w", "--from", "earliest", "--json"];
    let mut subscriber = site.client("sub", &subscribe);
    let mut publisher = site.client("pub", &["pub", "repo:main", "-", "--json"]);
    let mut input = publisher.stdin();
    let mut in_flight_at_kill = 0;
    for chunk in lines.chunks(COMMITS.div_ceil(KILLS + 1)) {
        let before = publisher.lines();
        input.write_all(chunk.concat().as_bytes()).expect("the publisher reads on");
        if chunk.last() == lines.last() {
            break;
        }
        publisher.wait_for_lines(before + 1 + dice.below(chunk.len() * 3 / 4), LONG);
        bus.kill();
        in_flight_at_kill += usize::from(publisher.lines() < before + chunk.len());
        bus = site.start();
        if dice.below(3) == 0 {
            ask(&site);
        }
    }
    drop(input);
    ask(&site);
    let confirmed = {
        let output = site.path().join("out/pub.out");
        publisher.finish(LONG);
        std::fs::read_to_string(output).unwrap()
    };
    subscriber.wait_for_lines(COMMITS, LONG);
    let received = subscriber.output();
    let verdict = judge(&Evidence { sent, confirmed: &confirmed, received: &received, damage: false });
    assert!(verdict.faults.is_empty(), "seed {seed}: {:#?}\n{}", verdict.faults, bus.log());
    assert_eq!((verdict.confirmed, verdict.delivered), (COMMITS, COMMITS));
    assert!(subscriber.stop(LONG).success());
    nothing_comes_again(&site);
    in_flight_at_kill
}

/// A request is answered by a real program.
fn ask(site: &Site) {
    let answer = site.run(&["req", "svc:wc", r#"{"text":"twelve bytes"}"#, "--timeout", "20s", "--json"]);
    assert!(answer.contains("12"), "wc counted otherwise: {answer}");
}

/// Everything was acknowledged: under the same durable name only what is new arrives.
fn nothing_comes_again(site: &Site) {
    site.run(&["pub", "repo:main", r#"{"marker":true}"#]);
    let next = site.run(&["sub", "repo:*", "--durable", "w", "--count", "1", "--json"]);
    let next: serde_json::Value = serde_json::from_str(&next).unwrap();
    assert_eq!(next["payload"], serde_json::json!({ "marker": true }));
}
