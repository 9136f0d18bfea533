//! Stacks as `perf script` prints them, folded: each different one once, with its weight.
//!
//! Invariant: no sample is dropped; one whose stack could not be unwound to its thread keeps what is known of it.

use super::symbol::KERNEL;
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// What stands where a name is not known.
const UNKNOWN: &str = "[unknown]";

/// Different stacks, the thread's name first and then from the outermost call to the innermost, with their weights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folded {
    /// Frames and weight.
    pub stacks: BTreeMap<Vec<String>, u64>,
    /// How many samples they come from.
    pub samples: u64,
    /// How many of these did not reach the beginning of their thread.
    pub cut: u64,
}

/// Reads what `perf script -F comm,period,ip,sym,dso` printed.
pub fn fold(script: &str) -> Result<Folded> {
    let mut folded = Folded::default();
    for sample in script.split("\n\n").map(|sample| sample.trim_matches('\n')) {
        let mut lines = sample.lines();
        let Some(head) = lines.next().filter(|head| !head.trim().is_empty()) else { continue };
        let (thread, period) = head.trim_end().rsplit_once(' ').with_context(|| format!("odd: {head:?}"))?;
        let weight: u64 = period.trim_end_matches(':').parse().with_context(|| format!("odd: {head:?}"))?;
        let mut frames: Vec<String> = lines.map(frame).collect();
        if frames.last().is_some_and(|last| last == UNKNOWN) {
            folded.cut += 1;
            frames.pop();
        }
        frames.push(thread.trim().replace(';', ","));
        frames.reverse();
        *folded.stacks.entry(frames).or_default() += weight;
        folded.samples += 1;
    }
    Ok(folded)
}

/// `  7f3a symbol+0x1 (object)` → the symbol, marked if it is the kernel's.
fn frame(line: &str) -> String {
    let line = line.trim();
    let (_address, rest) = line.split_once(' ').unwrap_or(("", line));
    let (symbol, object) = rest.rsplit_once(" (").unwrap_or((rest, ""));
    let is_kernel = object.starts_with("[kernel") || object.starts_with("[guest") || object.ends_with(".ko)");
    let symbol = symbol.trim().replace(';', ",");
    match is_kernel {
        true if symbol != UNKNOWN => format!("{symbol}{KERNEL}"),
        _ => symbol,
    }
}

impl Folded {
    /// Whether any sample was taken inside the kernel, and its names were known.
    pub fn sees_kernel(&self) -> bool {
        self.stacks.keys().flatten().any(|frame| frame.ends_with(KERNEL))
    }

    /// As text that other tools read too: `thread;outer;inner weight`, one line for each stack.
    pub fn to_text(&self) -> String {
        let mut text = format!("# samples {} cut {}\n", self.samples, self.cut);
        for (frames, weight) in &self.stacks {
            text.push_str(&format!("{} {weight}\n", frames.join(";")));
        }
        text
    }

    /// Reads it back.
    pub fn parse(text: &str) -> Result<Folded> {
        let mut folded = Folded::default();
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("# samples ") {
                let (samples, cut) = head.split_once(" cut ").context("an odd first line")?;
                (folded.samples, folded.cut) = (samples.parse()?, cut.parse()?);
                continue;
            }
            let (frames, weight) = line.rsplit_once(' ').with_context(|| format!("odd: {line:?}"))?;
            folded.stacks.insert(frames.split(';').map(str::to_owned).collect(), weight.parse()?);
        }
        Ok(folded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "committer    1003009 \n\
        \tffffffff81e2e830 __x64_sys_pwrite64 ([kernel.kallsyms])\n\
        \t          f64c7 __libc_pwrite (/usr/lib/libc.so.6)\n\
        \t          8e2ef4 <a::File as b::Disk<[u8; 4]>>::append (/x/arqon)\n\
        \t          1098eb clone3 (/usr/lib/libc.so.6)\n\n\
        committer    1003009 \n\
        \tffffffff81e2e830 __x64_sys_pwrite64 ([kernel.kallsyms])\n\
        \t          f64c7 __libc_pwrite (/usr/lib/libc.so.6)\n\
        \t          8e2ef4 <a::File as b::Disk<[u8; 4]>>::append (/x/arqon)\n\
        \t          1098eb clone3 (/usr/lib/libc.so.6)\n\n\
        tokio-rt worker    500000 \n\
        \t          a55468 a::fill (/x/arqon)\n\
        \tffffffffffffffff [unknown] ([unknown])\n\n";

    #[test]
    fn equal_stacks_become_one() {
        let folded = fold(SCRIPT).unwrap();
        let stack = |frames: &[&str]| frames.iter().map(|frame| (*frame).to_owned()).collect::<Vec<_>>();
        let disk = "<a::File as b::Disk<[u8, 4]>>::append";
        let written = stack(&["committer", "clone3", disk, "__libc_pwrite", "__x64_sys_pwrite64_[k]"]);
        let read = stack(&["tokio-rt worker", "a::fill"]);
        assert_eq!(folded.stacks, BTreeMap::from([(written, 2_006_018), (read, 500_000)]));
        assert_eq!((folded.samples, folded.cut), (3, 1), "what could not be unwound is counted");
        assert!(folded.sees_kernel() && !Folded::parse("w;a::fill 1").unwrap().sees_kernel());
        assert_eq!(Folded::parse(&folded.to_text()).unwrap(), folded);
    }

    #[test]
    fn what_is_no_script_is_an_error() {
        assert!(fold("perf: something else\n").is_err());
        assert_eq!(fold("\n\n").unwrap(), Folded::default());
    }
}
