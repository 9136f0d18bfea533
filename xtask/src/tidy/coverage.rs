//! Every row of docs/coverage.md names a test that exists and speaks the row's name through a socket.

use super::Complaint;
use super::tree::Tree;
use crate::coverage::{DOCUMENT, complaints};

/// Checks the document as it is; that it has every row, `cargo xtask codegen --check` says.
pub fn check(tree: &Tree) -> Vec<Complaint> {
    complaints(tree).into_iter().map(|text| Complaint::new("coverage", DOCUMENT, text)).collect()
}
