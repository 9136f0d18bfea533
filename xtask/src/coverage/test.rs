//! The tests that go through a real socket, found in the text of the test folders, each with the texts it has in quotes.
//!
//! Invariant: a function of a script is one of them only where a test runs the script.

use super::literal::{Language, Literal, literals};
use crate::tidy::tree::{File, Tree};

/// Where tests speak to a server through a socket.
const FOLDERS: [&str; 5] = [
    "crates/arqon/tests/",
    "crates/arqon-client/tests/",
    "crates/arqon-server/tests/",
    "crates/arqon-testkit/tests/",
    "crates/arqon-ws/tests/",
];

/// A test, or a function of a script that a test runs.
pub struct Test {
    /// `arqon::it::e2e::kills::NAME`, or `FOLDER/SCRIPT.py::NAME`.
    pub path: String,
    /// Its own lines.
    pub code: String,
    /// What it has in quotes.
    pub literals: Vec<Literal>,
    /// What its file has in quotes and braces, such as `arqonbus_{`: names are put together with it.
    pub prefixes: Vec<&'static str>,
}

/// What names of metrics are put together with.
const PREFIXES: [&str; 2] = ["arqonbus_", "arqon_"];

/// All of them.
pub fn tests(tree: &Tree) -> Vec<Test> {
    let rust: Vec<&File> =
        tree.rust().filter(|file| FOLDERS.iter().any(|folder| file.path.starts_with(folder))).collect();
    let scripts = tree.files.iter().filter(|file| {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        name.ends_with(".py") && rust.iter().any(|test| test.text.contains(&format!("\"{name}\"")))
    });
    let scripts = scripts.flat_map(|file| in_file(file, Language::Python));
    rust.iter().flat_map(|file| in_file(file, Language::Rust)).chain(scripts).collect()
}

fn in_file(file: &File, language: Language) -> Vec<Test> {
    let prefixes: Vec<&'static str> =
        PREFIXES.into_iter().filter(|prefix| file.text.contains(&format!("{prefix}{{"))).collect();
    let functions = match language {
        Language::Rust => rust_tests(&file.text),
        Language::Python => python_functions(&file.text),
    };
    let module = if language == Language::Rust { module(&file.path) } else { file.path.clone() };
    let make = |(name, code): (&str, String)| Test {
        path: format!("{module}::{name}"),
        literals: literals(&code, language),
        code,
        prefixes: prefixes.clone(),
    };
    functions.into_iter().map(make).collect()
}

/// `crates/arqon-ws/tests/it/frames.rs` → `arqon_ws::it::frames`.
fn module(path: &str) -> String {
    let inside = path.trim_start_matches("crates/").trim_end_matches(".rs");
    let (krate, rest) = inside.split_once("/tests/").unwrap_or((inside, ""));
    let rest = rest.trim_end_matches("/main").replace('/', "::");
    format!("{}::{rest}", krate.replace('-', "_"))
}

/// Functions under an attribute that makes them tests. Relies on rustfmt: one ends at the `}` of its own indentation.
fn rust_tests(text: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    let mut is_test = false;
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        if trimmed.starts_with("#[test]") || trimmed.starts_with("#[tokio::test") {
            is_test = true;
        }
        if !is_test || trimmed.starts_with("#[") || trimmed.starts_with("//") {
            continue;
        }
        is_test = false;
        let Some(name) = trimmed.split_once("fn ").and_then(|(_, rest)| rest.split('(').next()) else {
            continue;
        };
        let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        found.push((name, until(&mut lines, |line| line == end)));
    }
    found
}

/// The functions of a script that stand by themselves; one ends at the next line that is not indented.
fn python_functions(text: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("def ").and_then(|rest| rest.split('(').next()) else { continue };
        let body = until(&mut lines, |line| !line.is_empty() && !line.starts_with([' ', ')', '#']));
        found.push((name, body));
    }
    found
}

/// Takes lines up to the one that ends them, which stays.
fn until<'a>(
    lines: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
    is_end: impl Fn(&str) -> bool,
) -> String {
    let mut body = String::new();
    while let Some(line) = lines.next_if(|line| !is_end(line)) {
        body.push_str(line);
        body.push('\n');
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_with_their_own_lines() {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let rust = "fn helper() {\n    \"a\";\n}\n\n#[test]\nfn one() {\n    run(\"used.py\");\n}\n\n/// Doc.\n#[tokio::test]\nasync fn two() {\n    format!(\"arqon_{x}\");\n}\n";
        let script = "X = 1\ndef part(\n    a,\n):\n    f('b')\n\n    g('c')\ndef other():\n    pass\n";
        let files = vec![
            file("crates/arqon-core/tests/it/x.rs", rust),
            file("crates/arqon-ws/tests/it/x.rs", rust),
            file("crates/arqon/tests/it/e2e/used.py", script),
            file("crates/arqon/tests/it/e2e/unused.py", script),
        ];
        let tests = super::tests(&Tree { files });
        let shown: Vec<(&str, usize)> = tests.iter().map(|t| (t.path.as_str(), t.literals.len())).collect();
        let script = "crates/arqon/tests/it/e2e/used.py";
        assert_eq!(
            shown,
            [
                ("arqon_ws::it::x::one", 1),
                ("arqon_ws::it::x::two", 1),
                (&*format!("{script}::part"), 2),
                (&*format!("{script}::other"), 0)
            ]
        );
        assert_eq!(tests[0].prefixes, ["arqon_"]);
    }
}
