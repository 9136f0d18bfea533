//! What holds back whom, for how long, and within which bounds.

use super::*;
use arqon_core::message::Extras;
use arqon_core::{Address, Kind, Message, MessageId, Priority, Tenant, Timestamp};

const NOW: Duration = Duration::from_secs(100);

fn append(room: &str, producer: &str, sequence: u64) -> Append {
    let address = Address::parse(&format!("{room}:main")).unwrap();
    let producer = Some(Producer { id: producer.into(), sequence });
    let message = Message {
        id: MessageId::Ulid(1),
        kind: Kind::Message,
        address: address.clone(),
        sender: "s".into(),
        timestamp: Timestamp(0),
        stored_at: Timestamp(0),
        priority: Priority::Normal,
        payload: "1".into(),
        extras: Some(Box::new(Extras { producer, ..Extras::default() })),
    };
    Append { room: Arc::new(RoomKey::new(Tenant::default(), address.room)), message: Arc::new(message) }
}

fn p(sequence: u64) -> Append {
    append("r", "p", sequence)
}

fn refused(sequences: &[u64]) -> Held {
    let mut held = Held::default();
    sequences.iter().for_each(|n| held.refuse(&p(*n), NOW));
    held
}

#[test]
fn later_ones_wait_until_each_earlier_one_is_settled() {
    let mut held = refused(&[5]);
    assert!(held.holds(&p(6), NOW).unwrap().message.contains("from sequence 5 on"));
    assert!(held.holds(&p(9), NOW).is_some());
    for free in [p(4), p(5), append("r", "q", 6), append("s", "p", 6)] {
        assert!(held.holds(&free, NOW).is_none());
    }
    held.settle(&p(5), NOW);
    assert!(held.holds(&p(9), NOW).is_some(), "the sixth was held back and is missing still");
    assert!(held.holds(&p(6), NOW).is_none());
    held.settle(&p(6), NOW);
    assert!(held.holds(&p(9), NOW).is_none());
    held.settle(&p(9), NOW);
    assert!(held.is_empty());
}

#[test]
fn what_nobody_tries_again_is_forgotten_after_a_minute() {
    let mut held = refused(&[5]);
    let late = NOW + PATIENCE - Duration::from_secs(1);
    assert!(held.holds(&p(6), late).is_some(), "asking for a later one does not lengthen it");
    assert!(held.holds(&p(6), NOW + PATIENCE).is_none());
    assert!(held.is_empty());
    let mut held = refused(&[5]);
    assert!(held.holds(&p(5), late).is_none());
    held.refuse(&p(5), late);
    assert!(held.holds(&p(6), NOW + PATIENCE).is_some(), "a retry does");
    held.expire(late + PATIENCE);
    assert!(held.is_empty() && held.sequences == 0);
}

#[test]
fn it_is_bounded_in_producers_and_sequences() {
    let mut held = Held::default();
    for n in 0..=PRODUCERS_MOST as u64 {
        held.refuse(&append("r", &format!("p{n}"), 1), NOW + Duration::from_millis(n));
    }
    assert!(held.series.len() <= PRODUCERS_MOST);
    assert!(held.holds(&append("r", "p0", 2), NOW).is_none(), "the oldest left");
    let last = append("r", &format!("p{PRODUCERS_MOST}"), 2);
    assert!(held.holds(&last, NOW + Duration::from_secs(11)).is_some());
    let mut held = Held::default();
    (0..2 * SEQUENCES_MOST as u64).for_each(|n| held.refuse(&p(n + 10), NOW));
    assert_eq!(held.sequences, SEQUENCES_MOST);
    held.refuse(&p(3), NOW);
    assert!(held.holds(&p(4), NOW).is_some(), "an earlier one always counts");
}

#[test]
fn what_was_noted_elsewhere_counts_from_when_it_is_heard() {
    let mut noted = Held::default();
    [p(5), p(6), append("s", "q", 1)].iter().for_each(|a| noted.refuse(a, Duration::ZERO));
    let mut held = refused(&[7]);
    held.absorb(noted, NOW);
    assert_eq!(held.sequences, 4);
    assert!(held.holds(&p(6), NOW).is_some() && held.holds(&append("s", "q", 2), NOW).is_some());
}
