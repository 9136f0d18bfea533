//! The calendar of a place: which moment a cron expression means next, where clocks are set forward and back.
//!
//! Between two changes of its clocks a place has one offset, and moments and clock times stand side by side there. What a
//! change skips happens at the change, once; what it repeats happens once, at the first time. An expression that takes
//! every hour follows the moments instead: nothing is made up or left out.
//!
//! Invariant: the zones are those of the binary, so that every machine means the same moment.

use super::expression::Expression;
use crate::{Error, Result, Timestamp};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp as Instant};
use std::sync::LazyLock;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Changes of the clocks that are looked at: more than come in the years that an expression looks ahead.
const CHANGES: usize = 64;
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// The rules of a zone by its name.
pub(super) fn find(name: &str) -> Result<TimeZone> {
    if name.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    ZONES.get(name).map_err(|_| {
        let shown: String = name.chars().take(64).collect();
        Error::invalid("args.timezone", format!("`{shown}` is no time zone"))
            .with_reason("UNKNOWN_TIMEZONE")
            .with_hint("expected a name such as `Europe/Berlin`, or `UTC`")
    })
}

/// A moment as jiff has it.
pub(super) fn instant(at: Timestamp) -> Instant {
    i64::try_from(at.0).ok().and_then(|micros| Instant::from_microsecond(micros).ok()).unwrap_or(Instant::MAX)
}

/// The first moment after `after` that the expression means.
pub(super) fn next(expression: &Expression, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let after = Instant::from_second(instant(after).as_second()).ok()?;
    let mut stretch = Stretch::at(zone, after);
    let mut clock = stretch.offset.to_datetime(after);
    for _ in 0..CHANGES {
        let found = match stretch.first(expression, zone, clock)? {
            Found::At(moment) => moment,
            Found::Behind { meant, end } => {
                let before = stretch.offset.to_datetime(end);
                stretch = Stretch::at(zone, end);
                let begin = stretch.offset.to_datetime(end);
                if !expression.follows_moments() && (before..begin).contains(&meant) {
                    end
                } else {
                    clock = begin.checked_sub(SECOND).ok()?;
                    continue;
                }
            }
        };
        return u64::try_from(found.as_microsecond()).ok().map(Timestamp);
    }
    None
}

/// The time between two changes of the clocks.
struct Stretch {
    offset: Offset,
    end: Option<Instant>,
}

enum Found {
    At(Instant),
    /// The next clock time comes after the end of the stretch, if it comes.
    Behind {
        meant: DateTime,
        end: Instant,
    },
}

impl Stretch {
    fn at(zone: &TimeZone, at: Instant) -> Stretch {
        let end = zone.following(at).next().map(|change| change.timestamp());
        Stretch { offset: zone.to_offset(at), end }
    }

    fn first(&self, expression: &Expression, zone: &TimeZone, clock: DateTime) -> Option<Found> {
        let mut clock = clock;
        loop {
            clock = expression.next(clock)?;
            let at = self.offset.to_timestamp(clock).ok()?;
            if let Some(end) = self.end.filter(|end| at >= *end) {
                return Some(Found::Behind { meant: clock, end });
            }
            if expression.follows_moments() || !is_repeated(zone, clock, self.offset) {
                return Some(Found::At(at));
            }
        }
    }
}

/// Whether the clocks of the place showed this once before, under another offset.
fn is_repeated(zone: &TimeZone, clock: DateTime, offset: Offset) -> bool {
    match zone.to_ambiguous_timestamp(clock).offset() {
        AmbiguousOffset::Fold { after, .. } => after == offset,
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => false,
    }
}

#[cfg(test)]
#[path = "zone/tests.rs"]
mod tests;
