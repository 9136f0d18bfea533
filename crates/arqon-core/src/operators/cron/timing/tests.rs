//! What is due, what was missed, what was held: on numbers alone.

use super::*;
use proptest::prelude::*;

const SECOND: u64 = 1_000_000;

fn every(seconds: u64, count: u64) -> Timing {
    let second = Duration::from_secs(1);
    Timing { delay: second, every: Some(second * u32::try_from(seconds).unwrap()), count, calendar: None }
}

fn slot(number: u64, second: u64) -> Slot {
    Slot { number, at: Timestamp(second * SECOND) }
}

fn at(second: u64) -> Timestamp {
    Timestamp(second * SECOND)
}

fn numbers(beat: &Beat) -> Vec<u64> {
    beat.send.iter().map(|slot| slot.number).collect()
}

#[test]
fn what_is_due_is_sent_in_time_and_what_is_not_waits() {
    let timing = every(10, 3);
    let now = |second| beat(&timing, slot(1, 100), (Missed::Once, None), at(second));
    assert_eq!(now(99), Beat { send: vec![], next: Some(slot(1, 100)) });
    assert_eq!(now(101), Beat { send: vec![slot(1, 100)], next: Some(slot(2, 110)) });
    let last = beat(&timing, slot(3, 120), (Missed::Once, None), at(120));
    assert_eq!(last, Beat { send: vec![slot(3, 120)], next: None });
    let alone = Timing { every: None, count: 1, ..timing };
    let once = beat(&alone, slot(1, 100), (Missed::Skip, None), at(100));
    assert_eq!(once, Beat { send: vec![slot(1, 100)], next: None });
}

#[test]
fn what_was_missed_goes_by_the_policy() {
    let timing = every(10, 0);
    let back = |missed| beat(&timing, slot(4, 100), (missed, None), at(152));
    assert_eq!((numbers(&back(Missed::Once)), back(Missed::Once).next), (vec![8, 9], Some(slot(10, 160))));
    assert_eq!((numbers(&back(Missed::Skip)), back(Missed::Skip).next), (vec![9], Some(slot(10, 160))));
    assert_eq!(numbers(&back(Missed::All)), [4, 5, 6, 7, 8, 9]);
    // The numbers go on although the messages do not come; a count ends by them.
    let ended = beat(&every(10, 6), slot(4, 100), (Missed::Skip, None), at(1000));
    assert_eq!(ended, Beat { send: vec![], next: None });
    let ended = beat(&every(10, 6), slot(4, 100), (Missed::Once, None), at(1000));
    assert_eq!(ended, Beat { send: vec![slot(6, 120)], next: None });
}

#[test]
fn what_was_held_is_left_out_whatever_the_policy() {
    for missed in [Missed::Once, Missed::Skip, Missed::All] {
        let found = beat(&every(10, 0), slot(1, 100), (missed, Some(at(145))), at(151));
        assert_eq!((numbers(&found), found.next), (vec![6], Some(slot(7, 160))), "{missed:?}");
    }
}

#[test]
fn years_of_absence_are_leapt_over_or_walked_in_steps() {
    let timing = Timing { every: Some(Duration::from_millis(10)), ..every(1, 0) };
    let now = at(100 + 400_000_000);
    let found = beat(&timing, slot(1, 100), (Missed::Skip, None), now);
    assert!(found.next.is_some_and(|next| now.since(next.at) <= GRACE), "{found:?}");

    let calendar = Calendar::parse("* * * * * *", "UTC").unwrap();
    let timing = Timing { calendar: Some(calendar), every: None, ..timing };
    let (mut next, mut sent, now) = (slot(1, 1000), Vec::new(), at(1000 + 20_000));
    for _ in 0..10 {
        let found = beat(&timing, next, (Missed::Once, None), now);
        sent.extend(numbers(&found));
        next = found.next.unwrap();
    }
    // One for all that was missed, and those within the grace; the numbers say how many there were.
    assert_eq!(sent, (19_995..=20_001).collect::<Vec<_>>());
    assert_eq!(next, slot(20_002, 21_001));
}

proptest! {
    /// However often and when somebody looks: numbers rise, each stands for its time, and with `all` none is left out.
    #[test]
    fn numbers_and_times_do_not_depend_on_who_looks_when(
        looks in proptest::collection::vec(0u64..90, 1..60), every_s in 1u64..20, policy in 0usize..3, count in 0u64..50,
    ) {
        let timing = every(every_s, count);
        let missed = [Missed::Once, Missed::Skip, Missed::All][policy];
        let (mut next, mut now, mut sent) = (Some(slot(1, 1000)), 1000, Vec::new());
        for wait in looks {
            let Some(slot) = next else { break };
            now += wait;
            let found = beat(&timing, slot, (missed, None), at(now));
            prop_assert!(found.next.is_none_or(|next| next.number >= slot.number));
            sent.extend(found.send);
            next = found.next;
        }
        prop_assert!(sent.windows(2).all(|pair| pair[0].number < pair[1].number));
        prop_assert!(sent.iter().all(|s| s.at == at(1000 + (s.number - 1) * every_s)));
        if missed == Missed::All {
            let numbers: Vec<u64> = sent.iter().map(|s| s.number).collect();
            prop_assert_eq!(numbers, (1..=sent.len() as u64).collect::<Vec<_>>());
        }
    }
}
