//! Values survive the way to JSON and back; arguments keep what goes into a message raw.

use super::*;
use proptest::prelude::*;

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<i32>().prop_map(|n| Value::Float(f64::from(n) + 0.25)),
        any::<String>().prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            proptest::collection::btree_map(any::<String>(), inner, 0..5).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn values_round_trip(value in any_value()) {
        let json = value_to_json(&value);
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
        let back = value_from_json(&json).unwrap();
        prop_assert_eq!(back, value);
    }
}

#[test]
fn raw_arguments_stay_raw() {
    let mut args =
        args_from_json(br#" {"payload" : {"a": 1.50}, "metadata":null, "limit": 3, "x":"\u0041"} "#).unwrap();
    assert_eq!(args.take("payload"), Some(Value::Raw(Bytes::from_static(br#"{"a": 1.50}"#))));
    assert_eq!(args.take("metadata"), None);
    assert_eq!(args.number("limit").unwrap(), Some(3));
    assert_eq!(args.need_text("x").unwrap(), "A");
}

#[test]
fn bad_arguments_name_the_field() {
    let check = |json: &str, field: &str| {
        assert_eq!(args_from_json(json.as_bytes()).unwrap_err().field(), Some(field), "{json}");
    };
    check("[]", "args");
    check("{", "args");
    check("\"x\"", "args");
    check(r#"{"a":1,"a":2}"#, "args.a");
    check(r#"{"n":1e999}"#, "args.n");
    assert_eq!(value_to_json(&Value::Float(f64::NAN)), b"null");
}
