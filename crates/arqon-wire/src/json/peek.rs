//! A look at a delivery without reading all of it: whose it is and where it stands.
//!
//! Invariant: what is found here is what [`decode`](super::client::decode) finds in the same envelope; anything that is
//! not in the order and the plain form in which our servers write it is left to that.

use crate::scan::plain_prefix;
use arqon_core::Position;
use std::ops::Range;

/// What a look at a delivery of a plain subscription finds; the ranges are places in the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peeked {
    /// The subscription's id.
    pub subscription: Range<usize>,
    /// Where the members begin that every reader gets: behind the subscription's. With a brace before them they are
    /// the envelope.
    pub members: usize,
    /// The room's name, unchecked.
    pub room: Range<usize>,
    /// Where it stands.
    pub position: Position,
}

/// Looks at a frame; `None` for everything but a delivery that need not be acknowledged.
pub fn peek(frame: &str) -> Option<Peeked> {
    let mut look = Look { frame, at: 0 };
    look.pass("{\"subscription\":")?;
    let subscription = look.text()?;
    look.pass(",")?;
    let members = look.at;
    let (mut room, mut is_message) = (None, false);
    loop {
        let name = look.text()?;
        look.pass(":")?;
        let value = look.text()?;
        match &frame[name] {
            "type" => is_message = matches!(&frame[value], "message" | "telemetry"),
            "room" => room = Some(value),
            "position" if is_message => {
                let position = Position::parse(&frame[value]).ok()?;
                return Some(Peeked { subscription, members, room: room?, position });
            }
            _ => {}
        }
        look.pass(",")?;
    }
}

struct Look<'a> {
    frame: &'a str,
    at: usize,
}

impl Look<'_> {
    fn pass(&mut self, wanted: &str) -> Option<()> {
        let found = self.frame.as_bytes().get(self.at..)?.starts_with(wanted.as_bytes());
        self.at += wanted.len();
        found.then_some(())
    }

    /// A text without escapes.
    fn text(&mut self) -> Option<Range<usize>> {
        self.pass("\"")?;
        let rest = &self.frame.as_bytes()[self.at..];
        let len = plain_prefix(rest);
        if rest.get(len) != Some(&b'"') {
            return None;
        }
        let range = self.at..self.at + len;
        self.at = range.end + 1;
        Some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{client, envelope, write_delivery_prefix};
    use crate::server_says::ServerSays;
    use crate::testing::any_message;
    use arqon_core::record::Epoch;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_look_finds_what_reading_finds(message in any_message(), offset in any::<u64>(), attempt in 0u32..3) {
            let position = Position::new(Epoch::durable(77), offset);
            let line = envelope(&message, Some(position));
            let mut frame = Vec::new();
            write_delivery_prefix(&mut frame, "c7", attempt);
            frame.extend_from_slice(&line[1..]);
            let text = std::str::from_utf8(&frame).unwrap();
            let Ok(ServerSays::Delivery(read)) = client::decode(&frame.clone().into()) else { panic!("a delivery") };
            match peek(text) {
                Some(peeked) => {
                    prop_assert_eq!(attempt, 0);
                    prop_assert_eq!(&text[peeked.subscription], "c7");
                    prop_assert_eq!(&text[peeked.room], read.message.address.room.as_str());
                    prop_assert_eq!(peeked.position, read.position);
                    prop_assert_eq!(&frame[peeked.members..], &line[1..]);
                }
                // A sender's name may need escapes.
                None => prop_assert!(attempt > 0 || text.contains('\\')),
            }
        }

        #[test]
        fn garbage_never_panics(text in "\\PC{0,80}") {
            let _ = peek(&text);
            let _ = peek(&format!("{{\"subscription\":\"s\",{text}"));
        }
    }

    #[test]
    fn other_envelopes_are_left_alone() {
        for frame in [
            "",
            "{}",
            r#"{"type":"gap","version":"1.0","subscription":"s1","room":"repo","from":null,"to":"5f-9","reason":"trimmed"}"#,
            r#"{"subscription":"s1","attempt":1,"id":"x","type":"message","room":"r","position":"5f-9"}"#,
            r#"{"subscription":"s1","type":"ended","room":"r","position":"5f-9"}"#,
            r#"{"subscription":"s1","type":"message","position":"5f-9"}"#,
            r#"{"subscription":"s1","type":"message","room":"r","position":"here"}"#,
            r#"{"subscription":"s1","type":"message","room":"r","#,
        ] {
            assert_eq!(peek(frame), None, "{frame}");
        }
    }
}
