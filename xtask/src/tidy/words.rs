//! Words that must not be in the sources: work put off, tests switched off, printing where nobody asked for it.

use super::Complaint;
use super::source::split;
use super::tree::{File, Tree};

/// A word and why not. Written in two halves, so that this file does not accuse itself.
struct Word {
    halves: (&'static str, &'static str),
    reason: &'static str,
    allowed: Allowed,
}

/// Where a word may stand all the same.
enum Allowed {
    Nowhere,
    /// In programs, tests and examples; build scripts must.
    WhereStreamsAreSpoken,
}

const WORDS: &[Word] = &[
    Word { halves: ("todo", "!("), reason: "finish it or leave it out", allowed: Allowed::Nowhere },
    Word { halves: ("unimplemented", "!("), reason: "finish it or leave it out", allowed: Allowed::Nowhere },
    Word { halves: ("dbg", "!("), reason: "left over from looking for something", allowed: Allowed::Nowhere },
    Word {
        halves: ("#[", "ignore"),
        reason: "a test that does not run proves nothing",
        allowed: Allowed::Nowhere,
    },
    Word { halves: ("#[should", "_panic"), reason: "assert on the error instead", allowed: Allowed::Nowhere },
    Word {
        halves: ("println", "!("),
        reason: "libraries log with tracing",
        allowed: Allowed::WhereStreamsAreSpoken,
    },
    Word {
        halves: ("print", "!("),
        reason: "libraries log with tracing",
        allowed: Allowed::WhereStreamsAreSpoken,
    },
];

fn speaks(file: &File) -> bool {
    let programs =
        ["xtask/", "crates/arqon/", "crates/arqon-bench/", "crates/arqon-sim/", "crates/arqon-testkit/"];
    file.is_test() || file.path.ends_with("/build.rs") || programs.iter().any(|p| file.path.starts_with(p))
}

/// Checks every Rust file.
pub fn check(tree: &Tree) -> Vec<Complaint> {
    tree.rust().flat_map(|file| WORDS.iter().filter_map(move |word| find(file, word))).collect()
}

fn find(file: &File, word: &Word) -> Option<Complaint> {
    let text = format!("{}{}", word.halves.0, word.halves.1);
    let found = match word.allowed {
        Allowed::Nowhere => file.text.lines().position(|line| has_word(line, &text)).map(|i| i + 1),
        Allowed::WhereStreamsAreSpoken if speaks(file) => None,
        Allowed::WhereStreamsAreSpoken => {
            let production = split(&file.text).production;
            production.iter().find(|(_, line)| has_word(line, &text)).map(|(number, _)| *number)
        }
    };
    let number = found?;
    Some(Complaint::new("word", &file.path, format!("line {number}: `{text}`: {}", word.reason)))
}

/// Whether a line has the word in code; `eprintln` does not count as `println`, nor does a comment.
fn has_word(line: &str, word: &str) -> bool {
    let code = line.split("//").next().unwrap_or(line);
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        word.starts_with('#') || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, line: &str) -> usize {
        let file = File { path: path.to_owned(), text: format!("//! x\n{line}\n") };
        check(&Tree { files: vec![file] }).len()
    }

    #[test]
    fn words_are_found_in_code_only() {
        let (put_off, said) = (format!("    {}{}", "todo", "!()"), format!("{}{}", "println", "!(\"x\")"));
        assert_eq!(found("crates/a/src/b.rs", &put_off), 1);
        assert_eq!(found("crates/a/tests/it/b.rs", &put_off), 1);
        assert_eq!(found("crates/a/src/b.rs", &format!("// {put_off}")), 0);
        assert_eq!(found("crates/a/src/b.rs", &said), 1);
        assert_eq!(found("crates/a/tests/it/b.rs", &said), 0);
        assert_eq!(found("crates/arqon/src/b.rs", &said), 0);
        assert_eq!(found("crates/a/src/b.rs", &format!("#[{}]", "ignore")), 1);
    }
}
