//! Points in time as RFC 3339 text: read with `Z` or an offset, written in UTC with microseconds.

use arqon_core::{Error, Result, Timestamp};
use std::cell::Cell;

/// The last moment that there is a text for, 9999-12-30T22:00:00.999999Z: what calendars allow for every offset.
/// Whatever is later (an expiry that means never) is taken for this one.
pub(crate) const LAST: Timestamp = Timestamp(253_402_207_200_999_999);

/// Reads an RFC 3339 date and time with `Z` or an offset. `field` is named in the error.
pub fn parse_timestamp(field: &str, text: &str) -> Result<Timestamp> {
    let bad = || {
        let shown: String = text.chars().take(40).collect();
        let what =
            format!("`{shown}` is not a time; expected RFC 3339 such as `2026-11-21T12:00:00.123456Z`");
        Error::invalid(field, what)
    };
    if let Some(time) = fast(text.as_bytes()) {
        return Ok(time);
    }
    let parsed: jiff::Timestamp = text.parse().map_err(|_| bad())?;
    u64::try_from(parsed.as_microsecond()).ok().map(Timestamp).filter(|t| *t <= LAST).ok_or_else(bad)
}

/// The form that nearly everybody sends, `YYYY-MM-DDTHH:MM:SS[.fraction]Z`; anything else is left to jiff.
fn fast(text: &[u8]) -> Option<Timestamp> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    let shape = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if shape.iter().any(|(at, byte)| head[*at] != *byte) {
        return None;
    }
    let number = |from: usize, to: usize| {
        head[from..to].iter().try_fold(0u64, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // Days after the 28th and leap seconds need a calendar.
    let plain = year >= 1970 && (1..=12).contains(&month) && (1..=28).contains(&day);
    if !plain || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let micros = fraction(tail)?;
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(Timestamp(seconds * 1_000_000 + micros))
}

/// Reads `Z` or `.digits` and `Z`, to microseconds, rounding down.
fn fraction(tail: &[u8]) -> Option<u64> {
    let digits = match tail {
        b"Z" => return Some(0),
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => digits,
        _ => return None,
    };
    let mut micros = 0;
    for i in 0..6 {
        let digit = digits.get(i).copied().unwrap_or(b'0');
        micros = micros * 10 + u64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    digits.iter().all(u8::is_ascii_digit).then_some(micros)
}

/// Days since 1970-01-01 of a date in the Gregorian calendar (Hinnant's algorithm, years from 1970).
fn days(year: u64, month: u64, day: u64) -> u64 {
    let y = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (y / 400, y % 400);
    let shifted = (month + 9) % 12;
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

thread_local! {
    /// The last second that was written, and its text: messages that are written together are of one second.
    static SECOND: Cell<(u64, [u8; 19])> = const { Cell::new((0, *b"1970-01-01T00:00:00")) };
}

/// Appends the time, without quotes: `2026-11-21T12:00:00.123456Z`, 27 characters.
pub fn write_timestamp(out: &mut Vec<u8>, time: Timestamp) {
    let time = time.min(LAST);
    let (seconds, micros) = (time.0 / 1_000_000, time.0 % 1_000_000);
    let (mut known, mut second) = SECOND.get();
    if known != seconds {
        (known, second) = (seconds, second_text(seconds));
        SECOND.set((known, second));
    }
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    text[..19].copy_from_slice(&second);
    put(&mut text[20..26], micros);
    out.extend_from_slice(&text);
}

/// `2026-11-21T12:00:00` of a number of seconds since 1970.
fn second_text(seconds: u64) -> [u8; 19] {
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let z = day + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let mut text = *b"0000-00-00T00:00:00";
    put(&mut text[0..4], year);
    put(&mut text[5..7], month);
    put(&mut text[8..10], day);
    put(&mut text[11..13], second / 3600);
    put(&mut text[14..16], second / 60 % 60);
    put(&mut text[17..19], second % 60);
    text
}

/// Writes the last digits of a number into their places.
fn put(places: &mut [u8], mut value: u64) {
    for slot in places.iter_mut().rev() {
        *slot = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// The time as text.
pub fn timestamp_text(time: Timestamp) -> String {
    let mut out = Vec::with_capacity(27);
    write_timestamp(&mut out, time);
    out.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, micros: u64) {
        assert_eq!(parse_timestamp("timestamp", text).unwrap(), Timestamp(micros), "{text}");
    }

    #[test]
    fn z_and_offsets_are_read() {
        check("1970-01-01T00:00:00Z", 0);
        check("2026-11-21T12:00:00Z", 1_795_262_400_000_000);
        check("2026-11-21T12:00:00.5Z", 1_795_262_400_500_000);
        check("2026-11-21T12:00:00.123456789Z", 1_795_262_400_123_456);
        check("2026-11-21T12:00:00+00:00", 1_795_262_400_000_000);
        check("2026-11-21T14:00:00.000001+02:00", 1_795_262_400_000_001);
        check("2024-02-29T00:00:00Z", 1_709_164_800_000_000);
    }

    #[test]
    fn anything_else_is_refused() {
        let bad = [
            "",
            "yesterday",
            "2026-11-21",
            "2026-11-21T12:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T12:00:00.Z",
            "2026-11-21T12:00:00.12x456Z",
            "2026-11-21T12:00:00.1234567890Z0",
        ];
        for text in bad {
            assert_eq!(
                parse_timestamp("expires_at", text).unwrap_err().field(),
                Some("expires_at"),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn writing_agrees_with_jiff_and_reads_back(micros in 0..=LAST.0) {
            let text = timestamp_text(Timestamp(micros));
            let judged: jiff::Timestamp = text.parse().unwrap();
            prop_assert_eq!(judged.as_microsecond(), i64::try_from(micros).unwrap());
            prop_assert_eq!(parse_timestamp("t", &text).unwrap(), Timestamp(micros));
            // Another moment of the same second, whose text is remembered.
            let other = Timestamp(micros / 1_000_000 * 1_000_000 + (micros + 1) % 1_000_000).min(LAST);
            prop_assert_eq!(parse_timestamp("t", &timestamp_text(other)).unwrap(), other);
        }
    }
}
