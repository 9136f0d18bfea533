//! A damaged disk: the last segment of the log is cut short, or a byte of it flipped, while the bus is down. What
//! was confirmed before is served unchanged or named as a gap; nothing else is ever served.

use super::history::history;
use super::proof::{Evidence, judge};
use super::{LONG, seed, site};
use arqon_testkit::dice::Dice;
use arqon_testkit::process::Site;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const COMMITS: usize = 1_200;
const ROUNDS: u64 = 5;

/// What happens to the file, and where if not at random.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Cut(Option<usize>),
    Flip(Option<usize>),
}

#[test]
fn after_the_last_segment_was_cut_short_everything_is_served_or_named() {
    let first = seed(100);
    for round in 0..ROUNDS {
        suffer(Harm::Cut(None), first + round);
    }
}

#[test]
fn after_a_byte_was_flipped_everything_is_served_or_named() {
    let first = seed(200);
    for round in 0..ROUNDS {
        suffer(Harm::Flip(None), first + round);
    }
}

/// Nothing is left that could tell which rooms there were; yet none of them may look as if it had been empty.
#[test]
fn rooms_of_which_nothing_is_left_are_named_too() {
    for at in [0, 9, 2_180, 4_096, 4_100] {
        suffer(Harm::Cut(Some(at)), seed(400));
    }
}

/// The places where a fault would hide best: both copies of the file's header, and the introduction of the room.
#[test]
fn a_flipped_byte_in_a_header_costs_nothing() {
    for at in [0, 9, 4_097] {
        suffer(Harm::Flip(Some(at)), seed(300));
    }
}

fn suffer(harm: Harm, seed: u64) {
    let mut dice = Dice::new(seed);
    let site = site();
    let sent = history(site.path(), COMMITS);
    let lines: Vec<&str> = sent.split_inclusive('\n').collect();
    let (before, after) = lines.split_at(COMMITS / 2 + dice.below(COMMITS / 4));

    let bus = site.start();
    publish(&site, before);
    // The durable reader has seen a part when it happens, so that both sides of its position are damaged at times.
    let part = (1 + dice.below(before.len() / 2)).to_string();
    let durable = ["sub", "repo:*", "--durable", "w", "--from", "earliest", "--json"];
    site.client("durable", &[&durable[..], &["--count", &part]].concat()).finish(LONG);
    bus.kill();
    assert_eq!(
        check(&site)["whole"],
        true,
        "{context}: being killed is no damage",
        context = site.path().display()
    );
    let place = damage(&site, harm, &mut dice);
    let context = format!("{harm:?}, seed {seed}, {place}");

    let bus = site.start();
    publish(&site, after);
    let confirmed = fs::read_to_string(site.path().join("out/pub.out")).unwrap();
    let last = last_position(&confirmed);
    let plain = ["sub", "repo:*", "--from", "earliest", "--json"];
    let mut gone = 0;
    for (name, args) in [("durable", &durable[..]), ("plain", &plain[..])] {
        let received = read_up_to(&site, name, args, &last);
        let verdict =
            judge(&Evidence { sent: &sent, confirmed: &confirmed, received: &received, damage: true });
        assert!(verdict.faults.is_empty(), "{context}: {name}: {:#?}\n{}", verdict.faults, bus.log());
        assert_eq!(verdict.delivered + verdict.in_gaps, COMMITS, "{context}: {name}");
        gone = verdict.in_gaps;
        println!("{context}: {name}: {} served, {} named as gone", verdict.delivered, verdict.in_gaps);
    }
    bus.kill();
    let report = check(&site);
    assert!(gone == 0 || report["whole"] == false, "{context}: `log check` does not see it: {report}");
}

/// What `arqon log check` says of the folder, while no bus runs on it.
fn check(site: &Site) -> serde_json::Value {
    let data = site.data();
    let output = site.command(&["log", "check", data.to_str().unwrap(), "--json"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.success(), report["whole"] == true, "{report}");
    report
}

fn publish(site: &Site, lines: &[&str]) {
    let mut publisher = site.client("pub", &["pub", "repo:main", "-", "--json"]);
    publisher.stdin().write_all(lines.concat().as_bytes()).expect("the publisher reads it all");
    publisher.finish(LONG);
}

fn last_position(confirmed: &str) -> String {
    let last: serde_json::Value = serde_json::from_str(confirmed.lines().last().unwrap()).unwrap();
    last["position"].as_str().unwrap().to_owned()
}

/// Subscribes until the delivery of that position was written down; answers with all that this name ever wrote.
fn read_up_to(site: &Site, name: &str, args: &[&str], position: &str) -> String {
    let client = site.client(name, args);
    let wanted = format!("\"position\":\"{position}\"");
    arqon_testkit::wait::until(&format!("{name} to reach {position}"), LONG, || {
        client.output().contains(&wanted).then_some(())
    });
    let received = client.output();
    assert!(client.stop(LONG).success());
    received
}

/// Harms the last segment that holds anything; answers with what was done.
fn damage(site: &Site, harm: Harm, dice: &mut Dice) -> String {
    let (path, used) = last_segment(site);
    let at = match harm {
        Harm::Cut(Some(at)) | Harm::Flip(Some(at)) => at,
        Harm::Cut(None) | Harm::Flip(None) => dice.below(used),
    };
    let file = File::options().read(true).write(true).open(&path).unwrap();
    match harm {
        Harm::Cut(_) => file.set_len(at as u64).unwrap(),
        Harm::Flip(_) => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at as u64).unwrap();
            byte[0] ^= 1 << dice.below(8);
            file.write_all_at(&byte, at as u64).unwrap();
        }
    }
    format!("byte {at} of {used} in {}", path.file_name().unwrap().to_string_lossy())
}

/// The last segment that holds more than a header, and up to where it is used: segments are preallocated with zeros.
fn last_segment(site: &Site) -> (PathBuf, usize) {
    let folder = fs::read_dir(site.data().join("log")).unwrap();
    let mut segments: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|e| e == "seg"));
    segments.sort_unstable();
    let used =
        |path: &PathBuf| fs::read(path).unwrap().iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let found = segments.iter().rev().map(|path| (path.clone(), used(path))).find(|(_, used)| *used > 4_096);
    found.expect("the log has a segment with records")
}
