//! A strict JSON scanner that splits an object into raw members without building anything.
//!
//! Invariant: what passes is JSON that any parser accepts (RFC 8259, no lone surrogates), at most [`DEPTH_MAX`]
//! levels deep. It never recurses, so input cannot exhaust the stack, and it reads each byte once.

use std::ops::Range;
use wide::u8x16;

/// Deepest nesting of an envelope: below the 128 levels at which common parsers give up.
pub(crate) const DEPTH_MAX: u32 = 100;

/// Where and how text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Byte offset.
    pub(crate) at: usize,
    /// What was expected there, for people.
    pub(crate) expected: &'static str,
}

type Result<T> = std::result::Result<T, Fault>;

/// One member of an object: the key and the value as ranges of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The key with its quotes.
    pub(crate) key: Range<usize>,
    /// The value, without the space around it.
    pub(crate) value: Range<usize>,
    /// Whether the value contains line breaks (between its tokens; inside strings they are always escaped).
    pub(crate) broken: bool,
    /// Whether a string in the value contains an escape.
    pub(crate) escaped: bool,
}

/// See the module.
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    line_break: bool,
    escaped: bool,
    depth_max: u32,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Scanner { text: text.as_bytes(), at: 0, line_break: false, escaped: false, depth_max: DEPTH_MAX }
    }

    /// For text that will stand one level deep in an envelope.
    pub(crate) fn one_level_deep(text: &'a str) -> Self {
        Scanner { depth_max: DEPTH_MAX - 1, ..Scanner::new(text) }
    }

    /// Reads `{`. Answers false if the object is empty and already read.
    pub(crate) fn open(&mut self) -> Result<bool> {
        self.space();
        self.expect(b'{', "an object")?;
        self.depth_max = DEPTH_MAX - 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// Reads a key and its colon, up to the value.
    pub(crate) fn key(&mut self) -> Result<Range<usize>> {
        self.space();
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.fault("a member's name in quotes"));
        }
        self.escaped = false;
        self.string()?;
        let key = start..self.at;
        self.space();
        self.expect(b':', "`:`")?;
        Ok(key)
    }

    /// Reads the value after a key.
    pub(crate) fn member(&mut self, key: Range<usize>) -> Result<Member> {
        self.space();
        (self.line_break, self.escaped) = (false, false);
        let start = self.at;
        self.value()?;
        Ok(Member { key, value: start..self.at, broken: self.line_break, escaped: self.escaped })
    }

    /// After a value: whether another member follows.
    pub(crate) fn more(&mut self) -> Result<bool> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(b'}') => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.fault("`,` or `}`")),
        }
    }

    /// Nothing but space may be left.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.fault("nothing after the value")) }
    }

    /// Reads one value of any kind. Answers whether line breaks stood between its tokens.
    pub(crate) fn whole(text: &'a str) -> Result<bool> {
        let mut scanner = Scanner::new(text);
        scanner.space();
        scanner.value()?;
        scanner.end()?;
        Ok(scanner.line_break)
    }

    /// The same for a value that will stand one level deep in an envelope.
    pub(crate) fn nested(text: &'a str) -> Result<bool> {
        let mut scanner = Scanner::one_level_deep(text);
        scanner.space();
        scanner.line_break = false;
        scanner.value()?;
        let broken = scanner.line_break;
        scanner.end()?;
        Ok(broken)
    }

    /// Reads an object whose members are all among `names`, none twice, without line breaks; answers where their values
    /// stand, an empty place for one that is absent. If it is anything else, nothing is read.
    pub(crate) fn plain<const N: usize>(&mut self, names: [&str; N]) -> Option<[Range<usize>; N]> {
        let (at, line_break, depth_max) = (self.at, self.line_break, self.depth_max);
        self.line_break = false;
        self.depth_max -= 1;
        let found = self.plain_members(names);
        (self.line_break, self.depth_max) = (line_break, depth_max);
        if found.is_none() {
            self.at = at;
        }
        found
    }

    fn plain_members<const N: usize>(&mut self, names: [&str; N]) -> Option<[Range<usize>; N]> {
        let mut places = [const { 0..0 }; N];
        self.expect(b'{', "").ok()?;
        let mut more = true;
        while more {
            let key = self.key().ok()?;
            let name = &self.text[key.start + 1..key.end - 1];
            let place = &mut places[names.iter().position(|known| known.as_bytes() == name)?];
            self.space();
            let start = self.at;
            self.value().ok()?;
            if place.end > 0 {
                return None;
            }
            *place = start..self.at;
            more = self.more().ok()?;
        }
        (!self.line_break).then_some(places)
    }

    /// Whether there is an escape in the key that was read last.
    pub(crate) fn key_is_escaped(&self) -> bool {
        self.escaped
    }

    /// How far it has read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn fault(&self, expected: &'static str) -> Fault {
        Fault { at: self.at, expected }
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<()> {
        if self.peek() != Some(byte) {
            return Err(self.fault(expected));
        }
        self.at += 1;
        Ok(())
    }

    fn space(&mut self) {
        while let Some(b @ (b' ' | b'\t' | b'\n' | b'\r')) = self.peek() {
            self.line_break |= matches!(b, b'\n' | b'\r');
            self.at += 1;
        }
    }

    /// One value, however deep. The stack is one bit per level: set for an object, clear for an array.
    fn value(&mut self) -> Result<()> {
        let mut stack: u128 = 0;
        let mut depth: u32 = 0;
        loop {
            self.space();
            let opened = match self.peek() {
                Some(b'{') => Some(1),
                Some(b'[') => Some(0),
                _ => None,
            };
            match opened {
                Some(object) => {
                    if depth == self.depth_max {
                        return Err(self.fault("at most 100 levels of nesting"));
                    }
                    self.at += 1;
                    depth += 1;
                    stack = (stack << 1) | object;
                    if self.begins_filled(object == 1)? {
                        continue;
                    }
                    depth -= 1;
                    stack >>= 1;
                }
                None => self.scalar()?,
            }
            if !self.closes(&mut stack, &mut depth)? {
                return Ok(());
            }
        }
    }

    /// After an opening bracket: true if a value follows (its key is read), false if it was closed at once.
    fn begins_filled(&mut self, object: bool) -> Result<bool> {
        self.space();
        let close = if object { b'}' } else { b']' };
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        if object {
            self.key()?;
        }
        Ok(true)
    }

    /// After a value: closes what ends here. True if another value follows, false if the outermost one is read.
    fn closes(&mut self, stack: &mut u128, depth: &mut u32) -> Result<bool> {
        while *depth > 0 {
            self.space();
            let object = *stack & 1 == 1;
            match (self.peek(), object) {
                (Some(b','), _) => {
                    self.at += 1;
                    if object {
                        self.key()?;
                    }
                    return Ok(true);
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.at += 1;
                    *depth -= 1;
                    *stack >>= 1;
                }
                (_, true) => return Err(self.fault("`,` or `}`")),
                (_, false) => return Err(self.fault("`,` or `]`")),
            }
        }
        Ok(false)
    }

    fn scalar(&mut self) -> Result<()> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => Err(self.fault("a value")),
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<()> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.fault("`true`, `false` or `null`"))
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.fault("a digit")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// A string, from its opening quote to behind its closing one.
    fn string(&mut self) -> Result<()> {
        self.at += 1;
        loop {
            self.at += plain_prefix(&self.text[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.fault("an escaped control character")),
                None => return Err(self.fault("a closing `\"`")),
            }
        }
    }

    fn escape(&mut self) -> Result<()> {
        self.escaped = true;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => self.unicode()?,
            _ => return Err(self.fault("an escape that JSON knows")),
        }
        Ok(())
    }

    fn unicode(&mut self) -> Result<()> {
        let first = self.hex4()?;
        if (0xDC00..0xE000).contains(&first) {
            return Err(self.fault("a high surrogate before this low one"));
        }
        if !(0xD800..0xDC00).contains(&first) {
            return Ok(());
        }
        if !self.text[self.at..].starts_with(b"\\u") {
            return Err(self.fault("a low surrogate after the high one"));
        }
        self.at += 1;
        let second = self.hex4()?;
        if (0xDC00..0xE000).contains(&second) { Ok(()) } else { Err(self.fault("a low surrogate")) }
    }

    /// Reads `uXXXX`.
    fn hex4(&mut self) -> Result<u32> {
        let mut value = 0;
        for i in 1..=4 {
            let digit = self.text.get(self.at + i).and_then(|b| char::from(*b).to_digit(16));
            value = value * 16 + digit.ok_or_else(|| self.fault("four hex digits after `\\u`"))?;
        }
        self.at += 5;
        Ok(value)
    }
}

/// How many bytes from the front stand for themselves in a JSON string: neither `"`, `\` nor a control character.
#[inline]
pub(crate) fn plain_prefix(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(block) = text[at..].first_chunk() {
        match special_bytes(block) {
            0 => at += block.len(),
            hits => return at + hits.trailing_zeros() as usize,
        }
    }
    let rest = &text[at..];
    let mut block = [b' '; 16];
    block[..rest.len()].copy_from_slice(rest);
    at + (special_bytes(&block).trailing_zeros() as usize).min(rest.len())
}

/// A bit for each byte that does not stand for itself.
#[inline]
fn special_bytes(block: &[u8; 16]) -> u32 {
    let block = u8x16::new(*block);
    // With this bit turned, a quotation mark stands right behind the control characters.
    let turned = block ^ u8x16::splat(b'"' ^ 0x20);
    let special = turned.min(u8x16::splat(0x20)).simd_eq(turned) | block.simd_eq(u8x16::splat(b'\\'));
    special.to_bitmask()
}

/// Copies one valid JSON value without the space between its tokens.
pub(crate) fn compact(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut inside = false;
    let mut escaped = false;
    for &b in text {
        if inside {
            inside = escaped || b != b'"';
            escaped = !escaped && b == b'\\';
        } else if matches!(b, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            inside = b == b'"';
        }
        out.push(b);
    }
    out
}

#[cfg(test)]
#[path = "scan/tests.rs"]
mod tests;
