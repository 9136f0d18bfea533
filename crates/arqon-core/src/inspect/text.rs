//! The text of a JSON string as its readers will see it, with the way back to the bytes that it was written in.
//!
//! Invariant: a range of the plain text maps to the bytes that spell exactly it, so that replacing those bytes leaves the
//! string valid and everything else as it was.

use std::ops::Range;

/// A JSON string without its escapes.
#[derive(Debug, Default)]
pub(super) struct Plain {
    pub(super) text: String,
    /// Where stretches begin: offset in `text`, offset in the string's bytes. An escape is a stretch of its own.
    marks: Vec<(usize, usize)>,
    raw_len: usize,
}

impl Plain {
    /// Reads what stands between the quotes. Escapes that JSON does not know stand for themselves.
    pub(super) fn read(raw: &str) -> Self {
        let mut plain =
            Plain { text: String::with_capacity(raw.len()), marks: Vec::new(), raw_len: raw.len() };
        let mut at = 0;
        while at < raw.len() {
            plain.marks.push((plain.text.len(), at));
            let run = raw[at..].find('\\').unwrap_or(raw.len() - at);
            if run > 0 {
                plain.text.push_str(&raw[at..at + run]);
                at += run;
                continue;
            }
            let (c, length) = escape(&raw[at..]);
            plain.text.push(c);
            at += length;
        }
        plain
    }

    /// The bytes of the string that spell a range of the plain text.
    pub(super) fn raw(&self, range: &Range<usize>) -> Range<usize> {
        self.place(range.start)..self.place(range.end)
    }

    fn place(&self, offset: usize) -> usize {
        if offset >= self.text.len() {
            return self.raw_len;
        }
        let after = self.marks.partition_point(|(plain, _)| *plain <= offset);
        let (plain, raw) = self.marks[after.saturating_sub(1)];
        raw + (offset - plain)
    }
}

/// A whole JSON text with its escapes resolved in place: no JSON any more, but every string of it stands in there as its
/// readers will see it.
pub(super) fn resolved(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (c, length) = escape(&rest[at..]);
        out.push(c);
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    out
}

/// One escape from its backslash on: the character and how many bytes spell it.
fn escape(raw: &str) -> (char, usize) {
    let simple = match raw.as_bytes().get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b @ (b'"' | b'\\' | b'/')) => char::from(*b),
        Some(b'u') => return unicode(raw),
        _ => return ('\\', 1),
    };
    (simple, 2)
}

fn unicode(raw: &str) -> (char, usize) {
    let unit = |at: usize| {
        let digits = raw.get(at..at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok()
    };
    let Some(first) = unit(2) else { return ('\\', 1) };
    if !(0xD800..0xDC00).contains(&first) {
        return (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6);
    }
    match (raw.get(6..8), unit(8)) {
        (Some("\\u"), Some(second)) if (0xDC00..0xE000).contains(&second) => {
            let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        _ => (char::REPLACEMENT_CHARACTER, 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_leads_back_to_the_bytes_that_spell_it() {
        let raw = r#"a\u0070b\n\"é\ud83d\ude00z\\\ud800x"#;
        let plain = Plain::read(raw);
        assert_eq!(plain.text, "apb\n\"é😀z\\\u{fffd}x");
        let bounds: Vec<usize> =
            plain.text.char_indices().map(|(i, _)| i).chain([plain.text.len()]).collect();
        for (i, start) in bounds.iter().enumerate() {
            for end in &bounds[i..] {
                let back = plain.raw(&(*start..*end));
                assert_eq!(Plain::read(&raw[back]).text, plain.text[*start..*end]);
            }
        }
        assert_eq!(resolved(raw), plain.text);
    }

    #[test]
    fn what_is_no_escape_stands_for_itself() {
        for raw in ["\\", "a\\", "\\u", "\\u12", "\\uzzzz", "\\q", "\\ud83d\\u", "\\u00é9", "\\u+123"] {
            let plain = Plain::read(raw);
            assert_eq!(plain.raw(&(0..plain.text.len())), 0..raw.len(), "{raw}");
            let _ = resolved(raw);
        }
    }
}
