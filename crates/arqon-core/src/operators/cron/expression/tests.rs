//! Expressions, what comes after a moment, and what is refused.

use super::*;

fn times(text: &str, from: &str, count: usize) -> Vec<String> {
    let expression = Expression::parse(text).unwrap();
    let mut at: DateTime = from.parse().unwrap();
    let mut found = Vec::new();
    for _ in 0..count {
        at = expression.next(at).unwrap();
        found.push(at.to_string());
    }
    found
}

#[test]
fn the_usual_ones() {
    let from = "2026-01-01T00:00:00";
    let check = |text: &str, expected: [&str; 3]| assert_eq!(times(text, from, 3), expected, "{text}");
    check("* * * * *", ["2026-01-01T00:01:00", "2026-01-01T00:02:00", "2026-01-01T00:03:00"]);
    check("*/20 * * * *", ["2026-01-01T00:20:00", "2026-01-01T00:40:00", "2026-01-01T01:00:00"]);
    check("30 9 * * mon-fri", ["2026-01-01T09:30:00", "2026-01-02T09:30:00", "2026-01-05T09:30:00"]);
    check("0 12 * * 7", ["2026-01-04T12:00:00", "2026-01-11T12:00:00", "2026-01-18T12:00:00"]);
    check("0 0 29 2 *", ["2028-02-29T00:00:00", "2032-02-29T00:00:00", "2036-02-29T00:00:00"]);
    check("0 0 31 * *", ["2026-01-31T00:00:00", "2026-03-31T00:00:00", "2026-05-31T00:00:00"]);
    check("*/30 * * * * *", ["2026-01-01T00:00:30", "2026-01-01T00:01:00", "2026-01-01T00:01:30"]);
    check("5/25 0,12 1 JAN,jul *", ["2026-01-01T00:05:00", "2026-01-01T00:30:00", "2026-01-01T00:55:00"]);
    check("@monthly", ["2026-02-01T00:00:00", "2026-03-01T00:00:00", "2026-04-01T00:00:00"]);
    // Both days bound: one suffices. 2026-01-02 is a Friday.
    check("0 0 13 * fri", ["2026-01-02T00:00:00", "2026-01-09T00:00:00", "2026-01-13T00:00:00"]);
    check("0 0 ? * 0-1", ["2026-01-04T00:00:00", "2026-01-05T00:00:00", "2026-01-11T00:00:00"]);
}

#[test]
fn a_leap_day_is_found_across_the_century_that_has_none() {
    assert_eq!(times("0 0 29 2 *", "2096-03-01T00:00:00", 1), ["2104-02-29T00:00:00"]);
}

#[test]
fn what_never_comes_is_said() {
    for text in ["0 0 31 2 *", "0 0 30 feb *", "0 0 31 4,6,9,11 *"] {
        assert_eq!(Expression::parse(text).unwrap().next("2026-01-01T00:00:00".parse().unwrap()), None);
    }
}

#[test]
fn what_is_none_is_refused_with_the_field() {
    let cases = [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * * *", "five fields"),
        ("60 * * * *", "`60` is no minute: expected 0 to 59"),
        ("* 24 * * *", "no hour"),
        ("* * 0 * *", "no day of the month"),
        ("* * * 13 *", "no month"),
        ("* * * * 8", "no day of the week"),
        ("* * * * son", "no day of the week"),
        ("5-1 * * * *", "from the smaller to the larger minute"),
        ("*/0 * * * *", "expected a step"),
        ("*/ * * * *", "expected a step"),
        ("1,,2 * * * *", "no minute"),
        ("-1 * * * *", "no minute"),
        ("+1 * * * *", "no minute"),
        ("@sometimes", "five fields"),
        ("999999999999 * * * *", "no minute"),
    ];
    for (text, said) in cases {
        let error = Expression::parse(text).unwrap_err();
        assert!(error.message().contains(said), "{text}: {error}");
        assert_eq!((error.field(), error.reason()), (Some("args.cron"), Some("BAD_CRON")));
    }
    assert!(Expression::parse(&"1,".repeat(200)).is_err());
}
