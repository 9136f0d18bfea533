//! The judge must see each kind of broken promise, or its praise is worth nothing.

use super::{Broken, Excuse, Verdict, judge};
use std::fs;

/// Publisher 0 sends four messages to `a:main` and gets the first three confirmed.
const PUB: &str = "publisher 0
send 1 0 a main 10
send 1 1 a main 11
send 1 2 a side 12
send 1 3 a main 13
done 2 0 e-1
done 2 1 e-2
done 2 2 e-3
";

fn verdict(publisher: &str, reader: &str, damage: bool) -> Verdict {
    judged(publisher, reader, if damage { Excuse::Damage } else { Excuse::None })
}

fn judged(publisher: &str, reader: &str, excuse: Excuse) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pub-0.txt"), publisher).unwrap();
    fs::write(folder.path().join("read-r.txt"), reader).unwrap();
    judge(folder.path(), excuse).unwrap()
}

fn got(n: u64, position: &str) -> String {
    tried(n, position, 0)
}

fn tried(n: u64, position: &str, attempt: u32) -> String {
    let channel = if n == 2 { "side" } else { "main" };
    format!("got 5 a {channel} {position} {attempt} 0 {n} 1{n}\n")
}

fn gap(from: &str, to: &str) -> String {
    format!("gap 5 a {from} {to} damaged\n")
}

fn plain(lines: &[String]) -> String {
    format!("want * * plain\nlife 1\n{}", lines.concat())
}

fn durable(lines: &[String]) -> String {
    format!("want * * durable\nlife 1\n{}", lines.concat())
}

fn all() -> Vec<String> {
    vec![got(0, "e-1"), got(1, "e-2"), got(2, "e-3")]
}

#[track_caller]
fn check(verdict: &Verdict, expected: &[(Broken, u64)]) {
    let found: Vec<(Broken, u64)> = verdict.counts.iter().map(|(broken, count)| (*broken, *count)).collect();
    assert_eq!(found, expected, "{:#?}", verdict.evidence);
    assert_eq!(verdict.is_good(), expected.is_empty());
}

#[test]
fn a_kept_promise_is_praised() {
    let v = verdict(PUB, &plain(&all()), false);
    check(&v, &[]);
    assert_eq!((v.sent, v.confirmed, v.delivered), (4, 3, 3));
    // Delivered before its confirm could arrive, and behind a second life.
    let lines = [all(), vec!["life 6\n".to_owned(), got(3, "e-4")]].concat();
    check(&verdict(PUB, &plain(&lines), false), &[]);
    // Who reads one channel misses nothing of another.
    let reader = format!("want a side durable\nlife 1\n{}", got(2, "e-3"));
    check(&verdict(PUB, &reader, false), &[]);
}

#[test]
fn each_broken_promise_is_seen() {
    let (a, b, c) = (got(0, "e-1"), got(1, "e-2"), got(2, "e-3"));
    let broken: Vec<(&str, Vec<String>, Broken)> = vec![
        ("the last is missing", vec![a.clone(), b.clone()], Broken::Lost),
        ("one in the middle is missing", vec![a.clone(), c.clone()], Broken::Lost),
        ("twice at one place", vec![a.clone(), a.clone(), b.clone(), c.clone()], Broken::Duplicated),
        (
            "an unconfirmed one twice",
            [all(), vec![got(3, "e-4"), got(3, "e-5")]].concat(),
            Broken::Duplicated,
        ),
        ("out of order", vec![a.clone(), c.clone(), b.clone()], Broken::Reordered),
        ("never sent", [all(), vec![got(7, "e-4")]].concat(), Broken::Changed),
        ("other content", vec![a.clone(), b.clone(), c.replace("12\n", "99\n"), c.clone()], Broken::Changed),
        ("other channel", [all(), vec![got(3, "e-4").replace("main", "side")]].concat(), Broken::Changed),
        ("no position", [all(), vec![got(3, "nonsense")]].concat(), Broken::Changed),
        (
            "a needless gap",
            [vec![a.clone(), gap("e-1", "e-1")], vec![b.clone(), c.clone()]].concat(),
            Broken::Gap,
        ),
    ];
    for (what, lines, kind) in broken {
        let v = verdict(PUB, &plain(&lines), false);
        assert!(v.count(kind) == 1, "not seen: {what}: {v:#?}");
        assert!(v.evidence.iter().any(|(found, evidence)| *found == kind && evidence.who == "r"), "{what}");
    }
}

#[test]
fn a_place_other_than_told_is_seen_both_ways() {
    let lines = [got(0, "e-1"), got(1, "e-9"), got(2, "e-10")];
    let told = PUB.replace("e-3", "e-10");
    check(&verdict(&told, &plain(&lines), false), &[(Broken::Lost, 1), (Broken::Duplicated, 1)]);
    let twice = format!("{PUB}done 3 1 e-8\n");
    check(&verdict(&twice, &plain(&all()), false), &[(Broken::Duplicated, 1)]);
    let shared = PUB.replace("done 2 2 e-3", "done 2 2 e-2");
    let v = verdict(&shared, &plain(&[got(0, "e-1"), got(1, "e-2")]), false);
    check(&v, &[(Broken::Lost, 1), (Broken::Changed, 1)]);
    let unknown = format!("{PUB}done 3 9 e-9\n");
    check(&verdict(&unknown, &plain(&all()), false), &[(Broken::Changed, 1)]);
}

#[test]
fn numbers_of_a_publisher_keep_their_order() {
    let told = PUB.replace("done 2 0 e-1\ndone 2 1 e-2", "done 2 1 e-1\ndone 2 0 e-2");
    let reader = plain(&[got(1, "e-1"), got(0, "e-2"), got(2, "e-3")]);
    check(&verdict(&told, &reader, false), &[(Broken::Reordered, 1)]);
}

#[test]
fn a_new_history_without_damage_is_seen() {
    let told = PUB.replace("e-3", "f-3");
    let lines = [got(0, "e-1"), got(1, "e-2"), got(2, "f-3")];
    check(&verdict(&told, &plain(&lines), false), &[(Broken::Gap, 1)]);
    check(&verdict(&told, &plain(&lines), true), &[]);
}

#[test]
fn after_damage_a_gap_excuses_exactly_what_it_covers() {
    let told = format!("{PUB}done 9 3 f-9\n");
    let v = verdict(&told, &plain(&[got(0, "e-1"), gap("e-1", "f-8"), got(3, "f-9")]), true);
    check(&v, &[]);
    assert_eq!((v.gaps, v.in_gaps), (1, 2));
    let v = verdict(&told, &plain(&[got(0, "e-1"), gap("e-1", "e-2"), got(3, "f-9")]), true);
    check(&v, &[(Broken::Lost, 1)]);
    let evidence = &v.evidence[0].1;
    assert_eq!((evidence.message, evidence.place.as_deref()), (Some((0, 2)), Some("a e-3")));
    // A gap without a beginning covers everything before its end.
    check(&verdict(&told, &plain(&[gap("-", "f-8"), got(3, "f-9")]), true), &[]);
    // What a gap covers must not come after it.
    let v = verdict(&told, &plain(&[got(0, "e-1"), gap("e-1", "f-8"), got(1, "e-2"), got(3, "f-9")]), true);
    assert_eq!(v.count(Broken::Reordered), 1);
}

#[test]
fn after_damage_a_lost_copy_may_have_been_delivered_before_but_not_be_stored_twice() {
    let told = PUB.replace("done 2 2 e-3", "done 9 2 f-8");
    let lines = [got(0, "e-1"), got(1, "e-2"), got(2, "e-3"), gap("e-3", "f-7"), got(2, "f-8")];
    let v = verdict(&told, &plain(&lines), true);
    check(&v, &[]);
    assert_eq!(v.strays, 1);
    let audit = plain(&lines).replace("plain", "audit");
    check(&verdict(&told, &audit, true), &[(Broken::Duplicated, 1)]);
}

#[test]
fn a_durable_reader_may_see_again_only_what_was_not_acknowledged_for_good() {
    let mut lines = all();
    lines.extend(["life 6\n".to_owned(), tried(1, "e-2", 1), tried(2, "e-3", 2)]);
    let v = verdict(PUB, &durable(&lines), false);
    check(&v, &[]);
    assert_eq!(v.redelivered, 2);
    // Asked for, but nobody said that they are kept.
    lines.insert(3, "save 5 1\n".to_owned());
    check(&verdict(PUB, &durable(&lines), false), &[]);
    lines.insert(4, "saved 5 1\n".to_owned());
    check(&verdict(PUB, &durable(&lines), false), &[(Broken::Duplicated, 2)]);
    check(&verdict(PUB, &durable(&lines), true), &[(Broken::Duplicated, 2)]);
    check(&judged(PUB, &durable(&lines), Excuse::DamagedRecords), &[]);
    // A new client cannot vouch for what the dead one acknowledged.
    let life = |after: &str| {
        let lines = [&all()[..], &["life 6\n".to_owned(), after.to_owned(), tried(1, "e-2", 2)]].concat();
        verdict(PUB, &durable(&lines), false)
    };
    check(&life("save 6 1\nsaved 6 1\n"), &[]);
    // A later answer vouches for earlier questions, and for nothing that came after its own.
    let late =
        [got(0, "e-1"), "save 5 1\n".to_owned(), got(1, "e-2"), "save 5 2\n".to_owned(), got(2, "e-3")];
    let again = ["saved 5 2\n".to_owned(), tried(0, "e-1", 1), tried(2, "e-3", 1)];
    let v = verdict(PUB, &durable(&[&late[..], &again[..]].concat()), false);
    check(&v, &[(Broken::Duplicated, 1)]);
}

#[test]
fn a_durable_reader_gets_first_tries_in_order_and_second_ones_when_they_are_due() {
    let lines = [got(0, "e-1"), tried(2, "e-3", 1), tried(1, "e-2", 2)];
    check(&verdict(PUB, &durable(&lines), false), &[]);
    let lines = [got(0, "e-1"), tried(2, "e-3", 1), tried(1, "e-2", 1)];
    check(&verdict(PUB, &durable(&lines), false), &[(Broken::Reordered, 1)]);
}

#[test]
fn wrong_answers_and_questions_that_arrive_twice_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let notes =
        "ask 1 1\nheard 1 1\nanswer 2 1 3\nask 3 2\nheard 3 2\nheard 3 2\nanswer 4 2 7\nask 5 3\nnone 8 3\n";
    fs::write(folder.path().join("ask.txt"), notes).unwrap();
    let v = judge(folder.path(), Excuse::None).unwrap();
    check(&v, &[(Broken::Duplicated, 1), (Broken::Changed, 1)]);
    assert_eq!((v.asked, v.answered), (3, 2));
}

#[test]
fn a_question_without_a_word_and_an_asker_whom_nobody_answers_are_seen() {
    let judged = |notes: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ask.txt"), notes).unwrap();
        judge(folder.path(), Excuse::None).unwrap()
    };
    check(&judged(""), &[]);
    check(&judged("ask 1 1\nanswer 2 1 3\nask 3 2\n"), &[(Broken::Unanswered, 1)]);
    check(&judged("ask 1 1\nnone 4 1\nask 3 2\nnone 6 2\n"), &[(Broken::Unanswered, 1)]);
    check(&judged("ask 1 1\nnone 4 1\nask 3 2\nanswer 6 2 6\n"), &[]);
}
