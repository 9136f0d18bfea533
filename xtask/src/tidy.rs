//! The house rules that a machine can check.
//!
//! Invariant: a complaint is silenced only by a line of `tidy-exceptions.txt`, and a line there that silences
//! nothing is itself a complaint: the list can only shrink.

mod coverage;
mod crates;
mod documents;
mod exceptions;
mod files;
mod invariants;
mod source;
pub mod tree;
mod words;

use anyhow::Result;
use tree::Tree;

/// One broken rule.
pub struct Complaint {
    /// The rule's name, as `tidy-exceptions.txt` and ARCHITECTURE.md know it.
    pub rule: &'static str,
    /// Where.
    pub path: String,
    /// What, in a sentence.
    pub text: String,
}

impl Complaint {
    fn new(rule: &'static str, path: impl Into<String>, text: impl Into<String>) -> Self {
        Complaint { rule, path: path.into(), text: text.into() }
    }
}

/// Every rule's name: an invariant may name one of these as what enforces it.
const RULES: &[&str] = &[
    "size",
    "opening",
    "name",
    "space",
    "word",
    "tests-apart",
    "direction",
    "core-allow-list",
    "licence",
    "invariant",
    "link",
    "step",
    "coverage",
];

/// Checks everything; the answer is one line for each complaint.
pub fn run() -> Result<Vec<String>> {
    let tree = Tree::read(&crate::steps::root())?;
    let mut complaints = Vec::new();
    complaints.extend(files::check(&tree));
    complaints.extend(words::check(&tree));
    complaints.extend(crates::check()?);
    complaints.extend(invariants::check(&tree));
    complaints.extend(invariants::check_limits(&tree));
    complaints.extend(documents::check(&tree));
    complaints.extend(coverage::check(&tree));
    Ok(exceptions::apply(&tree, complaints))
}
