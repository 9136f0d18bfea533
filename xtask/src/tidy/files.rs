//! Sizes, openings, names and white space.

use super::Complaint;
use super::source::split;
use super::tree::{File, Tree};

/// The hard limit of production lines in a file.
const MOST_LINES: usize = 600;
/// Inline tests beyond this go in a file of their own.
const MOST_INLINE_TEST_LINES: usize = 80;
/// ARCHITECTURE.md stays readable in one sitting.
const MOST_ARCHITECTURE_LINES: usize = 300;
/// File names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "manager", "misc"];

/// Checks every file by itself.
pub fn check(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in &tree.files {
        if file.is_rust() {
            rust(file, &mut complaints);
        }
        if !file.is_generated() {
            space(file, &mut complaints);
        }
        if file.path == "ARCHITECTURE.md" && file.text.lines().count() > MOST_ARCHITECTURE_LINES {
            complaints.push(Complaint::new(
                "size",
                &file.path,
                format!("over {MOST_ARCHITECTURE_LINES} lines"),
            ));
        }
    }
    complaints
}

fn rust(file: &File, complaints: &mut Vec<Complaint>) {
    let mut complain = |rule, text: String| complaints.push(Complaint::new(rule, &file.path, text));
    let split = split(&file.text);
    let lines = split.production.len();
    if lines > MOST_LINES && !file.is_test() {
        complain("size", format!("{lines} lines of production code; the limit is {MOST_LINES}"));
    }
    if split.tests > MOST_INLINE_TEST_LINES {
        let text =
            format!("{} lines of inline tests; past {MOST_INLINE_TEST_LINES} they go in a file", split.tests);
        complain("tests-apart", text);
    }
    if !file.text.starts_with("//!") {
        complain("opening", "must open with `//!`: what it is and the invariant it keeps".to_owned());
    }
    let name = file.path.rsplit('/').next().unwrap_or(&file.path).trim_end_matches(".rs");
    if name == "mod" {
        complain("name", "`foo.rs` beside `foo/`, never `mod.rs`".to_owned());
    }
    if EMPTY_NAMES.contains(&name) {
        complain("name", format!("`{name}` says nothing about what is inside"));
    }
}

fn space(file: &File, complaints: &mut Vec<Complaint>) {
    let found = file.text.lines().position(|line| line.ends_with([' ', '\t', '\r']));
    if let Some(line) = found {
        complaints.push(Complaint::new(
            "space",
            &file.path,
            format!("line {}: trailing white space", line + 1),
        ));
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        complaints.push(Complaint::new("space", &file.path, "the last line has no end"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules_of(path: &str, text: &str) -> Vec<&'static str> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        check(&Tree { files: vec![file] }).iter().map(|c| c.rule).collect()
    }

    #[test]
    fn each_rule_bites() {
        let long = format!("//! x\n{}", "fn a() {}\n".repeat(600));
        let tests = format!("//! x\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    // x\n".repeat(90));
        assert_eq!(rules_of("crates/a/src/b.rs", "//! fine\nfn a() {}\n"), Vec::<&str>::new());
        assert_eq!(rules_of("crates/a/src/b.rs", &long), ["size"]);
        assert_eq!(rules_of("crates/a/tests/it/b.rs", &long), Vec::<&str>::new());
        assert_eq!(rules_of("crates/a/src/b.rs", &tests), ["tests-apart"]);
        assert_eq!(rules_of("crates/a/src/b.rs", "fn a() {}\n"), ["opening"]);
        assert_eq!(rules_of("crates/a/src/mod.rs", "//! x\n"), ["name"]);
        assert_eq!(rules_of("crates/a/src/utils.rs", "//! x\n"), ["name"]);
        assert_eq!(rules_of("README.md", "a \n"), ["space"]);
        assert_eq!(rules_of("README.md", "a"), ["space"]);
        assert_eq!(rules_of("ARCHITECTURE.md", &"a\n".repeat(301)), ["size"]);
    }
}
