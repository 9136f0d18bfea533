//! Documents that are made from code: the operations in docs/protocol.md, the keys in docs/configuration.md, the whole of
//! docs/coverage.md and of api/asyncapi.json.
//!
//! Invariant: the text between two markers of a document is exactly what the code says; `--check` proves it.

use crate::coverage;
use crate::steps::{cargo, root, target};
use crate::tidy::tree::Tree;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// Writes (or with `check`, compares) every generated part; the answer lists what is out of date.
pub fn run(check: bool) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (key, body) in parts()? {
        let (file, name) = key.split_once('#').unwrap_or((&key, "all of it"));
        let path = root().join(file);
        let (old, new) = if file == key {
            let old = fs::read_to_string(&path).unwrap_or_default();
            let new = if file == coverage::DOCUMENT {
                coverage::document(&body, &Tree::read(&root())?, &old, check)?
            } else {
                body
            };
            (old, new)
        } else {
            let old = fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
            let new = replace(&old, name, &body).with_context(|| file.to_owned())?;
            (old, new)
        };
        if old == new {
            continue;
        }
        if check {
            complaints.push(format!("{file}: `{name}` is out of date; run `cargo xtask codegen`"));
        } else {
            fs::write(&path, new)?;
            println!("wrote {file}");
        }
    }
    Ok(complaints)
}

/// Each part's text by `FILE#MARKER`, or `FILE` for a whole one, as the program that knows the tables prints it. It is built the way the tests
/// are, so that nothing is compiled twice.
fn parts() -> Result<BTreeMap<String, String>> {
    let build = ["build", "--quiet", "--workspace", "--example", "reference"];
    let status = cargo(&build).status().context("cannot run cargo")?;
    ensure!(status.success(), "the reference program does not compile: {status}");
    let mut command = Command::new(target().join("debug/examples/reference"));
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    serde_json::from_slice(&output.stdout).context("the reference program printed no JSON")
}

/// `old` with the text between the two markers of `name` replaced.
fn replace(old: &str, name: &str, body: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {name}:begin -->\n"), format!("<!-- {name}:end -->"));
    ensure!(old.matches(&begin).count() == 1, "needs the line `{}` once", begin.trim_end());
    let (head, rest) = old.split_once(&begin).context("it is there once")?;
    let (_, tail) = rest.split_once(&end).with_context(|| format!("lacks `{end}` after its beginning"))?;
    Ok(format!("{head}{begin}\n{}\n\n{end}{tail}", body.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let old = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n";
        let new = replace(old, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- x:begin -->\n\nnew\n\n<!-- x:end -->\nb\n");
        assert_eq!(replace(&new, "x", "new").unwrap(), new);
        assert!(replace(old, "y", "new").is_err());
        assert!(replace("<!-- x:begin -->\n", "x", "new").is_err());
    }
}
