//! `op.history.*`.

use super::Call;
use super::messages::in_arg;
use super::moment::read;
use crate::bus::{Found, Window};
use crate::operators::history;
use crate::value::{Args, Value, missing};
use crate::{Delivery, Error, Pattern, Record, Result, Timestamp};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Of a `get`: most entries, and how many without a word.
const GET: (u64, u64) = (1000, 100);
/// Of a `replay`.
const REPLAY: (u64, u64) = (5000, 1000);

/// The channels that `room` and `channel` mean together: all, those of a room, one, or that one in all rooms. `room` may
/// hold both.
pub(super) struct Scope {
    pub(super) room: Option<String>,
    pub(super) channel: Option<String>,
    pub(super) pattern: Pattern,
}

impl Scope {
    pub(super) fn take(args: &mut Args) -> Result<Scope> {
        let (room, channel) = (args.text("room")?, args.text("channel")?);
        let text = match (&room, &channel) {
            (None, None) => "*".to_owned(),
            (Some(room), None) if room.contains(':') => room.clone(),
            (Some(room), None) => format!("{room}:**"),
            (Some(room), Some(channel)) => format!("{room}:{channel}"),
            (None, Some(channel)) => format!("*:{channel}"),
        };
        let pattern = in_arg("room", Pattern::parse(&text))?;
        Ok(Scope { room, channel, pattern })
    }
}

fn limit(args: &mut Args, (most, default): (u64, u64)) -> Result<usize> {
    let limit = args.number("limit")?.unwrap_or(default);
    if !(1..=most).contains(&limit) {
        return Err(Error::invalid("args.limit", format!("expected 1 to {most}")));
    }
    Ok(limit as usize)
}

/// A moment: a date and time with an offset, or without one in UTC; or seconds since 1970.
fn moment(args: &mut Args, name: &str) -> Result<Option<Timestamp>> {
    let found = match args.take(name) {
        None => return Ok(None),
        Some(Value::Text(text)) => read(&text),
        Some(Value::Int(n)) => u64::try_from(n).ok().and_then(|n| n.checked_mul(1_000_000)).map(Timestamp),
        Some(Value::Float(n)) if (0.0..1e12).contains(&n) => Some(Timestamp((n * 1e6).round() as u64)),
        Some(_) => None,
    };
    let wrong = || {
        Error::invalid(format!("args.{name}"), "expected a time such as `2026-11-21T12:00:00Z`")
            .with_reason("INVALID_TIMESTAMP")
    };
    found.map(Some).ok_or_else(wrong)
}

fn entry(record: Arc<Record>) -> Value {
    let position = record.position;
    let kept = if position.epoch.is_memory() { "memory" } else { "log" };
    Value::map([
        ("stored_at", Value::Time(record.message.stored_at)),
        (
            "storage_metadata",
            Value::map([("position", position.to_string().into()), ("kept_in", kept.into())]),
        ),
        ("envelope", Value::Delivery(Delivery::Record { record, attempt: 0 })),
    ])
}

fn time(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, Value::Time)
}

/// What both answer alike.
fn answer(scope: Scope, limit: usize, found: Found) -> BTreeMap<String, Value> {
    let count = found.records.len() as u64;
    let gaps = found.gaps.into_iter().map(|gap| Value::Delivery(Delivery::Gap(gap))).collect();
    let members = [
        ("room", scope.room.into()),
        ("channel", scope.channel.into()),
        ("limit", (limit as u64).into()),
        ("count", count.into()),
        ("entries", Value::List(found.records.into_iter().map(entry).collect())),
        ("gaps", Value::List(gaps)),
        ("more", found.more.into()),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(super) fn get(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let args = &mut call.args;
        let (scope, limit) = (Scope::take(args)?, limit(args, GET)?);
        let window = Window { after: moment(args, "since")?, before: moment(args, "until")? };
        call.done()?;
        let mut found = history::get(&call.bus, &call.ctx, &scope.pattern, (window, limit)).await?;
        found.records.reverse();
        let mut members = answer(scope, limit, found);
        members.insert("since".to_owned(), time(window.after));
        members.insert("until".to_owned(), time(window.before));
        Ok(Value::Map(members))
    })
}

pub(super) fn replay(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let args = &mut call.args;
        let (scope, limit) = (Scope::take(args)?, limit(args, REPLAY)?);
        let need = |args: &mut Args, name| moment(args, name)?.ok_or_else(|| missing(name, "a time"));
        let (from, to) = (need(args, "from_ts")?, need(args, "to_ts")?);
        let strict = args.flag("strict_sequence")?.unwrap_or(true);
        call.done()?;
        if from >= to {
            return Err(Error::invalid("args.to_ts", "expected a time after `from_ts`"));
        }
        let window = Window { after: Some(from), before: Some(to) };
        let clock = call.bus.env().clock.clone();
        let begun = clock.monotonic();
        let found = history::replay(&call.bus, &call.ctx, &scope.pattern, (window, limit), strict).await?;
        let took = (clock.monotonic() - begun).as_secs_f64() * 1000.0;
        let mut members = answer(scope, limit, found);
        for (name, value) in [
            ("from_ts", Value::Time(from)),
            ("to_ts", Value::Time(to)),
            ("strict_sequence", strict.into()),
            ("latency_ms", Value::Float(took)),
        ] {
            members.insert(name.to_owned(), value);
        }
        Ok(Value::Map(members))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_an_offset_or_without() {
        let noon = Timestamp(1_795_262_400_000_000);
        for text in [
            "2026-11-21T12:00:00Z",
            "2026-11-21T13:00:00+01:00",
            "2026-11-21T12:00:00",
            "2026-11-21 12:00:00.000000",
        ] {
            assert_eq!(read(text), Some(noon), "{text}");
        }
        for text in ["", "noon", "1969-01-01T00:00:00Z", "2026-13-01T00:00:00"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
