//! Cron expressions: five fields (minute, hour, day of the month, month, day of the week), or six with the second first.
//!
//! A field is `*`, a number, a range `a-b`, each perhaps with a step `/n`, or several of these joined by commas. Months
//! and days of the week have names too; Sunday is 0 or 7. Where both days are bound, one of them suffices, as cron has it
//! since 1979. `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly` stand for what they say.

use crate::{Error, Result};
use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};

/// Longest text, in bytes.
const TEXT_MAX: usize = 256;
/// Years that are searched: 29 February comes every four, once in two centuries after eight.
const YEARS: i16 = 9;

/// A set of numbers below 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Set(u64);

impl Set {
    fn has(self, n: i8) -> bool {
        u32::try_from(n).is_ok_and(|n| self.0.checked_shr(n).unwrap_or(0) & 1 == 1)
    }
}

/// What one field may hold.
struct Field {
    name: &'static str,
    min: u8,
    max: u8,
    names: &'static [&'static str],
}

const fn field(name: &'static str, min: u8, max: u8, names: &'static [&'static str]) -> Field {
    Field { name, min, max, names }
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Field; 6] = [
    field("second", 0, 59, &[]),
    field("minute", 0, 59, &[]),
    field("hour", 0, 23, &[]),
    field("day of the month", 1, 31, &[]),
    field("month", 1, 12, &MONTHS),
    field("day of the week", 0, 7, &DAYS),
];
const SHORTHANDS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// A cron expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expression {
    seconds: Set,
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
    /// Whether both days are bound, so that one suffices.
    either_day: bool,
}

impl Expression {
    /// Reads an expression.
    pub(super) fn parse(text: &str) -> Result<Expression> {
        if text.len() > TEXT_MAX {
            return Err(bad(format!("expected at most {TEXT_MAX} bytes")));
        }
        let text = text.trim();
        let long = SHORTHANDS.iter().find(|(short, _)| text.eq_ignore_ascii_case(short));
        let text = long.map_or(text, |(_, long)| long);
        let parts: Vec<&str> = text.split_whitespace().collect();
        let parts: [&str; 6] = match parts[..] {
            [b, c, d, e, f] => ["0", b, c, d, e, f],
            [a, b, c, d, e, f] => [a, b, c, d, e, f],
            _ => {
                return Err(bad(format!(
                    "`{text}`: expected five fields (minute, hour, day, month, day of the week), or six with the second first"
                )));
            }
        };
        let mut sets = [Set(0); 6];
        for ((set, part), field) in sets.iter_mut().zip(parts).zip(&FIELDS) {
            *set = field.parse(part)?;
        }
        let [seconds, minutes, hours, days, months, Set(weekdays)] = sets;
        let weekdays = Set((weekdays | weekdays >> 7) & 0x7F);
        let is_bound = |part: &str| !part.starts_with(['*', '?']);
        let either_day = is_bound(parts[3]) && is_bound(parts[5]);
        Ok(Expression { seconds, minutes, hours, days, months, weekdays, either_day })
    }

    /// Whether it takes every hour: then it goes on evenly where clocks are changed.
    pub(super) fn follows_moments(&self) -> bool {
        self.hours == Set((1 << 24) - 1)
    }

    /// The first clock time after `after` that it means.
    pub(super) fn next(&self, after: DateTime) -> Option<DateTime> {
        let last = after.year().saturating_add(YEARS);
        let mut at = after.checked_add(SignedDuration::from_secs(1)).ok()?;
        at = at.with().subsec_nanosecond(0).build().ok()?;
        while at.year() <= last {
            at = match self.misfit(at) {
                None => return Some(at),
                Some(Unit::Month) => midnight(at.date().last_of_month().tomorrow().ok()?),
                Some(Unit::Day) => midnight(at.date().tomorrow().ok()?),
                Some(Unit::Hour) => forward(at.with().minute(0).second(0).build().ok()?, 3600)?,
                Some(Unit::Minute) => forward(at.with().second(0).build().ok()?, 60)?,
                Some(Unit::Second) => forward(at, 1)?,
            };
        }
        None
    }

    /// The largest unit of a clock time that it does not mean.
    fn misfit(&self, at: DateTime) -> Option<Unit> {
        let fits = [
            (self.months.has(at.month()), Unit::Month),
            (self.has_day(at.date()), Unit::Day),
            (self.hours.has(at.hour()), Unit::Hour),
            (self.minutes.has(at.minute()), Unit::Minute),
            (self.seconds.has(at.second()), Unit::Second),
        ];
        fits.into_iter().find(|(fits, _)| !fits).map(|(_, unit)| unit)
    }

    fn has_day(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        if self.either_day { day || weekday } else { day && weekday }
    }
}

#[derive(Clone, Copy)]
enum Unit {
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

fn midnight(date: Date) -> DateTime {
    date.to_datetime(Time::midnight())
}

fn forward(at: DateTime, seconds: i64) -> Option<DateTime> {
    at.checked_add(SignedDuration::from_secs(seconds)).ok()
}

fn bad(what: String) -> Error {
    Error::invalid("args.cron", what).with_reason("BAD_CRON")
}

impl Field {
    fn parse(&self, text: &str) -> Result<Set> {
        let mut set = 0u64;
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                None => (part, None),
                Some((range, step)) => (range, Some(self.step(step)?)),
            };
            let (from, to) = match range.split_once('-') {
                _ if range == "*" || range == "?" => (self.min, self.max.min(self.last())),
                Some((from, to)) => (self.number(from)?, self.number(to)?),
                None if step.is_some() => (self.number(range)?, self.last()),
                None => (self.number(range)?, self.number(range)?),
            };
            if from > to {
                return Err(bad(format!(
                    "`{part}`: a range goes from the smaller to the larger {}",
                    self.name
                )));
            }
            (from..=to).step_by(step.unwrap_or(1)).for_each(|n| set |= 1 << n);
        }
        Ok(Set(set))
    }

    /// The largest number that is no second name of another one.
    fn last(&self) -> u8 {
        if self.max == 7 { 6 } else { self.max }
    }

    fn step(&self, text: &str) -> Result<usize> {
        let step = text.parse().ok().filter(|n| (1..=usize::from(self.max)).contains(n));
        step.ok_or_else(|| bad(format!("`/{text}`: expected a step from 1 to {}", self.max)))
    }

    fn number(&self, text: &str) -> Result<u8> {
        let name = self.names.iter().zip(self.min..).find(|(name, _)| text.eq_ignore_ascii_case(name));
        let digits = || text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let number = name.map(|(_, n)| n).or_else(digits).filter(|n| (self.min..=self.max).contains(n));
        number.ok_or_else(|| {
            let shown: String = text.chars().take(32).collect();
            bad(format!("`{shown}` is no {}: expected {} to {}", self.name, self.min, self.max))
        })
    }
}

#[cfg(test)]
#[path = "expression/tests.rs"]
mod tests;
