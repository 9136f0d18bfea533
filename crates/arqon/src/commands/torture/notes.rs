//! What a client writes down: lines of text, one file for each client. The judge reads these and nothing else.
//!
//! | line | written by | says |
//! |---|---|---|
//! | `send T N ROOM CHANNEL SUM` | publisher | message N was given to the client library |
//! | `done T N POSITION` | publisher | it was confirmed at that position |
//! | `fail T N TEXT` | publisher | it was refused for good |
//! | `want ROOM CHANNEL KIND` | reader | what it reads (`*` is all) and how: `plain`, `durable`, `audit` |
//! | `life T` | reader | a new client goes on where the last one ended |
//! | `got T ROOM CHANNEL POSITION ATTEMPT P N SUM` | reader | a delivery of message N of publisher P |
//! | `gap T ROOM FROM TO REASON` | reader | a gap; `-` where it has no beginning |
//! | `save T K`, `saved T K` | reader | asked for the acknowledgements so far to be kept; told that they are |
//! | `ask T N`, `answer T N TEXT`, `none T N` | asker | a question, and its answer, or that it was told that there is none |
//! | `heard T N` | replier | the question arrived |
//!
//! T is milliseconds since the run began. Invariant: a line is written whole or not at all.

use super::chronicle::Chronicle;
use anyhow::{Context, Result};
use std::fmt::Arguments;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

/// A client's notebook.
pub(super) struct Notes {
    file: BufWriter<File>,
    chronicle: Arc<Chronicle>,
}

impl Notes {
    /// A new one.
    pub(super) fn create(folder: &Path, name: &str, chronicle: &Arc<Chronicle>) -> Result<Notes> {
        let path = folder.join(format!("{name}.txt"));
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Notes { file: BufWriter::new(file), chronicle: chronicle.clone() })
    }

    /// Writes `WORD T REST`.
    pub(super) fn write(&mut self, word: &str, rest: Arguments<'_>) -> Result<()> {
        let at = self.chronicle.elapsed().as_millis();
        writeln!(self.file, "{word} {at} {rest}")
            .context("cannot write notes: is the disk of the scratch folder full?")
    }

    /// Writes what stands at the head.
    pub(super) fn head(&mut self, text: Arguments<'_>) -> Result<()> {
        writeln!(self.file, "{text}").context("cannot write notes")
    }

    /// Everything is in the file.
    pub(super) fn finish(mut self) -> Result<()> {
        self.file.flush().context("cannot write notes: is the disk of the scratch folder full?")
    }
}

/// A checksum of a payload (FNV-1a, 64 bits), so that notes stay short.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
