//! Every **Invariant:** of ARCHITECTURE.md names what enforces it, and every row of docs/limits.md the test that shows
//! the limit; and that exists.
//!
//! Named is, in backquotes, either a test by its full path (`arqon_core::bus::tests::name`; an integration test as
//! `arqon_core::it::file::name`; a law of the store contract as a function of `arqon_store_contract`), or a rule of
//! this checker as `tidy::RULE`, or a lint as `clippy::NAME` / `rustc::NAME` that the workspace denies.

use super::source::{has_function, has_test};
use super::tree::{File, Tree};
use super::{Complaint, RULES};

const DOCUMENT: &str = "ARCHITECTURE.md";
const LIMITS: &str = "docs/limits.md";

/// Checks every invariant of the document.
pub fn check(tree: &Tree) -> Vec<Complaint> {
    let Some(document) = tree.find(DOCUMENT) else {
        return vec![Complaint::new("invariant", DOCUMENT, "is missing")];
    };
    let mut complaints = Vec::new();
    for (number, text) in paragraphs(&document.text) {
        let names = names(&text);
        if names.is_empty() {
            let said = format!("line {number}: this invariant names no test: {}", text.trim());
            complaints.push(Complaint::new("invariant", DOCUMENT, said));
        }
        for name in names.iter().filter(|name| !exists(tree, name)) {
            let said = format!("line {number}: `{name}` is neither a test nor a rule that exists");
            complaints.push(Complaint::new("invariant", DOCUMENT, said));
        }
    }
    complaints
}

/// Checks the rows of the table of limits.
pub fn check_limits(tree: &Tree) -> Vec<Complaint> {
    let Some(document) = tree.find(LIMITS) else { return Vec::new() };
    let mut complaints = Vec::new();
    // The first two rows are the names of the columns and the rule below them.
    for row in document.text.lines().filter(|line| line.starts_with('|')).skip(2) {
        let names = names(row);
        let limit = row.trim_matches('|').split('|').next().unwrap_or_default().trim();
        if names.is_empty() {
            complaints.push(Complaint::new("invariant", LIMITS, format!("`{limit}` names no test")));
        }
        for name in names.iter().filter(|name| !exists(tree, name)) {
            let said = format!("`{limit}`: `{name}` is no test that exists");
            complaints.push(Complaint::new("invariant", LIMITS, said));
        }
    }
    complaints
}

/// Each invariant with the number of its first line; it ends at an empty line, a new item or the next bold mark.
fn paragraphs(document: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (i, line) in document.lines().enumerate() {
        if let Some(at) = line.find("**Invariant:**") {
            found.push((i + 1, line[at..].to_owned()));
            open = true;
        } else if line.trim().is_empty()
            || line.contains("**Boundary:**")
            || line.trim_start().starts_with("- ")
        {
            open = false;
        } else if let (true, Some(last)) = (open, found.last_mut()) {
            last.1.push(' ');
            last.1.push_str(line.trim());
        }
    }
    found
}

/// The paths in backquotes that name something which can be run.
fn names(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|word| word.contains("::") && !word.contains([' ', '(', '<'])).collect()
}

fn exists(tree: &Tree, name: &str) -> bool {
    let parts: Vec<&str> = name.split("::").collect();
    match parts.as_slice() {
        ["tidy", rule] => RULES.contains(rule),
        ["clippy" | "rustc", lint] => {
            let denied = format!("{lint} = \"deny\"");
            tree.find("Cargo.toml").is_some_and(|manifest| manifest.text.contains(&denied))
        }
        [krate, modules @ .., test] => tree.rust().filter(|file| holds(file, krate, modules)).any(|file| {
            match *krate == "arqon_store_contract" {
                true => has_function(&file.text, test),
                false => has_test(&file.text, test),
            }
        }),
        _ => false,
    }
}

/// Whether a test of these modules may stand in this file: the file's own module path begins it, and at most one
/// module more is inline.
fn holds(file: &File, krate: &str, modules: &[&str]) -> bool {
    let folder = krate.replace('_', "-");
    let inside = match file.path.strip_prefix("xtask/") {
        Some(rest) if folder == "xtask" => rest,
        _ => match file.path.strip_prefix(&format!("crates/{folder}/")) {
            Some(rest) => rest,
            None => return false,
        },
    };
    let path = inside.trim_end_matches(".rs");
    let own: Vec<&str> = match path.split_once('/') {
        Some(("src", "lib" | "main")) => Vec::new(),
        Some(("src", rest)) => rest.split('/').collect(),
        Some(("tests", rest)) => rest.split('/').filter(|part| *part != "main").collect(),
        _ => return false,
    };
    modules.starts_with(&own) && modules.len() - own.len() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(document: &str) -> Tree {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        Tree {
            files: vec![
                file(DOCUMENT, document),
                file("Cargo.toml", "unsafe_code = \"deny\"\n"),
                file("crates/arqon-core/src/bus.rs", "#[cfg(test)]\nmod tests {\n#[test]\nfn one() {}\n}\n"),
                file("crates/arqon/tests/it/e2e.rs", "#[tokio::test]\nasync fn two() {}\nfn three() {}\n"),
            ],
        }
    }

    fn count(document: &str) -> usize {
        check(&tree(document)).len()
    }

    #[test]
    fn rows_of_the_limits_name_tests_that_exist() {
        let mut tree = tree("");
        let rows = "| limit | test |\n|---|---|\n| a | `arqon::it::e2e::two` |\n| b | `arqon::it::e2e::four` |\n| c | |\n";
        tree.files.push(File { path: LIMITS.to_owned(), text: rows.to_owned() });
        assert_eq!(check_limits(&tree).len(), 2);
    }

    #[test]
    fn named_tests_must_exist() {
        assert_eq!(count("- **Invariant:** x: `arqon_core::bus::tests::one`, `arqon::it::e2e::two`.\n"), 0);
        assert_eq!(count("**Invariant:** x\n  (`tidy::size`, `rustc::unsafe_code`)\n"), 0);
        assert_eq!(count("**Invariant:** x `arqon_core::bus::tests::gone`\n"), 1);
        assert_eq!(count("**Invariant:** x `arqon_core::other::tests::one`\n"), 1);
        assert_eq!(count("**Invariant:** x `arqon::it::e2e::three`\n"), 1);
        assert_eq!(count("**Invariant:** x `tidy::nothing`\n"), 1);
        assert_eq!(count("**Invariant:** nothing named\n\n`arqon::it::e2e::two`\n"), 1);
    }
}
