//! Sent again in order, held back, given up.

use super::*;

const NOW: Duration = Duration::from_secs(100);
const PATIENCE: Duration = Duration::from_secs(60);

fn id(n: u64) -> MessageId {
    MessageId::Ulid(u128::from(n))
}
fn filled(count: u64) -> Outbox<u64, u64> {
    let mut outbox = Outbox::new(PATIENCE);
    (1..=count).for_each(|n| outbox.push(id(n), n, |sequence| sequence));
    outbox
}
fn frames(outbox: &mut Outbox<u64, u64>, now: Duration) -> Vec<u64> {
    std::iter::from_fn(|| outbox.next_frame(now)).collect()
}

#[test]
fn what_is_unconfirmed_is_sent_again_in_order_under_the_same_numbers() {
    let mut outbox = filled(4);
    assert_eq!(frames(&mut outbox, NOW), [1, 2, 3, 4]);
    assert_eq!(frames(&mut outbox, NOW), [0u64; 0]);
    assert_eq!(outbox.answered(&id(1)), Some(1));
    assert_eq!(outbox.answered(&id(3)), Some(3));
    assert_eq!(outbox.answered(&id(3)), None, "a second answer finds nothing");
    outbox.lost();
    outbox.push(id(5), 5, |sequence| sequence);
    assert_eq!(frames(&mut outbox, NOW), [2, 4, 5]);
}

#[test]
fn the_window_counts_numbers_and_not_messages() {
    let mut outbox = filled(WINDOW_MAX);
    assert!(!outbox.has_room());
    // All but the oldest are confirmed: its number still bounds what may be sent.
    (2..=WINDOW_MAX).for_each(|n| assert_eq!(outbox.answered(&id(n)), Some(n)));
    assert!(!outbox.has_room());
    assert_eq!(outbox.answered(&id(1)), Some(1));
    assert!(outbox.has_room() && outbox.is_empty());
}

#[test]
fn a_refusal_for_now_holds_and_then_sends_again_in_order() {
    let mut outbox = filled(3);
    assert_eq!(frames(&mut outbox, NOW), [1, 2, 3]);
    assert_eq!(outbox.answered(&id(1)), Some(1));
    assert_eq!(outbox.refused(&id(2), NOW, None, 0), Verdict::Kept);
    assert_eq!(frames(&mut outbox, NOW), [0u64; 0]);
    let wake = outbox.wake_at().unwrap();
    // The third was under way when the second was refused; its answer still counts.
    assert_eq!(outbox.answered(&id(3)), Some(3));
    assert_eq!(frames(&mut outbox, wake), [2]);
    assert_eq!(outbox.answered(&id(2)), Some(2));
    assert!(outbox.is_empty());
}

#[test]
fn the_pause_that_the_server_asks_for_is_kept() {
    let mut outbox = filled(1);
    frames(&mut outbox, NOW);
    let asked = Duration::from_secs(7);
    assert_eq!(outbox.refused(&id(1), NOW, Some(asked), 0), Verdict::Kept);
    assert_eq!(outbox.wake_at(), Some(NOW + asked));
}

#[test]
fn patience_ends_and_success_renews_it() {
    let mut outbox = filled(2);
    frames(&mut outbox, NOW);
    assert_eq!(outbox.refused(&id(1), NOW, None, 0), Verdict::Kept);
    assert_eq!(outbox.answered(&id(2)), Some(2));
    assert_eq!(outbox.refused(&id(1), NOW + PATIENCE, None, 0), Verdict::Kept, "there was a success between");
    assert_eq!(outbox.refused(&id(1), NOW + PATIENCE * 2, None, 0), Verdict::GivenUp(1));
    assert_eq!(outbox.refused(&id(1), NOW + PATIENCE * 2, None, 0), Verdict::Unknown);
}

#[test]
fn closing_gives_every_ticket_back() {
    let mut outbox = filled(3);
    outbox.answered(&id(2));
    assert_eq!(outbox.close().collect::<Vec<_>>(), [1, 3]);
    assert!(outbox.is_empty());
}

#[test]
fn one_answer_stands_for_a_run_of_what_was_sent() {
    let mut outbox = filled(6);
    (1..=5).for_each(|n| assert_eq!(outbox.next_frame(NOW), Some(n)));
    let run = |outbox: &mut Outbox<u64, u64>, first, count| -> Vec<u64> {
        outbox.answered_run(&id(first), count).map(|(_, ticket)| ticket).collect()
    };
    assert_eq!(run(&mut outbox, 9, 2), [0u64; 0], "nobody knows it");
    assert_eq!(run(&mut outbox, 2, 2), [2, 3]);
    assert_eq!(run(&mut outbox, 1, 3), [1], "4 does not stand right behind 1");
    assert_eq!(run(&mut outbox, 4, 9), [4, 5], "6 was not sent");
    assert_eq!(frames(&mut outbox, NOW), [6]);
    outbox.lost();
    assert_eq!(frames(&mut outbox, NOW), [6]);
    assert_eq!(run(&mut outbox, 6, 1), [6]);
    assert!(outbox.is_empty());
}

#[test]
fn what_was_sent_again_behind_one_another_is_answered_together() {
    let mut outbox = filled(4);
    assert_eq!(frames(&mut outbox, NOW), [1, 2, 3, 4]);
    assert_eq!(outbox.refused(&id(1), NOW, None, 0), Verdict::Kept);
    assert_eq!(outbox.answered(&id(2)), Some(2));
    assert_eq!(outbox.answered(&id(3)), Some(3));
    let wake = outbox.wake_at().unwrap();
    // On the wire 4 stands right behind 1 now, whatever their numbers.
    assert_eq!(frames(&mut outbox, wake), [1, 4]);
    assert_eq!(outbox.answered_run(&id(1), 2).map(|(_, ticket)| ticket).collect::<Vec<_>>(), [1, 4]);
    assert!(outbox.is_empty());
}

#[test]
fn all_that_was_refused_behind_one_another_waits_once_and_goes_in_order() {
    let mut outbox = filled(6);
    assert_eq!(frames(&mut outbox, NOW), [1, 2, 3, 4, 5, 6]);
    for n in 2..=5 {
        assert_eq!(outbox.refused(&id(n), NOW, None, 0), Verdict::Kept);
    }
    let wake = outbox.wake_at().unwrap();
    assert_eq!(wake, NOW + Duration::from_millis(50), "one pause for all");
    assert_eq!(outbox.answered(&id(1)), Some(1));
    assert_eq!(frames(&mut outbox, wake), [2, 3, 4, 5, 6]);
    // The answer to what was under way before comes late: from there on it goes again, and is known by its number.
    assert_eq!(outbox.refused(&id(6), wake, None, 0), Verdict::Kept);
    let wake = outbox.wake_at().unwrap();
    assert_eq!(frames(&mut outbox, wake), [6]);
}

#[test]
fn after_one_was_given_up_a_new_series_begins() {
    let mut outbox = filled(2);
    frames(&mut outbox, NOW);
    assert_eq!(outbox.refused(&id(1), NOW, None, 0), Verdict::Kept);
    assert_eq!(outbox.refused(&id(1), NOW + PATIENCE, None, 0), Verdict::GivenUp(1));
    assert_eq!(outbox.series(), 0, "the second is under way");
    assert_eq!(outbox.refused(&id(2), NOW + PATIENCE, None, 0), Verdict::GivenUp(2));
    assert_eq!(outbox.series(), 1);
    outbox.push(id(3), 3, |sequence| sequence);
    let later = NOW + PATIENCE * 2;
    assert_eq!(frames(&mut outbox, later), [3]);
    assert_eq!(outbox.refused(&id(3), later, None, 0), Verdict::Kept, "its time begins anew");
    assert_eq!(outbox.series(), 1);
}
