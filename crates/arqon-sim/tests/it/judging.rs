//! The judge sees each kind of broken promise.

use arqon_sim::dice::Dice;
use arqon_sim::judge::{Begin, Draft, Given, Hole, Judge, Place, Reading};
use arqon_sim::world::World;

const TENANT: &str = "t";

fn judge() -> Judge {
    Judge::new(World::new(Dice::new(1), false), vec!["ring".to_owned()])
}

fn at(offset: u64) -> Place {
    Place { epoch: 9, offset, memory: false }
}

fn send(judge: &Judge, label: &str, key: Option<&str>) {
    judge.sends(Draft {
        label: label.to_owned(),
        sender: "p.1".to_owned(),
        tenant: TENANT.to_owned(),
        room: "repo".to_owned(),
        channel: "main".to_owned(),
        payload: label.as_bytes().to_vec(),
        key: key.map(str::to_owned),
        confirmed: true,
        expires: false,
    });
}

fn reader(judge: &Judge, name: Option<&str>) -> usize {
    judge.begins(Reading {
        who: "r.1".to_owned(),
        tenant: TENANT.to_owned(),
        pattern: "repo:*".to_owned(),
        begin: Begin::Earliest,
        name: name.map(str::to_owned),
        asked: judge.moment(),
    })
}

fn give(judge: &Judge, reader: usize, label: &str, offset: u64) {
    let given =
        Given { room: "repo", channel: "main", place: at(offset), payload: label.as_bytes(), attempt: 1 };
    judge.given(reader, &given);
}

fn law(judge: &Judge) -> Option<&'static str> {
    judge.violation().map(|violation| violation.law)
}

#[test]
fn a_confirmed_record_that_does_not_arrive_is_missed() {
    let judge = judge();
    let r = reader(&judge, None);
    send(&judge, "a", None);
    assert!(judge.missing().unwrap().contains("hears nothing"));
    judge.stored("a", "repo", at(1), false);
    assert!(judge.missing().unwrap().contains("lacks a"));
    give(&judge, r, "a", 1);
    assert_eq!((judge.missing(), law(&judge)), (None, None));
}

#[test]
fn what_was_changed_or_invented_is_seen() {
    let invented = judge();
    give(&invented, reader(&invented, None), "never", 1);
    assert_eq!(law(&invented), Some("unchanged"));
    let replaced = judge();
    let r = reader(&replaced, None);
    send(&replaced, "a", None);
    send(&replaced, "b", None);
    replaced.stored("a", "repo", at(1), false);
    give(&replaced, r, "b", 1);
    assert_eq!(law(&replaced), Some("unchanged"));
}

#[test]
fn what_is_stored_twice_is_seen() {
    let twice = judge();
    let r = reader(&twice, None);
    send(&twice, "a", None);
    give(&twice, r, "a", 1);
    give(&twice, r, "a", 2);
    assert_eq!(law(&twice), Some("once"));
    let keyed = judge();
    send(&keyed, "a", Some("k"));
    send(&keyed, "b", Some("k"));
    keyed.stored("a", "repo", at(1), false);
    keyed.stored("b", "repo", at(2), false);
    assert_eq!(law(&keyed), Some("once"));
}

#[test]
fn wrong_orders_are_seen() {
    let order = judge();
    send(&order, "a", None);
    send(&order, "b", None);
    order.stored("b", "repo", at(1), false);
    order.stored("a", "repo", at(2), false);
    assert_eq!(law(&order), Some("order"));
    let rising = judge();
    let r = reader(&rising, None);
    send(&rising, "a", None);
    send(&rising, "b", None);
    give(&rising, r, "b", 2);
    give(&rising, r, "a", 1);
    assert_eq!(law(&rising), Some("rising"));
}

#[test]
fn what_was_acknowledged_for_good_must_not_come_again() {
    let judge = judge();
    let r = reader(&judge, Some("n"));
    send(&judge, "a", None);
    give(&judge, r, "a", 1);
    assert!(judge.missing().is_some(), "it was delivered, and nobody has acknowledged it");
    judge.acknowledges(r, "repo", 1);
    let asked = judge.asks(r);
    judge.acknowledged(r, asked);
    assert_eq!(law(&judge), None);
    give(&judge, reader(&judge, Some("n")), "a", 1);
    assert_eq!(law(&judge), Some("acknowledged"));
}

#[test]
fn gaps_need_a_reason_and_dead_letters_too() {
    let hole = |room, reason| Hole { room, from: None, to: at(5), reason };
    let fine = judge();
    fine.gap(reader(&fine, None), &hole("ring", "trimmed"));
    assert_eq!(law(&fine), None);
    let unfounded = judge();
    unfounded.gap(reader(&unfounded, None), &hole("repo", "damaged"));
    assert_eq!(law(&unfounded), Some("gap"));
    let back = judge();
    send(&back, "a", None);
    back.damaged();
    back.gap(reader(&back, None), &hole("repo", "damaged"));
    assert_eq!(law(&back), None, "the disk was damaged");
    let letter = judge();
    reader(&letter, Some("n"));
    letter.buried(TENANT, "n", ("repo", 1), "");
    assert_eq!(law(&letter), Some("dead-letter"));
}

#[test]
fn the_older_holder_of_a_name_must_not_go_on() {
    let judge = judge();
    let old = reader(&judge, Some("n"));
    send(&judge, "a", None);
    give(&judge, old, "a", 1);
    judge.stored("a", "repo", at(1), false);
    judge.acknowledges(old, "repo", 1);
    let before = judge.asks(old);
    let new = reader(&judge, Some("n"));
    // What it had acknowledged before that is acknowledged.
    judge.acknowledged(old, before);
    assert_eq!(law(&judge), None);
    assert!(judge.missing().unwrap().contains("is not told that n was taken over"));
    send(&judge, "b", None);
    give(&judge, new, "b", 2);
    assert_eq!(law(&judge), None);
    give(&judge, old, "b", 2);
    assert_eq!(law(&judge), Some("holder"));
}

#[test]
fn what_the_older_holder_acknowledges_must_not_be_confirmed() {
    let judge = judge();
    let old = reader(&judge, Some("n"));
    send(&judge, "a", None);
    give(&judge, old, "a", 1);
    reader(&judge, Some("n"));
    judge.acknowledges(old, "repo", 1);
    let after = judge.asks(old);
    judge.acknowledged(old, after);
    assert_eq!(law(&judge), Some("holder"));
}

#[test]
fn a_client_that_comes_back_on_a_new_connection_may_be_the_newest_holder() {
    let judge = judge();
    let old = reader(&judge, Some("n"));
    reader(&judge, Some("n"));
    judge.dials("r.1");
    send(&judge, "a", None);
    give(&judge, old, "a", 1);
    assert_eq!(law(&judge), None);
}

#[test]
fn what_is_sent_to_a_skill_stands_in_one_inbox() {
    let sent = |judge: &Judge| {
        judge.sends(Draft {
            label: "a".to_owned(),
            sender: "p.1".to_owned(),
            tenant: TENANT.to_owned(),
            room: "@skill/review".to_owned(),
            channel: "inbox".to_owned(),
            payload: b"a".to_vec(),
            key: None,
            confirmed: true,
            expires: false,
        });
        judge.stored("a", "@agent0", at(1), false);
    };
    let twice = judge();
    sent(&twice);
    assert_eq!(law(&twice), None);
    twice.stored("a", "@agent1", at(1), false);
    assert_eq!(law(&twice), Some("once"));
    let forgotten = judge();
    sent(&forgotten);
    forgotten.restarted();
    forgotten.stored("a", "@agent1", at(1), false);
    assert_eq!(
        law(&forgotten),
        None,
        "a server that was started since then knows nothing of the first choice"
    );
    let elsewhere = judge();
    sent(&elsewhere);
    elsewhere.stored("a", "repo", at(1), false);
    assert!(law(&elsewhere).is_some());
}

/// A judge of a damaged disk that knows of messages with these places, and a reader who is given what is there.
fn damaged(told: &[(&str, u64)], there: &[(&str, u64)]) -> Judge {
    let judge = judge();
    judge.damaged();
    // Sent in the order of their names.
    let mut labels: Vec<&str> = told.iter().chain(there).map(|(label, _)| *label).collect();
    labels.sort_unstable();
    labels.dedup();
    labels.iter().for_each(|label| send(&judge, label, None));
    told.iter().for_each(|(label, offset)| judge.stored(label, "repo", at(*offset), false));
    let r = reader(&judge, None);
    there.iter().for_each(|(label, at)| give(&judge, r, label, *at));
    judge.audited(r);
    judge
}

#[test]
fn after_damage_a_message_is_there_once_all_the_same() {
    // The first place of `a` is gone, so that it was stored again.
    assert_eq!(law(&damaged(&[("a", 1)], &[("b", 2), ("a", 3)])), None);
    assert_eq!(law(&damaged(&[("a", 1)], &[("a", 1), ("b", 2)])), None);
    assert_eq!(law(&damaged(&[("a", 1)], &[("a", 1), ("b", 2), ("a", 3)])), Some("once"));
    let keyed = judge();
    keyed.damaged();
    send(&keyed, "a", Some("k"));
    send(&keyed, "b", Some("k"));
    let r = reader(&keyed, None);
    give(&keyed, r, "a", 1);
    give(&keyed, r, "b", 2);
    assert_eq!(law(&keyed), None, "not before all was read");
    keyed.audited(r);
    assert_eq!(law(&keyed), Some("once"));
}

#[test]
fn after_damage_only_what_is_gone_between_two_messages_excuses_their_order() {
    // `b` was sent before `c`, and stands behind it, since what it first was stored as, between `a` and `c`, is gone.
    let told = [("a", 1), ("c", 3), ("b", 4)];
    assert_eq!(law(&damaged(&told, &[("a", 1), ("c", 3), ("b", 4)])), None);
    let told = [("a", 1), ("c", 2), ("b", 3)];
    assert_eq!(law(&damaged(&told, &[("a", 1), ("c", 2), ("b", 3)])), Some("order"));
    // What is gone before `a` or behind `c` excuses nothing.
    let told = [("a", 2), ("c", 3), ("b", 5)];
    assert_eq!(law(&damaged(&told, &[("a", 2), ("c", 3), ("b", 5)])), Some("order"));
}

#[test]
fn the_new_holder_acknowledges_and_the_old_one_must_be_told() {
    let judge = judge();
    let old = reader(&judge, Some("n"));
    let new = reader(&judge, Some("n"));
    send(&judge, "a", None);
    give(&judge, new, "a", 1);
    judge.acknowledges(new, "repo", 1);
    let asked = judge.asks(new);
    judge.acknowledged(new, asked);
    assert_eq!(law(&judge), None);
    judge.stored("a", "repo", at(1), false);
    assert!(judge.missing().unwrap().contains("is not told that n was taken over"));
    judge.ends(old, "taken over");
    assert_eq!(judge.missing(), None);
}
