//! Where a subscription resumes, step by step.

use super::*;
use arqon_core::GapReason;
use arqon_core::record::Epoch;

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}
fn at(epoch: u64, offset: u64) -> Position {
    Position::new(Epoch::durable(epoch), offset)
}
fn memory(offset: u64) -> Position {
    Position::new(Epoch::memory(9), offset)
}
fn rooms(list: &[(&str, &[Position])]) -> Start {
    Start::Rooms(list.iter().map(|(name, positions)| (room(name), positions.to_vec())).collect())
}

#[test]
fn before_any_answer_it_begins_where_it_was_told() {
    for start in [Start::Latest, Start::Earliest] {
        assert_eq!(Cursor::new(start.clone(), None).resume(), start);
    }
    let one = Cursor::new(Start::After(vec![at(1, 4)]), Some(room("repo")));
    assert_eq!(one.resume(), rooms(&[("repo", &[at(1, 4)])]));
}

#[test]
fn latest_becomes_a_place_once_a_server_has_answered() {
    let mut cursor = Cursor::new(Start::Latest, None);
    cursor.accepted([(room("a"), at(1, 10)), (room("b"), at(3, 0))]);
    assert_eq!(cursor.resume(), rooms(&[("a", &[at(1, 10)]), ("b", &[at(3, 0)])]));
    assert!(cursor.admit(&room("a"), at(1, 11)));
    assert!(cursor.admit(&room("new"), at(5, 1)));
    let known: [(&str, &[Position]); 3] = [("a", &[at(1, 11)]), ("b", &[at(3, 0)]), ("new", &[at(5, 1)])];
    assert_eq!(cursor.resume(), rooms(&known));
    // The next connection's heads are not what was handed out.
    cursor.accepted([(room("b"), at(3, 99))]);
    assert_eq!(cursor.resume(), rooms(&known));
}

#[test]
fn latest_without_a_room_yet_asks_for_all_that_rooms_to_come_have() {
    let mut cursor = Cursor::new(Start::Latest, None);
    cursor.accepted([]);
    assert_eq!(cursor.resume(), rooms(&[]));
}

#[test]
fn a_delivery_that_overtook_the_answer_is_not_forgotten() {
    let mut cursor = Cursor::new(Start::Latest, None);
    assert!(cursor.admit(&room("a"), at(1, 11)));
    cursor.accepted([(room("a"), at(1, 10))]);
    assert_eq!(cursor.resume(), rooms(&[("a", &[at(1, 11)])]));
}

#[test]
fn earliest_ignores_heads_and_resumes_after_what_came() {
    let mut cursor = Cursor::new(Start::Earliest, None);
    cursor.accepted([(room("a"), at(1, 10))]);
    assert_eq!(cursor.resume(), Start::Earliest);
    assert!(cursor.admit(&room("a"), at(1, 1)));
    assert_eq!(cursor.resume(), rooms(&[("a", &[at(1, 1)])]));
}

#[test]
fn what_came_before_is_dropped_and_lanes_do_not_mix() {
    let mut cursor = Cursor::new(Start::Earliest, None);
    assert!(cursor.admit(&room("a"), at(1, 5)));
    assert!(!cursor.admit(&room("a"), at(1, 5)));
    assert!(!cursor.admit(&room("a"), at(1, 4)));
    assert!(cursor.admit(&room("a"), memory(2)));
    assert!(!cursor.admit(&room("a"), memory(1)));
    assert!(cursor.admit(&room("a"), at(2, 1)), "another history begins anew");
    assert_eq!(cursor.resume(), rooms(&[("a", &[at(2, 1), memory(2)])]));
}

#[test]
fn a_gap_moves_the_place_and_is_said_once() {
    let mut cursor = Cursor::new(Start::Earliest, None);
    assert!(cursor.admit(&room("a"), at(1, 5)));
    assert!(cursor.admit_gap(&room("a"), at(1, 9), GapReason::Trimmed));
    assert!(!cursor.admit(&room("a"), at(1, 9)));
    assert!(cursor.admit(&room("a"), at(1, 10)));
    assert!(!cursor.admit_gap(&room("a"), at(1, 9), GapReason::Trimmed));
    assert!(
        cursor.admit_gap(&room("a"), at(7, 0), GapReason::EpochChanged),
        "an epoch change names the new history"
    );
    assert!(cursor.admit(&room("a"), at(7, 1)));
}

#[test]
fn a_history_that_is_gone_is_said_once_even_where_nothing_follows() {
    let mut cursor = Cursor::new(Start::Earliest, None);
    assert!(cursor.admit(&room("a"), memory(4)));
    assert!(
        cursor.admit_gap(&room("a"), memory(4), GapReason::EpochChanged),
        "what came after 4 is not known"
    );
    assert!(
        !cursor.admit_gap(&room("a"), memory(4), GapReason::EpochChanged),
        "the next connection says it again"
    );
}

#[test]
fn a_history_that_broke_off_below_is_said_and_gone_on_with() {
    let mut cursor = Cursor::new(Start::Earliest, None);
    assert!(cursor.admit(&room("a"), at(1, 77)));
    assert!(!cursor.admit_gap(&room("a"), at(1, 9), GapReason::Trimmed), "long behind");
    // A server whose log knows nothing of the room, or less than was handed out.
    assert!(cursor.admit_gap(&room("a"), at(1, 60), GapReason::EpochChanged));
    assert!(!cursor.admit_gap(&room("a"), at(1, 60), GapReason::EpochChanged), "once");
    assert_eq!(cursor.resume(), rooms(&[("a", &[at(1, 60)])]));
    assert!(cursor.admit(&room("a"), at(1, 61)));
}
