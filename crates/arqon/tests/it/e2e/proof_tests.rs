//! The judge itself: it must see each kind of broken promise, or its praise is worth nothing.

use super::proof::{Evidence, Verdict, judge};

const SENT: &str = "{\"n\":0,\"a\":1}\n{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n";

fn confirm(places: &[&str]) -> String {
    places.iter().map(|p| format!("{{\"id\":\"x\",\"position\":\"{p}\"}}\n")).collect()
}

fn message(n: u32, place: &str) -> String {
    let payload = if n == 0 { "{\"a\":1,\"n\":0}".to_owned() } else { format!("{{\"n\":{n}}}") };
    format!("{{\"type\":\"message\",\"payload\":{payload},\"position\":\"{place}\"}}\n")
}

fn gap(from: &str, to: &str) -> String {
    format!(
        "{{\"type\":\"gap\",\"room\":\"r\",\"from\":\"{from}\",\"to\":\"{to}\",\"reason\":\"damaged\"}}\n"
    )
}

fn verdict(places: &[&str], received: &[String], damage: bool) -> Verdict {
    let (confirmed, received) = (confirm(places), received.concat());
    judge(&Evidence { sent: SENT, confirmed: &confirmed, received: &received, damage })
}

#[test]
fn a_kept_promise_is_praised() {
    let received: Vec<String> = (0..4).map(|n| message(n, &format!("e-{}", n + 1))).collect();
    let v = verdict(&["e-1", "e-2", "e-3", "e-4"], &received, false);
    assert!(v.faults.is_empty(), "{v:?}");
    assert_eq!((v.confirmed, v.delivered), (4, 4));
}

#[test]
fn a_line_that_was_delivered_before_its_confirmation_arrived_is_no_fault() {
    let v = verdict(&["e-1"], &[message(0, "e-1"), message(1, "e-2")], false);
    assert!(v.faults.is_empty(), "{v:?}");
}

#[test]
fn each_broken_promise_is_seen() {
    let all = ["e-1", "e-2"];
    let broken: &[(&str, &[String])] = &[
        ("lost", &[message(0, "e-1")]),
        ("twice, same place", &[message(0, "e-1"), message(0, "e-1"), message(1, "e-2")]),
        ("twice, other place", &[message(0, "e-1"), message(1, "e-2"), message(0, "e-3")]),
        ("out of order", &[message(1, "e-2"), message(0, "e-1")]),
        ("at another place", &[message(0, "e-1"), message(1, "e-9")]),
        ("never sent", &[message(0, "e-1"), message(1, "e-2"), message(7, "e-3")]),
        ("a gap without damage", &[message(0, "e-1"), gap("e-1", "e-2")]),
        ("no position", &[message(0, "e-1"), message(1, "nonsense")]),
    ];
    for (what, received) in broken {
        assert!(!verdict(&all, received, false).faults.is_empty(), "not seen: {what}");
    }
}

#[test]
fn after_damage_a_gap_excuses_exactly_what_it_covers() {
    let all = ["e-1", "e-2", "e-3", "f-9"];
    let v = verdict(&all, &[message(0, "e-1"), gap("e-1", "f-8"), message(3, "f-9")], true);
    assert!(v.faults.is_empty(), "{v:?}");
    assert_eq!((v.delivered, v.in_gaps), (2, 2));
    let v = verdict(&all, &[message(0, "e-1"), gap("e-1", "e-2"), message(3, "f-9")], true);
    assert_eq!(v.faults.len(), 1, "offset 3 was neither delivered nor named: {v:?}");
}

#[test]
fn after_damage_a_lost_unconfirmed_copy_may_have_been_delivered() {
    let v = verdict(
        &["e-1", "f-5"],
        &[message(0, "e-1"), message(1, "e-2"), gap("e-2", "f-4"), message(1, "f-5")],
        true,
    );
    assert!(v.faults.is_empty(), "{v:?}");
    assert_eq!((v.delivered, v.strays), (2, 1));
}
