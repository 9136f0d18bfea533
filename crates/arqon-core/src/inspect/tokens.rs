//! Cuts JSON text into names, texts, brackets and other values, without building anything.
//!
//! Invariant: it never recurses and reads each byte at most twice; text that is not JSON ends in an error or in tokens
//! that are wrong, never in a panic. The doors have checked the text already: this reader only has to be safe.

use std::ops::Range;

/// Deepest nesting that is followed; the doors refuse more than 100 levels.
pub(super) const DEPTH_MAX: usize = 128;

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// `{` (true) or `[` (false).
    Open(bool),
    /// `}` or `]`.
    Close,
    /// A member's name; its colon is read.
    Name,
    /// A string.
    Text,
    /// A number, `true`, `false` or `null`.
    Other,
}

/// A token and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) token: Token,
    /// For names and texts: what stands between the quotes.
    pub(super) range: Range<usize>,
    /// Whether a name or text has escapes.
    pub(super) escaped: bool,
}

/// The text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

pub(super) struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Tokens { text: text.as_bytes(), at: 0 }
    }

    /// The next token; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Piece>, Broken> {
        let space = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b',');
        self.at += self.text[self.at..].iter().take_while(|b| space(b)).count();
        let start = self.at;
        let Some(first) = self.text.get(start) else { return Ok(None) };
        let bracket = |token| Ok(Some(Piece { token, range: start..start + 1, escaped: false }));
        match first {
            b'"' => return self.string().map(Some),
            b'{' | b'[' => {
                self.at += 1;
                return bracket(Token::Open(*first == b'{'));
            }
            b'}' | b']' => {
                self.at += 1;
                return bracket(Token::Close);
            }
            _ => {}
        }
        let end = |b: &u8| matches!(b, b',' | b'}' | b']' | b'{' | b'[' | b'"' | b':') || space(b);
        let length = self.text[start..].iter().take_while(|b| !end(b)).count();
        if length == 0 {
            return Err(Broken);
        }
        self.at += length;
        Ok(Some(Piece { token: Token::Other, range: start..self.at, escaped: false }))
    }

    fn string(&mut self) -> Result<Piece, Broken> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            let rest = self.text.get(at..).ok_or(Broken)?;
            at += rest.iter().position(|b| matches!(b, b'"' | b'\\')).ok_or(Broken)?;
            if self.text[at] == b'"' {
                break;
            }
            escaped = true;
            at += 2;
        }
        self.at = at + 1;
        let mut after = self.at;
        while matches!(self.text.get(after), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            after += 1;
        }
        let token = if self.text.get(after) == Some(&b':') {
            self.at = after + 1;
            Token::Name
        } else {
            Token::Text
        };
        Ok(Piece { token, range: start..at, escaped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, Broken> {
        let mut tokens = Tokens::new(text);
        let mut out = Vec::new();
        while let Some(piece) = tokens.next()? {
            out.push(format!("{:?} {}", piece.token, &text[piece.range]));
        }
        Ok(out)
    }

    #[test]
    fn names_and_values_are_told_apart() {
        let found = read(r#" {"a" : ["b\"c", -1.5e3,true] ,"":{}} "#).unwrap();
        let expected = [
            "Open(true) {",
            "Name a",
            "Open(false) [",
            r#"Text b\"c"#,
            "Other -1.5e3",
            "Other true",
            "Close ]",
            "Name ",
            "Open(true) {",
            "Close }",
            "Close }",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_json_never_panics() {
        for text in
            ["\"", "\"\\", "\"\\u", "{:", ":", "\"a\"\\", "é", "[[[", "}}", "\"a\":\"", "nul", "\"\\\""]
        {
            let _ = read(text);
        }
        assert_eq!(read("\"open"), Err(Broken));
        assert_eq!(read(":"), Err(Broken));
    }
}
