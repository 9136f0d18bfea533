//! One name that the product knows, and whether a test speaks it.
//!
//! Invariant: a name that is read as a member of an answer (`answer["status"]`) is not spoken.

use super::literal::Literal;
use super::test::Test;
use serde::Deserialize;

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A command.
    Command,
    /// Another name of one.
    Alias,
    /// A type of events.
    Event,
    /// A metric.
    Metric,
    /// A code of errors.
    Code,
    /// A reason beside a code.
    Reason,
    /// A reason beside `INTERNAL_ERROR`.
    Fault,
    /// What content inspection says.
    Inspection,
    /// A code that a socket is closed with.
    Close,
}

impl Kind {
    /// All, in the order of the document.
    pub const ALL: [Kind; 9] = [
        Kind::Command,
        Kind::Alias,
        Kind::Event,
        Kind::Metric,
        Kind::Code,
        Kind::Reason,
        Kind::Fault,
        Kind::Inspection,
        Kind::Close,
    ];

    /// The heading of its table.
    pub const fn heading(self) -> &'static str {
        match self {
            Kind::Command => "Commands",
            Kind::Alias => "Other names of commands",
            Kind::Event => "Types of events",
            Kind::Metric => "Metrics",
            Kind::Code => "Codes of errors",
            Kind::Reason => "Reasons beside a code",
            Kind::Fault => "Reasons beside `INTERNAL_ERROR`",
            Kind::Inspection => "What content inspection says",
            Kind::Close => "Codes that a socket is closed with",
        }
    }
}

/// A row, as the program that knows the tables prints it.
#[derive(Debug, Clone, Deserialize)]
pub struct Name {
    /// What it names.
    pub kind: Kind,
    /// The name.
    pub name: String,
    /// A few words about it; of a command `METHOD PATH`, in backquotes, if HTTP has it.
    #[serde(default)]
    pub about: String,
}

impl Name {
    /// Whether the test says it to a server, or hears it from one.
    pub fn is_in(&self, test: &Test) -> bool {
        match self.kind {
            Kind::Command | Kind::Alias => {
                test.literals.iter().any(|literal| self.is_called(literal) || self.is_asked_for(literal))
            }
            Kind::Metric => test.literals.iter().any(|literal| self.is_read(literal, &test.prefixes)),
            Kind::Close => test.code.lines().any(|line| self.closes(line)),
            Kind::Event | Kind::Code | Kind::Reason | Kind::Fault | Kind::Inspection => {
                test.literals.iter().any(|literal| !is_key(literal) && has_word(&literal.text, &self.name))
            }
        }
    }

    fn is_called(&self, literal: &Literal) -> bool {
        if literal.text == self.name && !is_key(literal) {
            // A plain word could be anything.
            let is_plain = !self.name.contains(['.', '_']);
            let calls = ["call", "command", "data", "refused"].iter().any(|f| literal.callee.contains(f));
            let members = ["\"command\":", "'command':", "command=", "\"type\":", "type="];
            return !is_plain || calls || members.iter().any(|member| literal.before.ends_with(member));
        }
        // In a frame that is written out.
        let text: String = literal.text.chars().filter(|c| !c.is_whitespace() && *c != '\\').collect();
        ["command", "type"].iter().any(|member| text.contains(&format!("\"{member}\":\"{}\"", self.name)))
    }

    /// Over HTTP: the path, with anything in its places, and the method before it.
    fn is_asked_for(&self, literal: &Literal) -> bool {
        let Some((method, route)) = self.about.trim_matches('`').split_once(' ') else { return false };
        let path = literal.text.split('?').next().unwrap_or_default();
        let mut parts = path.split('/');
        let fits = route.split('/').all(|wanted| match parts.next() {
            Some(part) => part == wanted || (wanted.starts_with('{') && !part.is_empty()),
            None => false,
        });
        let says_method = literal.before.ends_with(&format!("\"{method}\","));
        let means_get = method == "GET" && literal.callee == "get";
        fits && parts.next().is_none() && (says_method || means_get)
    }

    fn is_read(&self, literal: &Literal, prefixes: &[&str]) -> bool {
        if has_word(&literal.text, &self.name) {
            return true;
        }
        let short = prefixes.iter().filter_map(|prefix| self.name.strip_prefix(prefix));
        let family = |short: &str| {
            let rest = literal.text.strip_prefix(short);
            rest.is_some_and(|rest| rest.is_empty() || is_series(rest))
        };
        short.into_iter().any(family)
    }

    /// A line that has the number, or the code as the program knows it, which stands first in what is said about it. The
    /// first numbers could be anything else, too.
    fn closes(&self, line: &str) -> bool {
        let own =
            self.about.split('`').nth(1).is_some_and(|code| has_word(line, &format!("CloseCode::{code}")));
        let is_common = matches!(self.name.as_str(), "1000" | "1001");
        let is_code = ["clos", "code"].iter().any(|word| line.to_ascii_lowercase().contains(word));
        own || (has_word(line, &self.name) && (is_code || !is_common))
    }
}

/// What a series of a metric ends with.
fn is_series(rest: &str) -> bool {
    ["{", "_sum", "_count", "_bucket", " "].iter().any(|end| rest.starts_with(end))
}

/// Whether it names a member: of an object that is written, or of an answer that is read.
fn is_key(literal: &Literal) -> bool {
    let is_value = |c: char| c.is_alphanumeric() || matches!(c, '_' | ']' | ')');
    let indexes = literal.before.strip_suffix('[').is_some_and(|before| before.ends_with(is_value));
    literal.after == Some(':') || (literal.after == Some(']') && indexes)
}

/// Whether the text has the name, and not as a part of a longer one.
fn has_word(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| {
        let rest = &text[at + name.len()..];
        let ends = !rest.starts_with(is_part) || is_series(rest);
        !text[..at].ends_with(is_part) && ends
    })
}

#[cfg(test)]
mod tests {
    use super::super::literal::{Language, literals};
    use super::*;

    fn is_in(kind: Kind, name: &str, code: &str) -> bool {
        let about = if name == "list_rooms" { "`GET /api/v1/rooms/{room}`" } else { "" };
        let name = Name { kind, name: name.to_owned(), about: about.to_owned() };
        let literals = literals(code, Language::Rust);
        name.is_in(&Test { path: String::new(), code: code.to_owned(), literals, prefixes: vec!["arqon_"] })
    }

    #[test]
    fn a_command_is_spoken_where_it_is_called() {
        let is_in = |name, code| is_in(Kind::Command, name, code);
        assert!(is_in("ping", "a.call(\"ping\", json!({}))"));
        assert!(is_in("ping", "a.call(\"id\", \"ping\", \"{}\")"));
        assert!(is_in("ping", "json!({ \"command\": \"ping\" })"));
        assert!(is_in("ping", "send(r#\"{\"type\":\"command\", \"command\": \"ping\"}\"#)"));
        assert!(is_in("list_rooms", "ask(\"GET\", \"/api/v1/rooms/x?limit=1\")"));
        assert!(!is_in("list_rooms", "ask(\"DELETE\", \"/api/v1/rooms/x\")"));
        assert!(!is_in("list_rooms", "ask(\"GET\", \"/api/v1/rooms\")"));
        assert!(!is_in("ping", "assert_eq!(answer[\"ping\"], \"ping\")"));
        assert!(!is_in("op.store.set", "answer[\"op.store.set\"]"));
        assert!(is_in("op.store.set", "for name in [\"op.store.set\"] {"));
    }

    #[test]
    fn a_metric_is_spoken_by_any_of_its_series() {
        let is_in = |code| is_in(Kind::Metric, "arqon_took_seconds", code);
        assert!(is_in("\"arqon_took_seconds{a=\\\"b\\\"} 1\"") && is_in("value(\"took_seconds_sum\")"));
        assert!(!is_in("\"arqon_took_seconds_more\"") && !is_in("value(\"took\")"));
    }

    #[test]
    fn other_names_are_spoken_as_whole_words() {
        assert!(is_in(Kind::Event, "room_created", "next(\"system:room_created\")"));
        assert!(is_in(Kind::Code, "CONFLICT", "assert_eq!(error[\"code\"], \"CONFLICT\")"));
        assert!(!is_in(Kind::Code, "CONFLICT", "assert_eq!(x, \"NO_CONFLICT\"); // CONFLICT"));
        assert!(is_in(Kind::Close, "4502", "assert_eq!(a.closed().await.0, 4502);"));
        assert!(!is_in(Kind::Close, "1000", "let n = 1000;\nclose();"));
    }
}
