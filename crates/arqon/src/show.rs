//! Messages, gaps and times as people read them and as machines do.

use crate::options::Global;
use crate::terminal::{Paint, Style, harmless, line};
use arqon_client::{Gap, Position};
use arqon_core::{Message, RoomKey, Tenant, Timestamp};
use arqon_wire::{json, parse_timestamp, timestamp_text};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::io;

/// A message as one JSON line.
pub(crate) fn message_json(message: &Message, position: Position) -> Vec<u8> {
    json::envelope(message, Some(position))
}

/// A gap as one JSON line.
pub(crate) fn gap_json(gap: &Gap) -> Vec<u8> {
    let room = RoomKey::new(Tenant::default(), gap.room.clone()).into();
    let gap = arqon_core::Gap { room, from: gap.from, to: gap.to, reason: gap.reason };
    let mut out = Vec::new();
    json::write_gap(&mut out, None, &gap);
    out
}

/// A message as one line for people: time, sender, address, content.
pub(crate) fn message_text(paint: Paint, message: &Message, attempt: u32) -> String {
    let time = paint.style(Style::Dim, &clock(message.timestamp));
    let sender = paint.style(Style::Green, &harmless(&message.sender));
    let address = paint.style(Style::Cyan, &message.address.to_string());
    let again =
        if attempt > 1 { paint.style(Style::Yellow, &format!(" (try {attempt})")) } else { String::new() };
    format!("{time} {sender} {address}{again} {}", content(&message.payload))
}

/// A gap as one line for people.
pub(crate) fn gap_text(paint: Paint, gap: &Gap) -> String {
    let from = gap.from.map_or_else(|| "the beginning".to_owned(), |p| p.to_string());
    let text = format!("--- gap in {}: {from} to {} ({}) ---", gap.room, gap.to, gap.reason.as_str());
    paint.style(Style::Yellow, &text)
}

/// The content of a payload: the text where there is nothing but text, else the JSON.
pub(crate) fn content(payload: &[u8]) -> String {
    match only_text(payload) {
        Some(text) => harmless(&text),
        None => harmless(&String::from_utf8_lossy(payload)),
    }
}

/// The text of a payload that is `{"text": …}` and nothing else.
pub(crate) fn only_text(payload: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Text<'a> {
        #[serde(borrow)]
        text: Cow<'a, str>,
    }
    serde_json::from_slice::<Text<'_>>(payload).ok().map(|only| only.text)
}

/// `2026-11-21 12:00:01Z`.
pub(crate) fn clock(at: Timestamp) -> String {
    let text = timestamp_text(at);
    let seconds = text.get(..19).unwrap_or(&text).replace('T', " ");
    format!("{seconds}Z")
}

/// A text of an answer.
pub(crate) fn text(value: &Value) -> String {
    harmless(value.as_str().unwrap_or("-"))
}

/// A moment of an answer.
pub(crate) fn time(value: &Value) -> String {
    let at = value.as_str().and_then(|at| parse_timestamp("at", at).ok());
    at.map_or_else(|| "-".to_owned(), clock)
}

/// The answer to a command: for machines as it came, for people as `text`, which is left out where only quiet is wanted of
/// what did something.
pub(crate) fn answer(global: &Global, answer: &Value, text: &str, did: bool) -> io::Result<()> {
    match (global.json, global.quiet && did) {
        (true, _) => line(&answer.to_string()),
        (false, true) => Ok(()),
        (false, false) => line(text),
    }
}

/// `1.5 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// `2d 3h`, `5m 2s`: the two largest units.
pub(crate) fn span(seconds: u64) -> String {
    let parts =
        [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let first = parts.iter().position(|(n, _)| *n > 0).unwrap_or(3);
    let shown: Vec<String> = parts.iter().skip(first).take(2).map(|(n, unit)| format!("{n}{unit}")).collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arqon_client::GapReason;
    use arqon_core::RoomName;
    use arqon_core::record::Epoch;

    #[test]
    fn content_is_the_text_where_there_is_only_text() {
        assert_eq!(content(br#"{"text":"a\nb"}"#), "a\\nb");
        assert_eq!(content(br#"{"text":"a","n":1}"#), r#"{"text":"a","n":1}"#);
        assert_eq!(content(br#"{"n":1}"#), r#"{"n":1}"#);
    }

    #[test]
    fn a_gap_in_both_forms() {
        let gap = Gap {
            room: RoomName::parse("repo").unwrap(),
            from: None,
            to: Position::new(Epoch::durable(0x5f), 9),
            reason: GapReason::Trimmed,
        };
        let json: serde_json::Value = serde_json::from_slice(&gap_json(&gap)).unwrap();
        assert_eq!(
            (&json["type"], &json["room"], &json["to"]),
            (&"gap".into(), &"repo".into(), &"5f-9".into())
        );
        assert_eq!(gap_text(Paint::none(), &gap), "--- gap in repo: the beginning to 5f-9 (trimmed) ---");
    }

    #[test]
    fn sizes_and_spans() {
        assert_eq!((bytes(5).as_str(), bytes(1536).as_str()), ("5 B", "1.5 KiB"));
        assert_eq!((span(0).as_str(), span(302).as_str(), span(180_000).as_str()), ("0s", "5m 2s", "2d 2h"));
    }
}
