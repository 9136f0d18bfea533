//! Reads one JSON text from its beginning to its end and notes what is found, where, and which bytes to redact.
//!
//! Invariant: what is redacted is a whole string's content, a part of one, or a whole value: the result is JSON, and every
//! byte outside of what was found is as it was.

use super::rules::{Candidates, Rule, Rules, What};
use super::secrets::{Check, Name, names_secret, value_is_secret};
use super::text::Plain;
use super::tokens::{Broken, DEPTH_MAX, Piece, Token, Tokens};
use super::verdict::{FINDINGS_MAX, Finding, Part};
use bytes::Bytes;
use std::ops::Range;

/// What stands where something was redacted.
pub(super) const MASK: &str = "***REDACTED***";

/// Most places of one message that are judged. More is no ordinary message: it counts as a secret and what follows is
/// redacted unread.
const PLACES_MAX: usize = 10_000;

/// How much of an assigned value is judged, in bytes.
const VALUE_JUDGED: usize = 512;

/// How much of a finding's path is said, in bytes.
const PATH_MAX: usize = 256;

/// What was found in the parts of one message.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) secret: bool,
    pub(super) anything: bool,
    pub(super) findings: Vec<Finding>,
    places: usize,
}

struct Edit {
    range: Range<usize>,
    /// Whether the mask needs quotes of its own.
    quoted: bool,
}

/// Where in the JSON the reader is.
struct Frame {
    object: bool,
    /// The last name read, in an object.
    name: Option<Range<usize>>,
    /// Whether that name holds a finding itself.
    masked: bool,
    /// The number of the next value, in an array.
    next: usize,
}

impl Frame {
    fn new(object: bool) -> Self {
        Frame { object, name: None, masked: false, next: 0 }
    }
}

/// What the name before a value says of it.
#[derive(Clone, Copy, Default)]
struct Label {
    redact: bool,
    secret: Option<Name>,
}

/// What is looked for in one text, and how far.
pub(super) struct Task<'a> {
    pub(super) rules: &'a Rules,
    pub(super) candidates: Candidates,
    pub(super) part: Part,
    pub(super) text: &'a str,
    pub(super) limit: usize,
    pub(super) depth: usize,
}

/// Reads a text; the answer is its redacted form, if something is to be redacted.
pub(super) fn look(task: &Task<'_>, found: &mut Found) -> Result<Option<Bytes>, Broken> {
    let label = Label::default();
    let mut walk =
        Walk { task, found, frames: Vec::new(), edits: Vec::new(), label, in_name: false, hidden: None };
    if task.part == Part::Unknown {
        // Members of the envelope come without its braces.
        walk.frames.push(Frame::new(true));
    }
    let mut tokens = Tokens::new(task.text);
    while let Some(piece) = tokens.next()? {
        if piece.range.start >= task.limit && walk.hidden.is_none() {
            break;
        }
        walk.take(&piece)?;
    }
    if walk.hidden.is_some() {
        return Err(Broken);
    }
    let edits = std::mem::take(&mut walk.edits);
    Ok((!edits.is_empty()).then(|| redacted(task.text, edits)))
}

struct Walk<'a, 'b> {
    task: &'a Task<'a>,
    found: &'b mut Found,
    frames: Vec<Frame>,
    edits: Vec<Edit>,
    label: Label,
    /// Whether what is read now is a name: a finding in it must not be shown by its path.
    in_name: bool,
    /// A value that is redacted as a whole: where it begins, and outside of how many brackets.
    hidden: Option<(usize, usize)>,
}

impl Walk<'_, '_> {
    fn take(&mut self, piece: &Piece) -> Result<(), Broken> {
        match piece.token {
            Token::Name => self.name(piece),
            Token::Open(object) => {
                let label = self.value();
                if self.frames.len() >= DEPTH_MAX {
                    return Err(Broken);
                }
                if label.redact && self.hidden.is_none() {
                    self.note("redaction_paths", false);
                    self.hidden = Some((piece.range.start, self.frames.len()));
                }
                self.frames.push(Frame::new(object));
            }
            Token::Close => {
                self.frames.pop();
                if let Some((start, depth)) = self.hidden
                    && self.frames.len() <= depth
                {
                    self.hidden = None;
                    self.edits.push(Edit { range: start..piece.range.end, quoted: true });
                }
            }
            Token::Text => {
                let label = self.value();
                self.labelled(label, piece, false);
            }
            Token::Other => {
                let label = self.value();
                self.labelled(label, piece, true);
            }
        }
        Ok(())
    }

    /// A member's name: it may hold a secret itself, and it says what its value is.
    fn name(&mut self, piece: &Piece) {
        if let Some(frame) = self.frames.last_mut() {
            frame.name = Some(piece.range.clone());
            frame.masked = false;
        }
        let raw = &self.task.text[piece.range.clone()];
        let plain = piece.escaped.then(|| Plain::read(raw));
        self.in_name = true;
        self.text(raw, plain.as_ref(), piece.range.start);
        self.in_name = false;
        let name = plain.as_ref().map_or(raw, |p| &p.text);
        let rules = self.task.rules;
        let compares = rules.compares_names(self.task.candidates);
        self.label = Label {
            redact: compares && self.frames.len() <= self.task.depth && rules.redacts_name(name),
            secret: if rules.judges_names { names_secret(name) } else { None },
        };
    }

    /// A value begins: counts it, and gives what the name before it says.
    fn value(&mut self) -> Label {
        if let Some(frame) = self.frames.last_mut().filter(|frame| !frame.object) {
            frame.next += 1;
        }
        std::mem::take(&mut self.label)
    }

    /// A value that is no bracket.
    fn labelled(&mut self, label: Label, piece: &Piece, quoted: bool) {
        let raw = &self.task.text[piece.range.clone()];
        let plain = piece.escaped.then(|| Plain::read(raw));
        let value = plain.as_ref().map_or(raw, |p| &p.text);
        // What says nothing, and what was redacted before, stays as it is.
        if value == MASK || value.is_empty() || (quoted && value == "null") {
            return;
        }
        let secret = label.secret.is_some_and(|name| value_is_secret(name, value));
        if secret {
            self.note("named-secret", true);
        }
        if label.redact {
            self.note("redaction_paths", false);
        }
        if secret || label.redact {
            self.edit(piece.range.clone(), quoted);
        }
        if !quoted {
            self.text(raw, plain.as_ref(), piece.range.start);
        }
    }

    /// The rules over one text.
    fn text(&mut self, raw: &str, plain: Option<&Plain>, start: usize) {
        let whole = plain.map_or(raw, |p| &p.text);
        // A text that goes on behind the limit is read up to it.
        let left = self.task.limit.saturating_sub(start);
        let text = if raw.len() > left { &whole[..whole.floor_char_boundary(left)] } else { whole };
        for (i, rule) in self.task.rules.list.iter().enumerate() {
            if !self.task.candidates.has(i) {
                continue;
            }
            for range in places(rule, text, &mut self.found.places) {
                self.note(&rule.name(), !matches!(rule.what, What::Redact(_)));
                let back = plain.map_or(range.clone(), |p| p.raw(&range));
                self.edit(start + back.start..start + back.end, false);
            }
        }
        if self.found.places > PLACES_MAX && !text.is_empty() {
            self.note("too-many-candidates", true);
            self.edit(start..start + raw.len(), false);
        }
    }

    fn edit(&mut self, range: Range<usize>, quoted: bool) {
        if self.hidden.is_none() {
            self.edits.push(Edit { range, quoted });
        }
    }

    fn note(&mut self, rule: &str, secret: bool) {
        if let Some(frame) = self.frames.last_mut().filter(|_| self.in_name) {
            frame.masked = true;
        }
        self.found.anything = true;
        self.found.secret |= secret;
        if self.found.findings.len() < FINDINGS_MAX {
            let path = self.path();
            let same = |f: &Finding| f.rule == rule && f.path == path;
            if !self.found.findings.iter().any(same) {
                self.found.findings.push(Finding { rule: rule.to_owned(), secret, path });
            }
        }
    }

    fn path(&self) -> String {
        let mut path = self.task.part.as_str().to_owned();
        for frame in &self.frames {
            match &frame.name {
                _ if path.len() > PATH_MAX => {
                    path.push('…');
                    break;
                }
                Some(_) if frame.masked => path.push_str(".***REDACTED***"),
                Some(name) => {
                    let shown = self.task.text[name.clone()].chars().filter(|c| !c.is_control()).take(64);
                    path.push('.');
                    path.extend(shown);
                }
                None if frame.object => {}
                None => path.push_str(&format!("[{}]", frame.next.saturating_sub(1))),
            }
        }
        path
    }
}

/// Where a rule finds something. What is not accepted is passed over as a whole, but for assignments: the value of one may
/// hold another.
fn places(rule: &Rule, text: &str, judged: &mut usize) -> Vec<Range<usize>> {
    let mut list = Vec::new();
    let mut at = 0;
    while *judged <= PLACES_MAX
        && let Some(found) = rule.regex.captures_at(text, at)
    {
        *judged += 1;
        let all = found.get(0).expect("the group 0 is the match").range();
        let What::Shape(shape) = rule.what else {
            at = all.end;
            list.push(all);
            continue;
        };
        let assigned = shape.check == Check::Assigned;
        let secret = match found.get(1) {
            // Judged by its beginning; its whole length is looked for only if it is one.
            _ if assigned => {
                let near = &text[all.end..text.floor_char_boundary(all.end + VALUE_JUDGED)];
                all.end..all.end + value_length(near)
            }
            Some(group) => group.range(),
            None => all.clone(),
        };
        let whole = &text[all.start..secret.end];
        if shape.accepts(&text[..secret.start], &text[secret.clone()], whole) {
            let end = if assigned { all.end + value_length(&text[all.end..]) } else { secret.end };
            at = end;
            list.push(secret.start..end);
        } else {
            at = all.end;
        }
    }
    list
}

/// How long an assigned value is: to the first sign that ends one in JSON, shells and code.
fn value_length(text: &str) -> usize {
    let ends = |b: &u8| {
        matches!(b, b'"' | b'\'' | b'`' | b',' | b';' | b'<' | b'>' | b'\\') || b.is_ascii_whitespace()
    };
    text.bytes().position(|b| ends(&b)).unwrap_or(text.len())
}

/// The text with a mask in place of each edit; edits that touch or overlap become one.
fn redacted(text: &str, mut edits: Vec<Edit>) -> Bytes {
    edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
    let mut merged: Vec<Edit> = Vec::with_capacity(edits.len());
    for edit in edits {
        match merged.last_mut() {
            Some(last) if edit.range.start <= last.range.end => {
                last.range.end = last.range.end.max(edit.range.end)
            }
            _ => merged.push(edit),
        }
    }
    let mut out = Vec::with_capacity(text.len() + merged.len() * MASK.len());
    let mut at = 0;
    for Edit { range, quoted } in merged {
        out.extend_from_slice(&text.as_bytes()[at..range.start]);
        let quote: &[u8] = if quoted { b"\"" } else { b"" };
        out.extend_from_slice(quote);
        out.extend_from_slice(MASK.as_bytes());
        out.extend_from_slice(quote);
        at = range.end;
    }
    out.extend_from_slice(&text.as_bytes()[at..]);
    out.into()
}
