//! History by time: the newest of a window, or a window from its beginning on, as it was stored.
//!
//! Invariant: both edges of a window are excluded; a strict replay that would go back in its senders' own numbering is
//! refused as a whole.

use crate::bus::{Bus, Found, Wanted, Window};
use crate::{Code, Ctx, Error, Pattern, Record, Result, Role};

/// The newest records of a window.
pub(crate) async fn get(
    bus: &Bus,
    ctx: &Ctx,
    pattern: &Pattern,
    (window, limit): (Window, usize),
) -> Result<Found> {
    require_room(ctx, pattern)?;
    bus.between(ctx, pattern, window, Wanted::Last(limit)).await
}

/// The oldest records of a window; with `strict` refused where their numbers go back.
pub(crate) async fn replay(
    bus: &Bus,
    ctx: &Ctx,
    pattern: &Pattern,
    (window, limit): (Window, usize),
    strict: bool,
) -> Result<Found> {
    require_room(ctx, pattern)?;
    let found = bus.between(ctx, pattern, window, Wanted::First(limit)).await?;
    if strict {
        check_sequence(found.records.iter().map(|record| &**record))?;
    }
    Ok(found)
}

/// All rooms at once are for admins.
fn require_room(ctx: &Ctx, pattern: &Pattern) -> Result<()> {
    if pattern.only_room().is_some() || ctx.principal.role >= Role::Admin {
        return Ok(());
    }
    Err(Error::new(Code::Forbidden, "only admins read all rooms at once")
        .with_reason("ROOM_REQUIRED")
        .with_field("args.room")
        .with_hint("name a room"))
}

fn check_sequence<'a>(records: impl Iterator<Item = &'a Record>) -> Result<()> {
    let mut last = i64::MIN;
    for record in records {
        let metadata = record.message.extras.as_ref().and_then(|extras| extras.metadata.as_ref());
        let Some(number) = metadata.and_then(|text| sequence(text)) else { continue };
        if number < last {
            let what =
                format!("`metadata.sequence` goes back from {last} to {number} at {}", record.position);
            return Err(Error::invalid("args.strict_sequence", what)
                .with_reason("SEQUENCE_BROKEN")
                .with_hint("set `strict_sequence` to false to have the messages as they were stored"));
        }
        last = number;
    }
    Ok(())
}

/// The whole number under `sequence` at the top of a JSON object. The doors have checked the text already.
fn sequence(text: &[u8]) -> Option<i64> {
    let (mut at, mut depth, mut is_it) = (0, 0usize, false);
    let mut last: &[u8] = &[];
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                let end = end_of_string(text, at + 1)?;
                last = &text[at + 1..end];
                at = end;
            }
            b':' => is_it = depth == 1 && last == b"sequence",
            b'{' | b'[' => (depth, is_it) = (depth + 1, false),
            b'}' | b']' => (depth, is_it) = (depth.saturating_sub(1), false),
            b',' => is_it = false,
            b'-' | b'0'..=b'9' if is_it => {
                let rest = &text[at..];
                let ends = |b: &u8| matches!(b, b',' | b'}') || b.is_ascii_whitespace();
                let length = rest.iter().position(ends).unwrap_or(rest.len());
                return std::str::from_utf8(&rest[..length]).ok()?.parse().ok();
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the quote stands that ends a string.
fn end_of_string(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_number_is_found_at_the_top_only() {
        let cases = [
            (r#"{"sequence":7}"#, Some(7)),
            (r#"{ "a" : "sequence" , "sequence" : -3 }"#, Some(-3)),
            (r#"{"a":{"sequence":1},"b":[{"sequence":2}],"sequence":3}"#, Some(3)),
            (r#"{"a":{"sequence":1}}"#, None),
            (r#"{"sequence":"7"}"#, None),
            (r#"{"sequence":{"a":7}}"#, None),
            (r#"{"sequence":1.5}"#, None),
            (r#"{"a":"\"sequence\":9","b":1}"#, None),
            (r#"{"a":"sequence","b":1}"#, None),
            ("{}", None),
        ];
        for (text, expected) in cases {
            assert_eq!(sequence(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "[\\{\\}\\[\\]\":,\\\\0-9a-e]{0,40}") {
            let _ = (sequence(&bytes), sequence(text.as_bytes()));
        }
    }
}
