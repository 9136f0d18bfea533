//! Tests of the feed: credit, admission, and what becomes of acknowledgements.

use super::*;

fn feed(start: Start) -> Feed {
    let pattern = Pattern::parse("repo:*").unwrap();
    let wish = Wish {
        pattern,
        start,
        durable: None,
        credit: Some(10),
        follows_size: false,
        ack_wait: None,
        max_deliver: None,
        echo: true,
    };
    Feed::new(3, wish, false)
}

#[test]
fn it_asks_first_for_what_was_wished_and_then_for_where_it_stands() {
    let mut feed = feed(Start::Latest);
    let asked = Value::map([
        ("id", "c3".into()),
        ("pattern", "repo:*".into()),
        ("from", "latest".into()),
        ("credit", Value::Int(10)),
    ]);
    assert_eq!(feed.arguments(), asked);
    let answer = Bytes::from_static(br#"{"subscription":"c3","durable":null,"positions":{"repo":["5f-7"]}}"#);
    feed.answered(Ok(answer), Duration::ZERO);
    assert_eq!(feed.phase, Phase::Live);
    feed.lost();
    let resumed = Value::map([("repo", Value::from(vec!["5f-7".to_owned()]))]);
    assert_eq!(feed.arguments().get("from"), Some(&resumed));
}

#[test]
fn an_answer_that_may_change_is_asked_for_again_and_any_other_ends_it() {
    let mut feed = feed(Start::Latest);
    let refuse = |code| Err(arqon_core::Error::new(code, "no"));
    feed.answered(refuse(arqon_core::Code::Unavailable), Duration::from_secs(9));
    assert_eq!(feed.phase, Phase::Wanted(Duration::from_secs(9)));
    feed.answered(refuse(arqon_core::Code::Forbidden), Duration::from_secs(9));
    assert!(matches!(feed.queue.pop_front(), Some(Item::End(_))) && feed.phase == Phase::Ended);
    feed.lost();
    assert_eq!(feed.phase, Phase::Ended);
}

#[test]
fn acknowledgements_that_nobody_will_take_are_told_once() {
    let mut feed = feed(Start::Latest);
    let (room, position) = (RoomName::parse("repo").unwrap(), Position::parse("5f-7").unwrap());
    feed.ledger.admit(&room, position);
    feed.ledger.acknowledge(&room, position);
    assert!(feed.take_unsaved().is_none(), "it still waits to be sent");
    feed.end(Error::Refused(arqon_core::Error::new(arqon_core::Code::Fenced, "taken over")));
    assert!(feed.take_unsaved().is_some() && feed.take_unsaved().is_none());
}

#[test]
fn a_window_that_follows_size_is_wide_for_small_messages_and_narrow_for_large_ones() {
    let mut feed = feed(Start::Latest);
    feed.phase = Phase::Live;
    feed.window = Some(Window { first: 10, now: 10 });
    assert!(feed.taken(5, 5 * 100));
    // What was taken, and what the window grew by.
    assert_eq!(feed.take_owed(), Some(5 + WINDOW_MAX - 10));
    assert!(!feed.taken(20, 20 << 20), "what was taken is kept back while messages are large");
    assert_eq!((feed.take_owed(), feed.owed), (None, 0));
    feed.taken(WINDOW_MAX as usize - 20, (WINDOW_MAX as usize - 20) << 20);
    assert_eq!(feed.window.map(|window| window.now), Some(10));
    assert_eq!(feed.take_owed(), Some(10));
    feed.taken(8, 8 * 100);
    feed.lost();
    assert_eq!(
        feed.window.map(|window| window.now),
        Some(10),
        "a new connection begins with what was wished"
    );
}

#[test]
fn credit_goes_back_in_halves() {
    let mut feed = feed(Start::Latest);
    feed.phase = Phase::Live;
    feed.owed = 4;
    assert_eq!(feed.take_owed(), None);
    feed.owed = 5;
    assert_eq!((feed.take_owed(), feed.owed), (Some(5), 0));
}
