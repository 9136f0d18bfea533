//! Damage to files while the bus is down: cut short, or one bit flipped. Mostly files of the log, at times files of the
//! records (what durable subscriptions have acknowledged).
//!
//! Invariant: only files below `log/` and `records/` are touched, and what was done is said exactly. Harm to records can be
//! undone: a bus that refuses to start on them, and says so, has kept its promise.

use super::dice::Dice;
use super::plan::Fault;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes that are read together when looking for the end of what is used.
const BLOCK: usize = 64 * 1024;

/// What was done.
pub(super) struct Harm {
    pub(super) text: String,
    /// Harm to the records: the file as it was.
    undo: Option<(PathBuf, Vec<u8>)>,
}

impl Harm {
    /// Whether records were harmed, not the log.
    pub(super) fn is_to_records(&self) -> bool {
        self.undo.is_some()
    }

    /// Puts records back as they were.
    pub(super) fn undo(&self) -> Result<()> {
        let Some((path, content)) = &self.undo else { return Ok(()) };
        fs::write(path, content).with_context(|| format!("cannot put {} back", path.display()))
    }
}

/// Harms one file of the data folder.
pub(super) fn harm(data: &Path, fault: Fault, dice: &mut Dice) -> Result<Harm> {
    let to_records = dice.once_in(6);
    let path = if to_records { choose_record(&data.join("records"), dice)? } else { None };
    let undo = path.clone().map(|path| fs::read(&path).map(|content| (path, content))).transpose()?;
    let path = path.map_or_else(|| choose(&data.join("log"), dice), Ok)?;
    let text = wound(&path, fault, dice).with_context(|| format!("cannot harm {}", path.display()))?;
    Ok(Harm { text, undo })
}

fn wound(path: &Path, fault: Fault, dice: &mut Dice) -> Result<String> {
    let file = File::options().read(true).write(true).open(path)?;
    let used = used(&file)?;
    // Often near the end, where what was just written is.
    let at = match dice.once_in(2) {
        true => dice.below(used.max(1)),
        false => used.saturating_sub(1 + dice.below(used.clamp(1, 20_000))),
    };
    let name = readable(path);
    if fault == Fault::Truncate {
        file.set_len(at)?;
        return Ok(format!("{name} cut short at byte {at} of {used} used"));
    }
    let mut byte = [0];
    // An empty file has nothing to flip.
    if file.read_at(&mut byte, at)? == 1 {
        let bit = dice.below(8);
        byte[0] ^= 1 << bit;
        file.write_all_at(&byte, at)?;
        return Ok(format!("bit {bit} of byte {at} of {used} used flipped in {name}"));
    }
    Ok(format!("{name} is empty; nothing to flip"))
}

/// Some file of the records; none where there is none yet.
fn choose_record(folder: &Path, dice: &mut Dice) -> Result<Option<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false if entry.metadata()?.len() > 0 => files.push(entry.path()),
                false => {}
            }
        }
    }
    files.sort_unstable();
    Ok((!files.is_empty()).then(|| files.swap_remove(dice.below(files.len() as u64) as usize)))
}

/// `segment 2` for `0000000000000002.seg`; the place within the records for one of theirs.
fn readable(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if let Some(at) = parts.iter().rposition(|part| part == "records") {
        return parts[at..].join("/");
    }
    match name.strip_suffix(".seg").map(|number| number.trim_start_matches('0')) {
        Some(number) => format!("segment {number}"),
        None => name,
    }
}

/// Mostly one of the last segments, at times another file.
fn choose(folder: &Path, dice: &mut Dice) -> Result<PathBuf> {
    let mut segments = Vec::new();
    let mut others = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        match path.extension().is_some_and(|extension| extension == "seg") {
            true => segments.push(path),
            false if path.is_file() => others.push(path),
            false => {}
        }
    }
    segments.sort_unstable();
    others.sort_unstable();
    if !others.is_empty() && dice.once_in(4) {
        return Ok(others.swap_remove(dice.below(others.len() as u64) as usize));
    }
    let last = segments.len().saturating_sub(3);
    let from = if dice.once_in(3) { 0 } else { last };
    let candidates = &segments[from..];
    anyhow::ensure!(!candidates.is_empty(), "there is no segment in {}", folder.display());
    Ok(candidates[dice.below(candidates.len() as u64) as usize].clone())
}

/// How far it is used: segments are preallocated with zeros.
fn used(file: &File) -> Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = vec![0; BLOCK];
    while end > 0 {
        let begin = end.saturating_sub(BLOCK as u64);
        let part = &mut block[..(end - begin) as usize];
        file.read_exact_at(part, begin)?;
        if let Some(last) = part.iter().rposition(|byte| *byte != 0) {
            return Ok(begin + last as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_or_an_end_is_taken_and_records_can_be_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["log/0001.seg", "records/store/0.jnl"].map(|name| folder.path().join(name));
        let content = [vec![7; 100_000], vec![0; 200_000]].concat();
        let mut records = 0;
        for seed in 0..80 {
            for path in &paths {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, &content).unwrap();
            }
            let fault = if seed % 2 == 0 { Fault::Flip } else { Fault::Truncate };
            let harm = harm(folder.path(), fault, &mut Dice::new(seed)).unwrap();
            let harmed = &paths[usize::from(harm.is_to_records())];
            let now = fs::read(harmed).unwrap();
            let bits: u32 = now.iter().zip(&content).map(|(a, b)| (a ^ b).count_ones()).sum();
            match fault {
                Fault::Flip => assert_eq!((now.len(), bits), (content.len(), 1), "{}", harm.text),
                _ => assert!(now.len() < 100_000 && bits == 0, "{}", harm.text),
            }
            assert_eq!(fs::read(&paths[usize::from(!harm.is_to_records())]).unwrap(), content);
            harm.undo().unwrap();
            assert_eq!(fs::read(harmed).unwrap() == content, harm.is_to_records());
            records += u32::from(harm.is_to_records());
        }
        assert!(records > 0, "the dice never chose the records");
    }
}
