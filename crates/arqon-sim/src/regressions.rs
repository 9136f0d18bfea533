//! The list of seeds that once found something.
//!
//! Invariant: a line that cannot be read is an error, not a line less.

use crate::faults::Faults;

/// One seed that found something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regression {
    /// The seed.
    pub seed: u64,
    /// The faults that may happen.
    pub faults: Faults,
    /// What it was.
    pub what: String,
}

/// The committed list.
pub const TEXT: &str = include_str!("../regressions.txt");

/// Reads lines of `seed faults what it was`; empty lines and those that begin with `#` are left out.
///
/// # Errors
/// A line is not of that form.
pub fn parse(text: &str) -> Result<Vec<Regression>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let seed = words.next().and_then(|word| word.parse().ok());
            let faults = words.next().map(Faults::parse).transpose()?;
            match (seed, faults, words.next()) {
                (Some(seed), Some(faults), Some(what)) => {
                    Ok(Regression { seed, faults, what: what.to_owned() })
                }
                _ => Err(format!("`{line}`: expected a seed, its faults, and what it was")),
            }
        })
        .collect()
}
