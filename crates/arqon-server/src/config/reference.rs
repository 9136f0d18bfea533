//! The configuration as documents: the manual's tables and the JSON schema, both made from the keys themselves.

use super::setting::{Key, Kind, Section};
use super::{Config, DeliveryRule, RoomConfig, range};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The reference of all keys as Markdown: one table for each section.
pub fn reference() -> String {
    let config = Config::default();
    let mut out = String::new();
    for (prefix, section) in config.sections() {
        write_section(&mut out, &format!("[{prefix}]"), Some(prefix), section);
    }
    write_section(&mut out, "[[delivery]]", None, &DeliveryRule::default());
    write_section(&mut out, "[[rooms]]", None, &RoomConfig::default());
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn write_section(out: &mut String, title: &str, prefix: Option<&str>, section: &dyn Section) {
    let written = (|| {
        writeln!(out, "### `{title}`\n\n{}\n", clean(section.about()))?;
        let variable = if prefix.is_some() { " environment |" } else { "" };
        let line = if prefix.is_some() { "---|" } else { "" };
        writeln!(out, "| key | takes | default |{variable} what, and why |\n|---|---|---|{line}---|")?;
        for key in section.keys() {
            write!(out, "| `{}` | {} | {} |", key.name, key.kind.describe(), default_of(&key))?;
            if let Some(prefix) = prefix {
                write!(out, " `{}` |", variable_of(prefix, key.name))?;
            }
            writeln!(out, " {} |", about(title.trim_matches(['[', ']']), &key))?;
        }
        writeln!(out)
    })();
    written.expect("writing to a string cannot fail");
}

fn default_of(key: &Key) -> String {
    match &key.default {
        None => "not set".to_owned(),
        Some(toml::Value::String(text)) if text.is_empty() => "none; needed".to_owned(),
        Some(toml::Value::String(text)) => format!("`{text}`"),
        Some(value) => format!("`{value}`"),
    }
}

/// The environment variable of a key.
fn variable_of(prefix: &str, name: &str) -> String {
    format!("ARQON_{}__{}", prefix.replace('.', "__"), name).to_uppercase()
}

/// Doc comments as one line, without the marks of code documentation.
fn clean(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// What a key does, and its bounds.
fn about(prefix: &str, key: &Key) -> String {
    let doc = clean(key.doc);
    match range::describe(&format!("{prefix}.{}", key.name), key.kind) {
        Some(bounds) => format!("{doc} Bounds: {bounds}."),
        None => doc,
    }
}

/// The file as a JSON schema.
pub(super) fn schema() -> Value {
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Arqon configuration",
        "type": "object",
        "additionalProperties": false,
        "properties": {},
    });
    for (prefix, section) in Config::default().sections() {
        let mut node = &mut root;
        for part in prefix.split('.') {
            let properties = node["properties"].as_object_mut().expect("every node is made with properties");
            node = properties.entry(part.to_owned()).or_insert_with(|| object(""));
        }
        node["description"] = clean(section.about()).into();
        for key in section.keys() {
            node["properties"][key.name] = schema_of(prefix, &key);
        }
    }
    let (rule, room) = (DeliveryRule::default(), RoomConfig::default());
    let lists: [(&str, &dyn Section, &[&str]); 2] =
        [("delivery", &rule, &["pattern"]), ("rooms", &room, &["name", "channels"])];
    for (name, section, required) in lists {
        let mut item = object(&clean(section.about()));
        for key in section.keys() {
            item["properties"][key.name] = schema_of(name, &key);
        }
        item["required"] = json!(required);
        root["properties"][name] = json!({ "type": "array", "items": item });
    }
    root
}

fn object(about: &str) -> Value {
    json!({ "type": "object", "description": about, "additionalProperties": false, "properties": {} })
}

fn schema_of(prefix: &str, key: &Key) -> Value {
    let mut schema: Map<String, Value> = match key.kind {
        Kind::Text | Kind::Path | Kind::Address | Kind::Secret => json!({ "type": "string" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Count => json!({ "type": "integer", "minimum": 0 }),
        Kind::Bytes | Kind::Duration => json!({ "type": ["integer", "string"] }),
        Kind::Texts | Kind::Secrets => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Choice(words) => json!({ "enum": words }),
    }
    .as_object()
    .expect("each arm is an object")
    .clone();
    schema.insert("description".to_owned(), about(prefix, key).into());
    let bounds = range::bounds(&format!("{prefix}.{}", key.name));
    if let Some((least, most)) = bounds.filter(|_| key.kind == Kind::Count) {
        schema.insert("minimum".to_owned(), least.into());
        schema.insert("maximum".to_owned(), most.into());
    }
    if let Some(default) = &key.default {
        let value = serde_json::to_value(default).expect("plain TOML values are JSON values");
        schema.insert("default".to_owned(), value);
    }
    Value::Object(schema)
}
