//! Held, acknowledged, given back, and sent again.

use super::*;

fn room() -> RoomName {
    RoomName::parse("repo").unwrap()
}
fn at(offset: u64) -> Position {
    Position::new(Epoch::durable(1), offset)
}
fn sent(ledger: &mut Ledger) -> Vec<u64> {
    let mut offsets = Vec::new();
    while let Some(batch) = ledger.take() {
        offsets.extend(batch.positions.iter().map(|p| p.offset));
    }
    offsets
}

#[test]
fn held_records_are_not_handed_out_twice() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.admit(&room(), at(1)), Admission::HandOut);
    ledger.lost();
    assert_eq!(ledger.admit(&room(), at(1)), Admission::Held);
    assert!(ledger.release(&room(), at(1)));
    assert_eq!(ledger.admit(&room(), at(1)), Admission::HandOut);
    assert!(ledger.is_settled());
}

#[test]
fn an_old_record_that_comes_late_is_still_handed_out() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.admit(&room(), at(10)), Admission::HandOut);
    assert!(ledger.acknowledge(&room(), at(10)));
    assert_eq!(ledger.admit(&room(), at(5)), Admission::HandOut);
}

#[test]
fn what_the_server_forgot_is_acknowledged_again_and_not_handed_out() {
    let mut ledger = Ledger::default();
    ledger.admit(&room(), at(1));
    assert!(ledger.acknowledge(&room(), at(1)));
    assert!(!ledger.acknowledge(&room(), at(1)), "the second acknowledgement says nothing new");
    let batch = ledger.take().unwrap();
    ledger.answered(batch.number);
    assert!(ledger.is_settled());
    assert_eq!(ledger.admit(&room(), at(1)), Admission::Acknowledged);
    assert_eq!(sent(&mut ledger), [1]);
}

#[test]
fn an_unanswered_acknowledgement_is_sent_again_on_the_next_connection() {
    let mut ledger = Ledger::default();
    for offset in 1..=3 {
        ledger.admit(&room(), at(offset));
        ledger.acknowledge(&room(), at(offset));
    }
    assert_eq!(sent(&mut ledger), [1, 2, 3]);
    assert!(!ledger.is_settled() && !ledger.has_acknowledgements());
    ledger.lost();
    assert_eq!(sent(&mut ledger), [1, 2, 3]);
}

#[test]
fn up_to_settles_everything_below() {
    let mut ledger = Ledger::default();
    for offset in 1..=4 {
        ledger.admit(&room(), at(offset));
    }
    ledger.acknowledge_up_to(&room(), at(3));
    assert!(!ledger.release(&room(), at(2)));
    let batch = ledger.take().unwrap();
    assert_eq!((batch.up_to, &batch.positions[..]), (Some(at(3)), &[at(1), at(2), at(3)][..]));
    // What is given back by then may lie below it: on another connection each is named.
    ledger.lost();
    let batch = ledger.take().unwrap();
    assert_eq!((batch.up_to, &batch.positions[..]), (None, &[at(1), at(2), at(3)][..]));
    assert_eq!(ledger.admit(&room(), at(4)), Admission::Held);
}

#[test]
fn a_wish_to_persist_is_carried_by_the_last_command_and_survives_a_lost_connection() {
    let mut ledger = Ledger::default();
    ledger.persist();
    assert!(ledger.is_settled(), "nothing was acknowledged, so there is nothing to persist");
    ledger.admit(&room(), at(1));
    ledger.acknowledge(&room(), at(1));
    let plain = ledger.take().unwrap();
    assert!(!plain.confirm);
    ledger.answered(plain.number);
    ledger.persist();
    assert!(!ledger.is_settled());
    assert!(ledger.take().unwrap().confirm);
    ledger.lost();
    let again = ledger.take().unwrap();
    assert!(again.confirm && again.positions == [at(1)]);
    assert_eq!(ledger.take(), None);
    ledger.answered(again.number);
    ledger.persist();
    assert!(ledger.is_settled());
}

#[test]
fn long_lists_are_cut_into_commands() {
    let mut ledger = Ledger::default();
    for offset in 1..=2_500 {
        ledger.admit(&room(), at(offset));
        ledger.acknowledge(&room(), at(offset));
    }
    let sizes: Vec<usize> = std::iter::from_fn(|| ledger.take()).map(|b| b.positions.len()).collect();
    assert_eq!(sizes, [1_000, 1_000, 500]);
}

#[test]
fn a_refused_wish_to_persist_may_be_made_again() {
    let mut ledger = Ledger::default();
    ledger.admit(&room(), at(1));
    assert!(ledger.acknowledge(&room(), at(1)));
    ledger.persist();
    let batch = ledger.take().unwrap();
    assert!(batch.confirm);
    assert!(ledger.refused(batch.number));
    assert!(ledger.is_settled(), "nothing is sent again by itself");
    ledger.persist();
    let again = ledger.take().unwrap();
    assert!(again.confirm);
    ledger.answered(again.number);
    ledger.persist();
    assert_eq!(ledger.take(), None);
}

#[test]
fn what_was_answered_and_is_not_on_disk_is_acknowledged_again_on_the_next_connection() {
    let mut ledger = Ledger::default();
    for offset in 1..=3 {
        ledger.admit(&room(), at(offset));
        ledger.acknowledge(&room(), at(offset));
        let batch = ledger.take().unwrap();
        ledger.answered(batch.number);
    }
    assert!(ledger.is_settled());
    // The server died: it may have forgotten all three, and a flush must not speak for the last one alone.
    ledger.lost();
    ledger.persist();
    let again = ledger.take().unwrap();
    assert_eq!((again.positions.as_slice(), again.confirm), (&[at(1), at(2), at(3)][..], true));
    ledger.answered(again.number);
    ledger.lost();
    assert!(ledger.is_settled(), "what is on disk stays there");
    assert_eq!(ledger.take(), None);
}

#[test]
fn what_a_full_disk_refused_to_keep_is_acknowledged_again_on_the_next_connection() {
    let mut ledger = Ledger::default();
    ledger.admit(&room(), at(1));
    ledger.acknowledge(&room(), at(1));
    ledger.persist();
    let batch = ledger.take().unwrap();
    assert!(ledger.refused(batch.number));
    ledger.lost();
    assert_eq!(sent(&mut ledger), [1]);
}

#[test]
fn acknowledgements_that_nobody_asks_to_keep_are_remembered_up_to_a_bound() {
    let mut ledger = Ledger::default();
    let mut confirmed = 0;
    for offset in 1..=50_000 {
        ledger.admit(&room(), at(offset));
        ledger.acknowledge(&room(), at(offset));
        let batch = ledger.take().unwrap();
        confirmed += u64::from(batch.confirm);
        ledger.answered(batch.number);
        assert!(ledger.unsaved_positions <= UNSAVED_MAX + 1);
    }
    assert_eq!(confirmed, 50_000 / (UNSAVED_MAX as u64 + 2));
}
