//! The judge: holds what the clients of one round wrote down against each other.
//!
//! Invariant: this knows nothing but those notes. It shares no code with the server, the client library or the clients
//! that wrote them, so that a fault in those cannot hide here. Its memory is that of one round.

mod epochs;
mod ledger;
mod reader;
mod verdict;

pub(super) use verdict::{Broken, Evidence, Verdict};

use epochs::Epochs;
use ledger::Ledger;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// What happened that excuses something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excuse {
    /// Nothing.
    None,
    /// Files were harmed. What was in them may be gone, as long as a gap names it.
    Damage,
    /// The same, and the record of what durable readers had acknowledged was harmed too: it may come again.
    DamagedRecords,
}

impl Excuse {
    fn is_damage(self) -> bool {
        matches!(self, Excuse::Damage | Excuse::DamagedRecords)
    }
}

/// Judges one round by the notes in a folder.
pub(super) fn judge(folder: &Path, excuse: Excuse) -> io::Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    files.sort_unstable();
    let named = |what: &'static str| files.iter().filter(move |path| name(path).starts_with(what));
    let mut ledger = Ledger::default();
    for path in named("pub-") {
        each_line(path, |words| ledger.read(words, &mut verdict))?;
    }
    let mut epochs = Epochs::default();
    epochs.confirmed(&ledger);
    for path in named("read-") {
        epochs.begin_reader();
        each_line(path, |words| epochs.read(words))?;
    }
    ledger.check(&epochs, excuse.is_damage(), &mut verdict);
    for path in named("read-") {
        let name = name(path).trim_start_matches("read-");
        let mut reader = reader::Reader::new(name, &ledger, &epochs, excuse);
        each_line(path, |words| reader.read(words, &mut verdict))?;
        reader.finish(&mut verdict);
    }
    for path in named("ask") {
        let mut asker = Asker::default();
        each_line(path, |words| asker.read(words, &mut verdict))?;
        asker.finish(&mut verdict);
    }
    verdict.evidence.sort_by_key(|(broken, _)| *broken);
    Ok(verdict)
}

fn name(path: &Path) -> &str {
    path.file_stem().and_then(|name| name.to_str()).unwrap_or_default()
}

fn each_line(path: &Path, mut read: impl FnMut(&[&str])) -> io::Result<()> {
    let mut lines = BufReader::new(File::open(path)?);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        let words: Vec<&str> = line.split_whitespace().collect();
        read(&words);
        line.clear();
    }
    Ok(())
}

/// A number of the notes; what is no number is none that anybody sent.
fn number(word: &str) -> u64 {
    word.parse().unwrap_or(u64::MAX)
}

/// Cuts `EPOCH-OFFSET`.
fn place(word: &str) -> Option<(&str, u64)> {
    let (epoch, offset) = word.split_once('-')?;
    Some((epoch, offset.parse().ok()?))
}

/// Questions and answers: each answer belongs to its question, no question arrives twice, and none is left without a word.
#[derive(Default)]
struct Asker {
    heard: HashSet<u64>,
    /// Asked, when, and not heard of again.
    open: BTreeMap<u64, u64>,
    asked: u64,
    answered: u64,
}

impl Asker {
    fn read(&mut self, words: &[&str], verdict: &mut Verdict) {
        match words {
            ["ask", at, n] => {
                verdict.asked += 1;
                self.asked += 1;
                self.open.insert(number(n), number(at));
            }
            ["none", _, n] => drop(self.open.remove(&number(n))),
            ["answer", at, n, answer] => {
                verdict.answered += 1;
                self.answered += 1;
                self.open.remove(&number(n));
                // The replier triples.
                if number(answer) != number(n) * 3 {
                    let text = format!("question {n} was answered with {answer}");
                    verdict.broken(Broken::Changed, Evidence::new("asker", text).at(number(at)));
                }
            }
            ["heard", at, n] if !self.heard.insert(number(n)) => {
                let text = format!("question {n} arrived twice");
                verdict.broken(Broken::Duplicated, Evidence::new("replier", text).at(number(at)));
            }
            _ => {}
        }
    }

    fn finish(&self, verdict: &mut Verdict) {
        let mut unanswered = |text: String, at: Option<u64>| {
            let evidence = Evidence { at, ..Evidence::new("asker", text) };
            verdict.broken(Broken::Unanswered, evidence);
        };
        for (n, at) in &self.open {
            unanswered(format!("question {n} was neither answered nor given up"), Some(*at));
        }
        if self.asked > 0 && self.answered == 0 {
            unanswered(
                format!("none of {} questions was answered, also when all was well again", self.asked),
                None,
            );
        }
    }
}

#[cfg(test)]
mod tests;
