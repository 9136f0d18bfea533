//! docs/coverage.md: every name that the product knows, each with the test that speaks it through a real socket.
//!
//! Invariant: the names come from the product's own tables, and a row without a test is a complaint, unless the list of
//! what cannot occur says why.

mod literal;
mod name;
mod older;
mod test;

use crate::tidy::tree::Tree;
use anyhow::{Context, Result};
use name::{Kind, Name};
use older::Fate;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use test::Test;

/// Where it stands.
pub const DOCUMENT: &str = "docs/coverage.md";
/// A test that speaks more names than this is a list of them.
const LIST: usize = 25;
/// What stands in the place of a test where there is none.
const NONE: &str = "**none**";

const HEAD: &str = "# Coverage

Every command, type of events, metric and code of errors, each with a test that speaks it through a real socket: it says
the name to a server, or hears it from one. Of several tests the one with the fewest other names is shown; a test that
speaks more than 25 is a mere list and counts for nothing. A path of a `.py` file is a function of a script that a test
runs. `cargo xtask codegen` makes this document from the product's own tables and the text of the tests, and
`cargo xtask tidy` fails if a row has no test.
";

/// The document. `names` is what the program prints that knows the tables; tests that `old` names stay if they still do,
/// where `keeps` says so: so that a check does not fail because somebody wrote a better one.
pub fn document(names: &str, tree: &Tree, old: &str, keeps: bool) -> Result<String> {
    let mut rows: Vec<Name> = serde_json::from_str(names).context("the names are no list")?;
    let own: BTreeSet<(Kind, String)> = rows.iter().map(|row| (row.kind, row.name.clone())).collect();
    let added = older::ALL.iter().filter(|known| !own.contains(&(known.kind, known.name.to_owned())));
    rows.extend(added.map(|known| Name {
        kind: known.kind,
        name: known.name.to_owned(),
        about: match known.fate {
            Fate::Said(when) => when.to_owned(),
            Fate::As(_, name) => format!("of the older bus's protocol: answered as `{name}`"),
            Fate::Never(_) => "of the older bus's protocol".to_owned(),
        },
    }));
    let tests = test::tests(tree);
    let spoken = Spoken::new(&rows, &tests);
    let kept = if keeps { shown_tests(old) } else { BTreeMap::new() };
    let mut out = HEAD.to_owned();
    for kind in Kind::ALL {
        write!(out, "\n## {}\n\n| name | about | test |\n|---|---|---|\n", kind.heading())?;
        for row in rows.iter().filter(|row| row.kind == kind) {
            let shown = verdict(row, &rows, &spoken, &kept);
            writeln!(out, "| `{}` | {} | {shown} |", row.name, row.about.replace('|', "\\|"))?;
        }
    }
    Ok(out)
}

/// What stands in the last column.
fn verdict(
    row: &Name,
    rows: &[Name],
    spoken: &Spoken<'_>,
    kept: &BTreeMap<(Kind, String), String>,
) -> String {
    let fate = older::ALL.iter().find(|known| known.kind == row.kind && known.name == row.name);
    let row = match fate.map(|known| &known.fate) {
        Some(Fate::Never(why)) => return format!("cannot occur: {why}"),
        Some(Fate::As(kind, name)) => match rows.iter().find(|row| row.kind == *kind && row.name == *name) {
            Some(row) => row,
            None => return NONE.to_owned(),
        },
        Some(Fate::Said(_)) | None => row,
    };
    let kept = kept.get(&(row.kind, row.name.clone()));
    let found = kept.filter(|path| spoken.all(row).any(|test| test.path == **path)).cloned();
    let found = found.or_else(|| spoken.best(row).map(|test| test.path.clone()));
    found.map_or_else(|| NONE.to_owned(), |path| format!("`{path}`"))
}

/// Which tests speak which names.
struct Spoken<'a> {
    tests: Vec<(&'a Test, usize)>,
}

impl<'a> Spoken<'a> {
    fn new(rows: &[Name], tests: &'a [Test]) -> Self {
        let count = |test: &Test| rows.iter().filter(|row| row.is_in(test)).count();
        let counted = tests.iter().map(|test| (test, count(test)));
        Spoken { tests: counted.filter(|(_, names)| *names <= LIST).collect() }
    }

    fn all(&self, row: &Name) -> impl Iterator<Item = &'a Test> {
        self.tests.iter().filter(|(test, _)| row.is_in(test)).map(|(test, _)| *test)
    }

    fn best(&self, row: &Name) -> Option<&'a Test> {
        let speak = self.tests.iter().filter(|(test, _)| row.is_in(test));
        speak.min_by_key(|(test, names)| (*names, &test.path)).map(|(test, _)| *test)
    }
}

/// One row of a document as it is: where it stands, its name, its test.
struct Shown<'a> {
    kind: Kind,
    name: &'a str,
    about: &'a str,
    test: &'a str,
}

fn shown(document: &str) -> Vec<Shown<'_>> {
    let mut found = Vec::new();
    let mut kind = None;
    for line in document.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            kind = Kind::ALL.into_iter().find(|kind| kind.heading() == heading);
        }
        let cells = line.strip_prefix("| `").and_then(|rest| rest.split_once("` | "));
        let cells =
            cells.and_then(|(name, rest)| Some((name, rest.trim_end_matches(" |").rsplit_once(" | ")?)));
        if let (Some(kind), Some((name, (about, test)))) = (kind, cells) {
            found.push(Shown { kind, name, about, test });
        }
    }
    found
}

fn shown_tests(document: &str) -> BTreeMap<(Kind, String), String> {
    let tests = shown(document).into_iter();
    tests.map(|row| ((row.kind, row.name.to_owned()), row.test.trim_matches('`').to_owned())).collect()
}

/// What is wrong with the document as it stands in the tree, a sentence for each row: it needs nothing compiled.
pub fn complaints(tree: &Tree) -> Vec<String> {
    let Some(document) = tree.find(DOCUMENT) else { return vec!["is missing".to_owned()] };
    let tests = test::tests(tree);
    let rows = shown(&document.text);
    if rows.is_empty() {
        return vec!["has no rows".to_owned()];
    }
    rows.iter().filter_map(|row| complaint(row, &tests)).collect()
}

fn complaint(row: &Shown<'_>, tests: &[Test]) -> Option<String> {
    let fate = older::ALL.iter().find(|known| known.kind == row.kind && known.name == row.name);
    let (kind, name) = match fate.map(|known| &known.fate) {
        Some(Fate::Never(_)) => return None,
        Some(Fate::As(kind, name)) => (*kind, *name),
        Some(Fate::Said(_)) | None => (row.kind, row.name),
    };
    let path = row.test.strip_prefix('`').and_then(|test| test.strip_suffix('`'));
    let Some(path) = path else { return Some(format!("`{}` has no test", row.name)) };
    let Some(test) = tests.iter().find(|test| test.path == path) else {
        return Some(format!("`{}`: `{path}` is no test that goes through a socket", row.name));
    };
    let name = Name { kind, name: name.to_owned(), about: row.about.to_owned() };
    (!name.is_in(test)).then(|| format!("`{}` is not spoken in `{path}`", row.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::File;

    const NAMES: &str = r#"[
        {"kind": "command", "name": "ping"},
        {"kind": "command", "name": "status"},
        {"kind": "code", "name": "NOT_FOUND", "about": "a | b"},
        {"kind": "close", "name": "4502"}
    ]"#;

    fn tree(tests: &str, document: &str) -> Tree {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let test = file("crates/arqon-ws/tests/it/x.rs", tests);
        Tree { files: vec![test, file(DOCUMENT, document)] }
    }

    fn test(name: &str, body: &str) -> String {
        format!("#[test]\nfn {name}() {{\n    {body}\n}}\n")
    }

    #[test]
    fn a_row_has_the_most_specific_test_and_one_without_is_seen() {
        let many: String = (0..30).map(|n| format!("\"NAME_{n}\", ")).collect();
        let names: Vec<String> =
            (0..30).map(|n| format!("{{\"kind\":\"code\",\"name\":\"NAME_{n}\"}}")).collect();
        let names = format!("{}, {}]", NAMES.trim_end_matches(']'), names.join(","));
        let tests = [
            test("a_wide", "call(\"ping\"); x == \"NOT_FOUND\";"),
            test("narrow", "call(\"ping\");"),
            test("a_list", &format!("call(\"status\"); [{many}];")),
        ]
        .concat();
        let made = document(&names, &tree(&tests, ""), "", false).unwrap();
        assert!(made.contains("| `ping` |  | `arqon_ws::it::x::narrow` |"), "{made}");
        assert!(made.contains("| `NOT_FOUND` | a \\| b | `arqon_ws::it::x::a_wide` |"), "{made}");
        assert!(made.contains("| `TARGET_NOT_FOUND` | of the older bus's protocol: answered as `NOT_FOUND` | `arqon_ws::it::x::a_wide` |"), "{made}");
        assert!(made.contains("| `status` |  | **none** |"), "a mere list counts for nothing: {made}");
        let complaints = complaints(&tree(&tests, &made));
        let about =
            |name: &str| complaints.iter().filter(|text| text.starts_with(&format!("`{name}`"))).count();
        assert_eq!((about("status"), about("4502"), about("NAME_7"), about("ROUTING_ERROR")), (1, 1, 1, 1));
        assert_eq!((about("ping"), about("NOT_FOUND"), about("INFRA_PROTOCOL_ERROR")), (0, 0, 0));
    }

    #[test]
    fn what_a_row_names_must_be_a_test_that_speaks_it() {
        let tests = [test("one", "call(\"ping\");"), test("two", "call(\"ping\"); other();")].concat();
        let of = |row: &str| complaints(&tree(&tests, &format!("## Commands\n\n{row}\n")));
        assert_eq!(of("| `ping` | x | `arqon_ws::it::x::two` |"), Vec::<String>::new());
        assert_eq!(of("| `ping` | x | `arqon_ws::it::x::gone` |").len(), 1);
        assert_eq!(of("| `status` | x | `arqon_ws::it::x::one` |").len(), 1);
        assert_eq!(of("| `ping` | cannot occur: I say so | cannot occur: I say so |").len(), 1);
        assert_eq!(of("").len(), 1, "a document without rows shows nothing");
        // A check keeps what is named as long as it holds.
        let old = "## Commands\n\n| `ping` | x | `arqon_ws::it::x::two` |\n";
        assert!(document(NAMES, &tree(&tests, old), old, true).unwrap().contains("`arqon_ws::it::x::two`"));
        assert!(!document(NAMES, &tree(&tests, old), old, false).unwrap().contains("`arqon_ws::it::x::two`"));
        let gone = old.replace("two", "gone");
        assert!(
            document(NAMES, &tree(&tests, &gone), &gone, true).unwrap().contains("`arqon_ws::it::x::one`")
        );
    }
}
