//! The parsers inside, for the fuzz targets; no part of what this crate offers.

use crate::lines::Splitter;
use crate::{args, cursor};
use arqon_core::operations::Operation;
use arqon_core::value::Args;
use arqon_core::{Pattern, Result};
pub use axum::http::Uri;
use bytes::Bytes;
use std::collections::BTreeMap;

/// The arguments of an operation from a query and a body.
pub fn arguments(operation: &Operation, uri: &Uri, body: &Bytes) -> Result<Args> {
    args::collect(operation, Vec::new(), uri, body)
}

/// The lines of a body that arrives in pieces, each with its number; `None` where one was too long.
pub fn lines<'a>(max: usize, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<(u64, Option<Bytes>)> {
    let mut splitter = Splitter::new(max);
    let mut found: Vec<_> = pieces.flat_map(|piece| splitter.push(piece)).collect();
    found.extend(splitter.finish());
    found.into_iter().map(|(line, text)| (line, text.ok())).collect()
}

/// A cursor that a reader handed back, as it would be handed out again.
pub fn cursor(pattern: &Pattern, text: &str) -> Result<String> {
    let from = cursor::parse(text)?;
    Ok(cursor::Cursor::new(pattern, &from, &BTreeMap::new()).to_text())
}
