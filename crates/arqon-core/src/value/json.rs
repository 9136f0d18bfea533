//! Arguments as JSON text, for content inspection: it judges what a door took apart as one whole again.

use super::Value;

/// Appends a value. What no argument can be becomes `null`.
pub(super) fn write(out: &mut String, value: &Value) {
    match value {
        Value::Bool(v) => out.push_str(if *v { "true" } else { "false" }),
        Value::Int(v) => out.push_str(&v.to_string()),
        Value::Float(v) if v.is_finite() => out.push_str(&v.to_string()),
        Value::Text(text) => write_text(out, text),
        Value::Raw(raw) => out.push_str(std::str::from_utf8(raw).unwrap_or("null")),
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                write(out, item);
            }
            out.push(']');
        }
        Value::Map(members) => write_object(out, members.iter()),
        Value::Null | Value::Float(_) | Value::Time(_) | Value::Delivery(_) => out.push_str("null"),
    }
}

pub(super) fn write_object<'a>(out: &mut String, members: impl Iterator<Item = (&'a String, &'a Value)>) {
    out.push('{');
    for (i, (name, value)) in members.enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        write_text(out, name);
        out.push(':');
        write(out, value);
    }
    out.push('}');
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Args;
    use std::collections::BTreeMap;

    #[test]
    fn arguments_are_one_object_by_name() {
        let list = Value::List(vec![true.into(), Value::Int(-7), Value::Float(1.5), Value::Float(f64::NAN)]);
        let args = [
            ("c", Value::Raw(r#"{"x" : [1]}"#.into())),
            ("b\"", Value::map([("n", Value::Null), ("t", "ü\\\n\u{7f}".into())])),
            ("a", list),
        ];
        let args: BTreeMap<String, Value> = args.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let expected = r#"{"a":[true,-7,1.5,null],"b\"":{"n":null,"t":"ü\\\u000a\u007f"},"c":{"x" : [1]}}"#;
        assert_eq!(Args::new(args).to_json(), expected);
        assert_eq!(Args::default().to_json(), "{}");
    }
}
