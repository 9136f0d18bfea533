//! The scanner against serde_json as the judge.

use super::*;
use proptest::prelude::*;

fn accepts(text: &str) -> bool {
    Scanner::whole(text).is_ok()
}

/// serde_json as the judge: raw values check the grammar, strings inside are decoded for their surrogates.
fn judge(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok()
}

#[test]
fn the_grammar_is_that_of_serde_json() {
    let good = [
        "{}",
        "[]",
        "0",
        "-0",
        "-1.5e+10",
        "1E5",
        "\"\"",
        r#""\u00e9\n\\\"""#,
        r#""\ud83d\ude00""#,
        " [ 1 , {\"a\" : [ ] } ] ",
        "true",
        "false",
        "null",
        "\"é\u{7f}\"",
        "[[],{},[{}]]",
    ];
    let bad = [
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "[1,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "tru",
        "nul",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"a\nb\"",
        "\"\u{0}\"",
        "[1 2]",
        "{} {}",
        "[}",
        "{]",
        "NaN",
        "'a'",
        "{\"a\":1 \"b\":2}",
        "\"\\u",
        "\"\\",
        "[1}",
    ];
    for text in good {
        assert!(judge(text) && accepts(text), "{text}");
    }
    for text in bad {
        assert!(!judge(text) && !accepts(text), "{text}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nest = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(accepts(&nest(100)));
    assert_eq!(Scanner::whole(&nest(101)).unwrap_err().at, 100);
    assert!(!accepts(&"[".repeat(1_000_000)));
    assert!(!accepts(&"{\"a\":".repeat(1_000_000)));
}

#[test]
fn line_breaks_are_seen_and_taken_out() {
    let text = "{\"a\": [1,\n 2], \"b c\" : \"d \\\" \\\\\" , \"e\":\"\\n\"}";
    assert_eq!(Scanner::whole(text), Ok(true));
    assert_eq!(compact(text.as_bytes()), br#"{"a":[1,2],"b c":"d \" \\","e":"\n"}"#);
    assert_eq!(Scanner::whole(r#"{"a": "\n"}"#), Ok(false));
}

proptest! {
    #[test]
    fn agrees_with_serde_json_on_mutated_json(text in r#"[\{\}\[\],:"\\u0-9a-f\-+.eE tn]{0,24}"#) {
        // `1e999` is JSON, though not a number that serde_json's tree can hold.
        let judged = judge(&text) || serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok() && !text.contains('u');
        prop_assert_eq!(accepts(&text), judged, "{}", text);
    }

    #[test]
    fn plain_prefix_is_the_first_special_byte(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b'a')], 0..40)) {
        let slow = bytes.iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\').unwrap_or(bytes.len());
        prop_assert_eq!(plain_prefix(&bytes), slow);
    }

    #[test]
    fn compact_keeps_the_meaning(text in any::<String>(), n in any::<i32>()) {
        let value = serde_json::json!({"a b": [text, {"c": n}], "d": null});
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let compacted = compact(pretty.as_bytes());
        prop_assert_eq!(String::from_utf8(compacted).unwrap(), serde_json::to_string(&value).unwrap());
    }
}
