//! One envelope split into its members, each still raw text: the step between bytes and meaning.
//!
//! Invariant: a member is given at most once, `null` counts as absent, and every complaint names the member.

use crate::field::{COUNT, Field};
use crate::question::{PlainQuestion, REQUEST};
use crate::scan::{Fault, Scanner, compact};
use arqon_core::{Code, Error, Result};
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::Range;

/// The members of one envelope, as places in its text.
pub(crate) struct Members<'a> {
    text: &'a str,
    spans: [(u32, u32); COUNT],
    seen: u32,
    broken: u32,
    /// Those with an escape in them, whose text is not the raw one.
    escaped: u32,
    /// Unknown members, raw: `"name":value` joined by commas.
    pub(crate) unknown: Vec<u8>,
    /// The arguments of a question, where they stand behind its command and are plain.
    pub(crate) question: Option<PlainQuestion>,
}

impl<'a> Members<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Members {
            text,
            spans: [(0, 0); COUNT],
            seen: 0,
            broken: 0,
            escaped: 0,
            unknown: Vec::new(),
            question: None,
        }
    }

    /// Splits the text. After an error, what was read so far can still be asked for.
    pub(crate) fn fill(&mut self) -> Result<()> {
        if u32::try_from(self.text.len()).is_err() {
            return Err(Error::new(Code::TooLarge, "an envelope of 4 GiB or more").with_field("envelope"));
        }
        let mut scanner = Scanner::new(self.text);
        let mut more = scanner.open().map_err(not_json)?;
        while more {
            let key = scanner.key().map_err(not_json)?;
            let name = match scanner.key_is_escaped() {
                true => name_of(&self.text[key.clone()]),
                false => Cow::Borrowed(&self.text[key.start + 1..key.end - 1]),
            };
            let field = Field::find(&name);
            if field == Some(Field::Args) && self.plain_question(&mut scanner)? {
                more = scanner.more().map_err(not_json)?;
                continue;
            }
            let member = scanner.member(key.clone()).map_err(|fault| in_member(&name, fault))?;
            match field {
                Some(field) => self.set(field, member.value, (member.broken, member.escaped))?,
                None => self.pass_on(&self.text[key], &self.text[member.value], member.broken),
            }
            more = scanner.more().map_err(not_json)?;
        }
        scanner.end().map_err(not_json)
    }

    /// Reads the arguments of a question, if they are plain; else nothing is read.
    fn plain_question(&mut self, scanner: &mut Scanner<'_>) -> Result<bool> {
        if self.raw(Field::Command) != Some(REQUEST) {
            return Ok(false);
        }
        let start = scanner.at();
        self.question = PlainQuestion::scan(scanner);
        if self.question.is_some() {
            self.set(Field::Args, start..scanner.at(), (false, false))?;
        }
        Ok(self.question.is_some())
    }

    fn set(&mut self, field: Field, span: Range<usize>, (broken, escaped): (bool, bool)) -> Result<()> {
        let bit = 1u32 << field as u32;
        if self.seen & bit != 0 {
            return Err(Error::invalid(field.name(), "given twice"));
        }
        self.seen |= bit;
        self.broken |= if broken { bit } else { 0 };
        self.escaped |= if escaped { bit } else { 0 };
        if &self.text[span.clone()] != "null" {
            self.spans[field as usize] = (span.start as u32, span.end as u32);
        }
        Ok(())
    }

    fn pass_on(&mut self, key: &str, value: &str, broken: bool) {
        if !self.unknown.is_empty() {
            self.unknown.push(b',');
        }
        self.unknown.extend_from_slice(key.as_bytes());
        self.unknown.push(b':');
        if broken {
            self.unknown.extend_from_slice(&compact(value.as_bytes()));
        } else {
            self.unknown.extend_from_slice(value.as_bytes());
        }
    }

    /// The whole text.
    pub(crate) fn whole(&self) -> &'a str {
        self.text
    }

    /// Whether any member of the table was given.
    pub(crate) fn has_known(&self) -> bool {
        self.seen != 0
    }

    /// Whether any of these was given, or any member that is not in the table.
    pub(crate) fn has_any(&self, fields: &[Field]) -> bool {
        let asked = fields.iter().fold(0, |bits, field| bits | 1u32 << *field as u32);
        self.seen & asked != 0 || !self.unknown.is_empty()
    }

    /// The raw value of a member that is there.
    pub(crate) fn raw(&self, field: Field) -> Option<&'a str> {
        let (start, end) = self.spans[field as usize];
        (end > 0).then(|| &self.text[start as usize..end as usize])
    }

    /// A member that must be a string if it is there.
    pub(crate) fn text(&self, field: Field) -> Result<Option<Cow<'a, str>>> {
        let Some(raw) = self.raw(field) else { return Ok(None) };
        if self.escaped & (1 << field as u32) == 0 {
            let inner = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            return inner.map(|text| Some(Cow::Borrowed(text))).ok_or_else(|| wrong(field, "a string", raw));
        }
        unquote(raw).map(Some).ok_or_else(|| wrong(field, "a string", raw))
    }

    /// A member that must be a whole number, 0 or more, if it is there.
    pub(crate) fn number(&self, field: Field) -> Result<Option<u64>> {
        let Some(raw) = self.raw(field) else { return Ok(None) };
        raw.parse().map(Some).map_err(|_| wrong(field, "a whole number, 0 or more", raw))
    }

    /// A member that must be an object if it is there: its raw bytes, without line breaks. They are shared with
    /// `frame` (whose text this must be) where nothing had to be taken out.
    pub(crate) fn object(&self, field: Field, frame: &Bytes) -> Result<Option<Bytes>> {
        let shared = |object| match object {
            Object::At(range) => frame.slice(range),
            Object::Compacted(bytes) => bytes,
        };
        Ok(self.object_at(field)?.map(shared))
    }

    /// The same, saying where in the text it stands.
    pub(crate) fn object_at(&self, field: Field) -> Result<Option<Object>> {
        let Some(raw) = self.raw(field) else { return Ok(None) };
        if !raw.starts_with('{') {
            return Err(wrong(field, "an object", raw));
        }
        if self.broken & (1 << field as u32) != 0 {
            return Ok(Some(Object::Compacted(compact(raw.as_bytes()).into())));
        }
        let (start, end) = self.spans[field as usize];
        Ok(Some(Object::At(start as usize..end as usize)))
    }
}

/// An object without line breaks.
pub(crate) enum Object {
    /// It stands so in the text.
    At(Range<usize>),
    /// They had to be taken out.
    Compacted(Bytes),
}

/// The text of a JSON string; `None` if it is not one.
pub(crate) fn unquote(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(raw).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

fn name_of(key: &str) -> Cow<'_, str> {
    unquote(key).unwrap_or(Cow::Borrowed(key))
}

fn not_json(fault: Fault) -> Error {
    Error::invalid("envelope", format!("not JSON at byte {}: expected {}", fault.at, fault.expected))
}

fn in_member(name: &str, fault: Fault) -> Error {
    let shown: String = name.chars().take(64).collect();
    Error::invalid(shown, format!("not JSON at byte {}: expected {}", fault.at, fault.expected))
}

/// The error for a member of a wrong type.
pub(crate) fn wrong(field: Field, expected: &str, raw: &str) -> Error {
    Error::invalid(field.name(), format!("expected {expected}, found {}", kind(raw)))
}

/// The word for the type of a raw value.
pub(crate) fn kind(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') | None => "null",
        Some(_) => "a number",
    }
}
