//! The arguments of an operation, from path, query and body.
//!
//! Invariant: an argument is given once, in one place; what nobody knows is refused.

use arqon_core::operations::{ArgKind, Operation};
use arqon_core::value::{Args, Value};
use arqon_core::{Error, Result};
use arqon_wire::args_from_json;
use axum::extract::Query;
use axum::http::Uri;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Names in the query that are about the caller, not about the operation.
const TOKENS: [&str; 3] = ["token", "access_token", "auth_token"];

/// The pairs of a query, without tokens.
pub(crate) fn query(uri: &Uri) -> Result<Vec<(String, String)>> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| Error::invalid("query", "expected `name=value` pairs in percent encoding"))?;
    Ok(pairs.into_iter().filter(|(name, _)| !TOKENS.contains(&name.as_str())).collect())
}

/// The query alone, for what is no operation.
pub(crate) fn of_query(uri: &Uri) -> Result<Args> {
    let mut map = BTreeMap::new();
    for (name, value) in query(uri)? {
        add(&mut map, name, Value::Text(value))?;
    }
    Ok(Args::new(map))
}

/// All three together.
pub(crate) fn collect(
    operation: &Operation,
    path: Vec<(String, String)>,
    uri: &Uri,
    body: &Bytes,
) -> Result<Args> {
    let mut map = BTreeMap::new();
    if !body.trim_ascii().is_empty() {
        let mut args = args_from_json(body)?;
        for arg in operation.args {
            if let Some(value) = args.take(arg.name) {
                map.insert(arg.name.to_owned(), value);
            }
        }
        let known: Vec<&str> = operation.args.iter().map(|a| a.name).collect();
        args.finish(&known)?;
    }
    for (name, value) in path {
        add(&mut map, name, Value::Text(value))?;
    }
    let mut lists: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (name, value) in query(uri)? {
        let kind = operation.args.iter().find(|a| a.name == name).map(|a| a.kind);
        match kind {
            Some(ArgKind::Texts) => {
                let items = value.split(',').filter(|t| !t.is_empty()).map(Value::from);
                lists.entry(name).or_default().extend(items);
            }
            Some(ArgKind::Json) => {
                return Err(Error::invalid(format!("args.{name}"), "expected in the body, not in the query"));
            }
            _ => add(&mut map, name, Value::Text(value))?,
        }
    }
    for (name, list) in lists {
        add(&mut map, name, Value::List(list))?;
    }
    Ok(Args::new(map))
}

fn add(map: &mut BTreeMap<String, Value>, name: String, value: Value) -> Result<()> {
    if map.contains_key(&name) {
        return Err(Error::invalid(format!("args.{name}"), "given twice"));
    }
    map.insert(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arqon_core::operations::find;

    fn args(name: &str, path: &[(&str, &str)], uri: &'static str, body: &'static str) -> Result<Args> {
        let path = path.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        collect(find(name).unwrap(), path, &Uri::from_static(uri), &Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn the_three_places_are_merged() {
        let mut all =
            args("set_policy", &[("pattern", "a:*")], "/?history=5&token=x", r#"{"class":"history"}"#)
                .unwrap();
        assert_eq!(all.need_text("pattern").unwrap(), "a:*");
        assert_eq!(all.number("history").unwrap(), Some(5));
        assert_eq!(all.need_text("class").unwrap(), "history");
        all.finish(&[]).unwrap();
        let mut lists = args("create_token", &[], "/?publish=a:*,b:*&publish=c:*", " ").unwrap();
        assert_eq!(lists.texts("publish").unwrap(), ["a:*", "b:*", "c:*"]);
    }

    #[test]
    fn what_is_given_twice_or_unknown_is_refused() {
        let field = |result: Result<Args>| result.unwrap_err().field().unwrap().to_owned();
        assert_eq!(field(args("set_policy", &[("pattern", "a:*")], "/?pattern=b:*", "")), "args.pattern");
        assert_eq!(
            field(args("set_policy", &[("pattern", "a:*")], "/", r#"{"pattern":"b:*"}"#)),
            "args.pattern"
        );
        assert_eq!(field(args("set_policy", &[], "/", r#"{"clas":"durable"}"#)), "args.clas");
        assert_eq!(field(args("request", &[], "/?payload=1", "")), "args.payload");
        assert_eq!(field(args("history", &[], "/?limit=1&limit=2", "")), "args.limit");
        assert_eq!(field(args("history", &[], "/", "[]")), "args");
    }
}
