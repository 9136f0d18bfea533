//! The texts in quotes of a piece of Rust or Python, each with what stands around it.
//!
//! Invariant: what stands in a comment is no text in quotes.

/// What the code is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// By rustfmt.
    Rust,
    /// By hand.
    Python,
}

/// One text in quotes.
#[derive(Debug, PartialEq, Eq)]
pub struct Literal {
    /// What is in the quotes, as it is written.
    pub text: String,
    /// The end of the code before it, white space as one space, none at its end.
    pub before: String,
    /// What comes next that is no white space.
    pub after: Option<char>,
    /// The function that it is an argument of, if it stands right in its brackets.
    pub callee: String,
}

/// So much of the code before a literal is kept.
const BEFORE: usize = 24;

/// All of them, in order.
pub fn literals(code: &str, language: Language) -> Vec<Literal> {
    let mut reader =
        Reader { rest: code, language, before: String::new(), open: Vec::new(), found: Vec::new() };
    while !reader.rest.is_empty() {
        reader.step();
    }
    reader.found
}

struct Reader<'a> {
    rest: &'a str,
    language: Language,
    before: String,
    /// For each open bracket the name that stands before it.
    open: Vec<String>,
    found: Vec<Literal>,
}

impl<'a> Reader<'a> {
    fn step(&mut self) {
        if self.comment() || self.character() {
            return;
        }
        if let Some((text, whole)) = quoted(self.rest, self.language) {
            let after = self.rest[whole..].trim_start().chars().next();
            let callee = self.open.last().cloned().unwrap_or_default();
            let code = self.before.trim_end();
            let kept = code.char_indices().rev().nth(BEFORE - 1).map_or(0, |(at, _)| at);
            let before = code[kept..].to_owned();
            self.found.push(Literal { text: text.to_owned(), before, after, callee });
            self.rest[..whole].chars().for_each(|c| self.keep(c));
            self.rest = &self.rest[whole..];
            return;
        }
        let Some(next) = self.take() else { return };
        match next {
            '(' => self.open.push(name_at_the_end(&self.before)),
            '[' | '{' => self.open.push(String::new()),
            ')' | ']' | '}' => drop(self.open.pop()),
            _ => {}
        }
        self.keep(next);
    }

    fn keep(&mut self, next: char) {
        if !next.is_whitespace() {
            self.before.push(next);
        } else if !self.before.ends_with(' ') {
            self.before.push(' ');
        }
    }

    fn take(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    fn comment(&mut self) -> bool {
        let mark = if self.language == Language::Rust { "//" } else { "#" };
        if !self.rest.starts_with(mark) {
            return false;
        }
        self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]);
        true
    }

    /// A character of Rust; a lifetime is none.
    fn character(&mut self) -> bool {
        let Some(rest) = self.rest.strip_prefix('\'').filter(|_| self.language == Language::Rust) else {
            return false;
        };
        let mut inside = rest.chars();
        let length = match inside.next() {
            Some('\\') => rest[2..].find('\'').map(|end| end + 2),
            Some(one) => rest[one.len_utf8()..].starts_with('\'').then_some(one.len_utf8()),
            None => None,
        };
        self.rest = length.map_or(rest, |length| &rest[length + 1..]);
        true
    }
}

/// What is in the quotes that begin here, and how long it is with them.
fn quoted(rest: &str, language: Language) -> Option<(&str, usize)> {
    if language == Language::Rust
        && let Some(hashes) =
            rest.strip_prefix('r').map(|rest| rest.len() - rest.trim_start_matches('#').len())
        && rest[1 + hashes..].starts_with('"')
    {
        let end = format!("\"{}", "#".repeat(hashes));
        let text = &rest[hashes + 2..];
        let length = text.find(&end)?;
        return Some((&text[..length], hashes + 2 + length + end.len()));
    }
    let quotes: &[&str] = if language == Language::Rust { &["\""] } else { &["\"\"\"", "'''", "\"", "'"] };
    let quote = quotes.iter().find(|quote| rest.starts_with(**quote))?;
    let text = &rest[quote.len()..];
    let mut at = 0;
    while !text[at..].starts_with(quote) {
        let mut next = text[at..].chars();
        let first = next.next()?;
        // What a backslash stands before ends nothing.
        let second = if first == '\\' { next.next() } else { None };
        at += first.len_utf8() + second.map_or(0, char::len_utf8);
    }
    Some((&text[..at], at + 2 * quote.len()))
}

fn name_at_the_end(code: &str) -> String {
    let begin = code.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let begin = begin.map_or(0, |at| at + code[at..].chars().next().map_or(1, char::len_utf8));
    code[begin..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(code: &str, language: Language) -> Vec<(String, String)> {
        literals(code, language).into_iter().map(|l| (l.callee, l.text)).collect()
    }

    fn pair(callee: &str, text: &str) -> (String, String) {
        (callee.to_owned(), text.to_owned())
    }

    #[test]
    fn texts_come_with_the_function_they_are_given_to() {
        let code = "a.call( \"s\", r#\"{\"x\":1}\"#); // \"no\"\nlet c = '\"'; f::<'a>(&[\"\\\"b\"])";
        assert_eq!(
            texts(code, Language::Rust),
            [pair("call", "s"), pair("call", "{\"x\":1}"), pair("", "\\\"b")]
        );
        let code = "def f(x):\n    \"\"\"A 'doc'.\"\"\"\n    a.data('ping', n=\"1\")  # 'no'\n";
        assert_eq!(
            texts(code, Language::Python),
            [pair("", "A 'doc'."), pair("data", "ping"), pair("data", "1")]
        );
    }

    #[test]
    fn what_stands_around_is_known() {
        let found = literals("x[\"key\"] == json!({ \"command\": \"ping\" })", Language::Rust);
        assert_eq!(found[0].after, Some(']'));
        assert_eq!(found[1].after, Some(':'));
        assert!(found[2].before.ends_with("\"command\":"), "{found:?}");
        // What never ends is no text, and ends the reading.
        assert_eq!(literals("f(\"never", Language::Rust), []);
    }
}
