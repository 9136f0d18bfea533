//! Damage to files of the log while the bus is down: cut short, or one bit flipped.
//!
//! Invariant: only files below `log/` are touched, and what was done is said exactly.

use super::dice::Dice;
use super::plan::Fault;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes that are read together when looking for the end of what is used.
const BLOCK: usize = 64 * 1024;

/// Harms one file of the log in the data folder; answers with what was done.
pub(super) fn harm(data: &Path, fault: Fault, dice: &mut Dice) -> Result<String> {
    let folder = data.join("log");
    let path = choose(&folder, dice)?;
    let file = File::options().read(true).write(true).open(&path)?;
    let used = used(&file).with_context(|| format!("cannot read {}", path.display()))?;
    // Often near the end, where what was just written is.
    let at = match dice.once_in(2) {
        true => dice.below(used.max(1)),
        false => used.saturating_sub(1 + dice.below(used.clamp(1, 20_000))),
    };
    let name = readable(&path);
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

/// `segment 2` for `0000000000000002.seg`.
fn readable(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
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
    fn one_bit_or_an_end_is_taken_and_nothing_outside_the_log() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("log")).unwrap();
        let path = folder.path().join("log/1.seg");
        let content = [vec![7; 100_000], vec![0; 200_000]].concat();
        for seed in 0..40 {
            fs::write(&path, &content).unwrap();
            let what = harm(folder.path(), Fault::Flip, &mut Dice::new(seed)).unwrap();
            let now = fs::read(&path).unwrap();
            let bits: u32 = now.iter().zip(&content).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert_eq!((now.len(), bits), (content.len(), 1), "{what}");
            let what = harm(folder.path(), Fault::Truncate, &mut Dice::new(seed)).unwrap();
            assert!(fs::metadata(&path).unwrap().len() < 100_000, "{what}");
        }
    }
}
