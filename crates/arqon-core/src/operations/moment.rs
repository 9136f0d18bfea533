//! Moments as arguments.

use crate::value::Args;
use crate::{Error, Result, Timestamp};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// An optional moment: RFC 3339, or the same without an offset, which means UTC.
pub(super) fn moment(args: &mut Args, name: &str) -> Result<Option<Timestamp>> {
    let Some(text) = args.text(name)? else { return Ok(None) };
    read(&text).map(Some).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        let what = format!("`{shown}` is not a time; expected RFC 3339 such as `2026-11-21T12:00:00Z`");
        Error::invalid(format!("args.{name}"), what).with_reason("INVALID_TIMESTAMP")
    })
}

/// What a text says of a moment.
pub(super) fn read(text: &str) -> Option<Timestamp> {
    let by_clock = || TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok();
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(by_clock)?;
    u64::try_from(instant.as_microsecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    fn asked(text: &str) -> Result<Option<Timestamp>> {
        moment(&mut Args::new([("since".to_owned(), Value::from(text))].into()), "since")
    }

    #[test]
    fn what_other_programs_write_is_read() {
        let noon = Some(Timestamp(1_795_262_400_000_000));
        for text in [
            "2026-11-21T12:00:00Z",
            "2026-11-21T14:00:00+02:00",
            "2026-11-21T12:00:00",
            "2026-11-21 12:00:00",
        ] {
            assert_eq!(asked(text).unwrap(), noon, "{text}");
        }
        for text in ["yesterday", "", "1969-12-31T23:59:59Z", "12:00"] {
            let error = asked(text).unwrap_err();
            assert_eq!(
                (error.field(), error.reason()),
                (Some("args.since"), Some("INVALID_TIMESTAMP")),
                "{text}"
            );
        }
        assert_eq!(moment(&mut Args::default(), "since").unwrap(), None);
    }
}
