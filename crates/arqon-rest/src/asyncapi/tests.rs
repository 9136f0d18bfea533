//! The document is whole: every reference leads somewhere, every operation is there, and its examples obey its schemas.

use super::*;

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = build();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100, "{}", found.len());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn every_operation_is_there_with_an_example_that_fits() {
    let document: Value = serde_json::from_str(super::document()).unwrap();
    for operation in operations::all() {
        let described = &document["operations"][operation.name];
        assert_eq!(described["summary"], operation.summary, "{}", operation.name);
        let message = &document["components"]["messages"][operation.name];
        let args = &message["payload"]["properties"]["args"];
        let example = message["examples"][0]["payload"]["args"].as_object().unwrap();
        for (name, value) in example {
            let schema = &args["properties"][name];
            let fits = match schema["type"].as_str() {
                Some("string") => value.is_string(),
                Some("integer") => value.is_u64(),
                Some("number") => value.is_number(),
                Some("boolean") => value.is_boolean(),
                Some("array") => value.is_array(),
                None => schema.is_object(),
                other => panic!("{other:?}"),
            };
            assert!(fits, "{}.{name}: {value} is no {schema}", operation.name);
        }
        for needed in args["required"].as_array().into_iter().flatten() {
            assert!(example.contains_key(needed.as_str().unwrap()), "{}: {needed}", operation.name);
        }
    }
}
