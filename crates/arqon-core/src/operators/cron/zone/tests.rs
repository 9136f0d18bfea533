//! Moments by the clocks of places, against examples and against looking at every minute.

use super::*;
use proptest::prelude::*;

fn micros(text: &str) -> Timestamp {
    Timestamp(text.parse::<Instant>().unwrap().as_microsecond().unsigned_abs())
}

fn moments(text: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let (expression, zone) = (Expression::parse(text).unwrap(), find(zone).unwrap());
    let mut at = micros(from);
    let mut found = Vec::new();
    for _ in 0..count {
        at = next(&expression, &zone, at).unwrap();
        found.push(instant(at).to_string());
    }
    found
}

#[test]
fn nine_in_the_morning_is_another_moment_in_summer() {
    let found = moments("0 9 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 2);
    assert_eq!(found, ["2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z"]);
}

#[test]
fn a_time_that_the_clocks_skip_comes_at_the_change_once() {
    // Berlin skips 02:00 to 03:00 on 2026-03-29, at 01:00Z.
    for text in ["30 2 * * *", "*/10 2 * * *", "0,30 2 * * *"] {
        let found = moments(text, "Europe/Berlin", "2026-03-28T23:00:00Z", 2);
        assert_eq!(found[0], "2026-03-29T01:00:00Z", "{text}");
        assert!(found[1].starts_with("2026-03-30T00:"), "{text}: {found:?}");
    }
    let both = moments("0 2,3 * * *", "Europe/Berlin", "2026-03-28T23:00:00Z", 2);
    assert_eq!(both, ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]);
}

#[test]
fn a_time_that_the_clocks_repeat_comes_once() {
    // Berlin has 02:00 to 03:00 twice on 2026-10-25, from 00:00Z and from 01:00Z on.
    let found = moments("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
    assert_eq!(found, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    let from_between = moments("30 2 * * *", "Europe/Berlin", "2026-10-25T00:45:00Z", 1);
    assert_eq!(from_between, ["2026-10-26T01:30:00Z"]);
}

#[test]
fn what_takes_every_hour_goes_on_evenly() {
    let spring = moments("30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 3);
    assert_eq!(spring, ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"]);
    let autumn = moments("30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 3);
    assert_eq!(autumn, ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"]);
}

#[test]
fn odd_zones() {
    // Lord Howe sets its clocks by half an hour; Apia left out a whole day, 2011-12-30.
    let found = moments("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2);
    assert_eq!(found, ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]);
    let found = moments("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3);
    assert_eq!(found, ["2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"]);
}

#[test]
fn a_name_that_is_no_zone_is_refused() {
    for name in ["", "Berlin", "Europe/Atlantis", "../etc/passwd"] {
        assert_eq!(find(name).unwrap_err().reason(), Some("UNKNOWN_TIMEZONE"), "{name}");
    }
    assert!(find("utc").is_ok() && find("America/New_York").is_ok());
}

const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against the plainest way there is: to look at every minute, whether the clocks show what is meant.
    #[test]
    fn every_hour_agrees_with_looking_at_every_minute(
        minute in 0i8..60, step in 1i8..40, zone in 0usize..5, day in 0i64..365, changes in any::<bool>(),
    ) {
        let zone = find(ZONES[zone]).unwrap();
        let mut begin = Instant::from_second(1_767_225_600 + day * 86_400).unwrap();
        if let Some(change) = zone.following(begin).next().filter(|_| changes) {
            begin = change.timestamp() - SignedDuration::from_hours(2);
        }
        let expression = Expression::parse(&format!("{minute}/{step} * * * *")).unwrap();
        let meant = |at: Instant| {
            let clock = zone.to_datetime(at);
            clock.minute() >= minute && (clock.minute() - minute) % step == 0
        };
        let mut at = Timestamp(begin.as_microsecond().unsigned_abs());
        let minutes = (1..300).map(|n| begin + SignedDuration::from_mins(n));
        for expected in minutes.filter(|at| meant(*at)) {
            at = next(&expression, &zone, at).unwrap();
            prop_assert_eq!(instant(at), expected);
        }
    }

    /// Whatever the expression, each comes after the one before, once a day at most where it names one time of day.
    #[test]
    fn one_time_of_day_comes_once_a_day(hour in 0i8..24, minute in 0i8..60, zone in 0usize..5, day in 0i64..3000) {
        let zone = find(ZONES[zone]).unwrap();
        let expression = Expression::parse(&format!("{minute} {hour} * * *")).unwrap();
        let mut at = Timestamp(((1_767_225_600 + day * 86_400) * 1_000_000).unsigned_abs());
        let mut date = None;
        for _ in 0..400 {
            at = next(&expression, &zone, at).unwrap();
            let today = zone.to_datetime(instant(at)).date();
            if let Some(yesterday) = date.replace(today) {
                prop_assert_eq!(today, yesterday.tomorrow().unwrap());
            }
        }
    }
}
