//! What older dashboards ask of telemetry: `/telemetry/events` and `/telemetry/stats`, for the server's operator.
//!
//! Boundary: events are shown as they were told. Where none are kept, that is said, since an empty list would be no answer.

use crate::args;
use crate::monitor::{reply, take_nothing};
use crate::rest::Rest;
use arqon_core::bus::events::{EventType, RecentEvent, Severity};
use arqon_core::value::Value;
use arqon_core::{Code, Error, Result};
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Events of an answer, unless the query says another number.
const LIMIT_DEFAULT: u64 = 50;
const LIMIT_MAX: u64 = 1000;

/// `GET /telemetry/events`.
pub(crate) async fn events(State(rest): State<Arc<Rest>>, uri: Uri) -> Response {
    reply(describe_events(&rest, &uri))
}

fn describe_events(rest: &Rest, uri: &Uri) -> Result<Value> {
    let mut args = args::of_query(uri)?;
    let (what, severity) = (args.text("event_type")?, args.text("severity")?);
    let limit = args.number("limit")?.unwrap_or(LIMIT_DEFAULT);
    args.finish(&["event_type", "severity", "limit"])?;
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Error::invalid("limit", format!("expected 1 to {LIMIT_MAX}")));
    }
    let parse = |name: &str| {
        EventType::parse(name)
            .ok_or_else(|| Error::invalid("event_type", format!("there is no event `{name}`")))
    };
    let wanted = what.as_deref().map(parse).transpose()?;
    let grave = |name: &str| {
        Severity::parse(name).ok_or_else(|| {
            Error::invalid("severity", "expected `debug`, `info`, `warning`, `error` or `critical`")
        })
    };
    let least = severity.as_deref().map(grave).transpose()?.unwrap_or(Severity::Debug);
    if rest.bus.event_counts().keeps == 0 {
        return Err(Error::new(Code::Unavailable, "no events are kept; set `telemetry.keep_events`"));
    }
    let fits =
        |event: &RecentEvent| event.severity >= least && wanted.is_none_or(|wanted| wanted == event.what);
    // The number fits: it was checked above.
    let events = rest.bus.recent_events(limit as usize, fits);
    let list: Vec<Value> = events.into_iter().map(|event| Value::Raw(event.event)).collect();
    let query = [("event_type", what.into()), ("severity", severity.into()), ("limit", limit.into())];
    Ok(Value::map([
        ("count", (list.len() as u64).into()),
        ("events", Value::List(list)),
        ("query", Value::map(query)),
    ]))
}

/// `GET /telemetry/stats`.
pub(crate) async fn stats(State(rest): State<Arc<Rest>>, uri: Uri) -> Response {
    reply(take_nothing(&uri).map(|()| describe_stats(&rest)))
}

fn describe_stats(rest: &Rest) -> Value {
    let counts = rest.bus.event_counts();
    let by_type: BTreeMap<String, Value> =
        counts.by_type.iter().map(|(name, count)| ((*name).to_owned(), (*count).into())).collect();
    Value::map([
        ("timestamp", Value::Time(rest.bus.env().clock.now())),
        ("active_listeners", (counts.listeners as u64).into()),
        ("buffered_events", (counts.waiting as u64).into()),
        ("total_events", counts.published.into()),
        ("dropped_events", counts.dropped.into()),
        ("kept_events_max", (counts.keeps as u64).into()),
        ("events_by_type", Value::Map(by_type)),
    ])
}
