//! Sizes and durations as people write them: `64 MiB`, `1.5 GB`, `30s`, `7 days`.
//!
//! Invariant: what `show_*` writes, `parse_*` reads back as the same quantity.

use std::time::Duration;

/// Names of sizes, each with its factor; the first of a factor is the one that is shown.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Names of durations in microseconds; the first of a factor is the one that is shown.
const TIMES: [(&[&str], u64); 7] = [
    (&["d", "day", "days"], 86_400_000_000),
    (&["h", "hour", "hours"], 3_600_000_000),
    (&["min", "m", "minute", "minutes"], 60_000_000),
    (&["s", "sec", "second", "seconds"], 1_000_000),
    (&["ms", "millisecond", "milliseconds"], 1_000),
    (&["us", "µs", "microsecond", "microseconds"], 1),
    (&["w", "week", "weeks"], 604_800_000_000),
];

/// Reads a number of bytes: plain, or with a unit of powers of 1000 (`MB`) or 1024 (`MiB`), in any case.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    if unit.is_empty() {
        return whole(number, 1);
    }
    let (_, factor) = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    whole(number, *factor)
}

/// Writes a number of bytes with the largest binary unit that divides it.
pub fn show_bytes(bytes: u64) -> String {
    let exact = |(_, factor): &&(&str, u64)| bytes >= *factor && bytes.is_multiple_of(*factor);
    match SIZES[..4].iter().find(exact) {
        Some((name, factor)) => format!("{} {name}", bytes / factor),
        None => format!("{bytes} B"),
    }
}

/// Reads a duration: a number with a unit, several of them (`1h 30min`), or `0`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, after) = rest.split_at(number_end);
        let after = after.trim_start();
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c.is_whitespace()).unwrap_or(after.len());
        let (unit, tail) = after.split_at(unit_end);
        let (_, factor) = TIMES.iter().find(|(names, _)| names.contains(&unit))?;
        total = total.checked_add(whole(number, *factor)?)?;
        rest = tail.trim_start();
    }
    (!text.trim().is_empty()).then(|| Duration::from_micros(total))
}

/// Writes a duration with the largest unit that divides it.
pub fn show_duration(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if micros == 0 {
        return "0".to_owned();
    }
    let exact = |(_, factor): &&(&[&str], u64)| micros.is_multiple_of(*factor);
    match TIMES[..6].iter().find(exact) {
        Some((names, factor)) => format!("{}{}", micros / factor, names[0]),
        None => format!("{micros}us"),
    }
}

fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (!number.is_empty()).then_some((number, unit.trim()))
}

/// `number × factor`, if that is a whole number that fits.
fn whole(number: &str, factor: u64) -> Option<u64> {
    let number = number.replace('_', "");
    let Some((before, after)) = number.split_once('.') else {
        return number.parse::<u64>().ok()?.checked_mul(factor);
    };
    let scale = 10u64.checked_pow(u32::try_from(after.len()).ok()?)?;
    let part = after.parse::<u64>().ok()?.checked_mul(factor)?;
    let whole = before.parse::<u64>().ok()?.checked_mul(factor)?;
    part.is_multiple_of(scale).then(|| whole.checked_add(part / scale))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("64 MiB", 64 << 20),
            ("64mib", 64 << 20),
            ("1.5 KiB", 1536),
            ("10_000", 10_000),
            ("2 GB", 2_000_000_000),
            ("7B", 7),
        ] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
            assert_eq!(parse_bytes(&show_bytes(bytes)), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1 XB", "1.0001 B", "1.2.3 KB", "99999999999 TiB"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        let seconds = Duration::from_secs;
        for (text, duration) in [
            ("30s", seconds(30)),
            ("1h 30min", seconds(5400)),
            ("1h30m", seconds(5400)),
            ("7 days", seconds(7 * 86_400)),
            ("1.5s", Duration::from_millis(1500)),
            ("0", Duration::ZERO),
            ("250 ms", Duration::from_millis(250)),
            ("2w", seconds(14 * 86_400)),
        ] {
            assert_eq!(parse_duration(text), Some(duration), "{text}");
            assert_eq!(parse_duration(&show_duration(duration)), Some(duration), "{text}");
        }
        for text in ["", "30", "s", "30 x", "-3s", "1h 5"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
