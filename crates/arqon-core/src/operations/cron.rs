//! `op.cron.*`.

use super::Call;
use super::messages::in_arg;
use crate::operators::cron::{Calendar, Job, Missed, Plan, Timing};
use crate::value::{Args, Value, missing, wrong};
use crate::{Error, Result, Target};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::time::Duration;

/// Longest delay or interval: ten years.
const SECONDS_MAX: f64 = 10.0 * 365.0 * 24.0 * 3600.0;
/// Shortest of either.
const SECONDS_MIN: f64 = 0.01;
const DELAY_DEFAULT: Duration = Duration::from_secs(1);

/// `room` and `channel`, or `address`.
fn target(args: &mut Args) -> Result<Target> {
    let (address, room, channel) = (args.text("address")?, args.text("room")?, args.text("channel")?);
    match (address, room, channel) {
        (Some(address), None, None) => in_arg("address", Target::parse(&address)),
        (None, Some(room), Some(channel)) => in_arg("room", Target::parse(&format!("{room}:{channel}"))),
        (None, Some(room), None) => in_arg("room", Target::parse(&room)),
        (Some(_), ..) => Err(Error::invalid("args.room", "said already by `address`")),
        (None, None, _) => Err(missing("address", "`room:channel` (or `room` and `channel`)")),
    }
}

fn payload(args: &mut Args) -> Result<Bytes> {
    match args.take("payload") {
        Some(Value::Raw(bytes)) if bytes.first() == Some(&b'{') => Ok(bytes),
        Some(other) => Err(wrong("payload", "an object", &other)),
        None => Err(missing("payload", "an object")),
    }
}

fn seconds(args: &mut Args, name: &str) -> Result<Option<Duration>> {
    let Some(seconds) = args.decimal(name)? else { return Ok(None) };
    if !(SECONDS_MIN..=SECONDS_MAX).contains(&seconds) {
        return Err(Error::invalid(
            format!("args.{name}"),
            format!("expected {SECONDS_MIN} to {SECONDS_MAX}"),
        ));
    }
    Ok(Some(Duration::from_secs_f64(seconds)))
}

fn timing(args: &mut Args) -> Result<Timing> {
    let (delay, every) = (seconds(args, "delay_seconds")?, seconds(args, "interval_seconds")?);
    let count = args.number("repeat_count")?;
    let (expression, zone) = (args.text("cron")?, args.text("timezone")?);
    let Some(expression) = expression else {
        if zone.is_some() {
            return Err(Error::invalid("args.timezone", "has a meaning only with `cron`"));
        }
        let count = count.unwrap_or(1);
        if count != 1 && every.is_none() {
            return Err(missing("interval_seconds", "a number, since `repeat_count` is not 1"));
        }
        return Ok(Timing { delay: delay.unwrap_or(DELAY_DEFAULT), every, count, calendar: None });
    };
    for (name, is_there) in [("delay_seconds", delay.is_some()), ("interval_seconds", every.is_some())] {
        if is_there {
            return Err(Error::invalid(format!("args.{name}"), "`cron` says already when"));
        }
    }
    let calendar = Some(Calendar::parse(&expression, zone.as_deref().unwrap_or("UTC"))?);
    Ok(Timing { delay: Duration::ZERO, every: None, count: count.unwrap_or(0), calendar })
}

pub(super) fn schedule(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let args = &mut call.args;
        let (target, payload, timing) = (target(args)?, payload(args)?, timing(args)?);
        let missed = args.text("missed")?.map_or(Ok(Missed::Once), |text| Missed::parse(&text))?;
        let id = args.text("job_id")?;
        call.done()?;
        let plan = Plan { id, target, payload, timing, missed };
        call.bus.cron().schedule(&call.ctx, plan).await.map(|job| Value::Map(describe(&job)))
    })
}

type Members = std::collections::BTreeMap<String, Value>;

fn describe(job: &Job) -> Members {
    let seconds = |d: Duration| Value::Float(d.as_secs_f64());
    let calendar = job.timing.calendar.as_ref();
    let target = job.target.to_string();
    let (room, channel) = match &job.target {
        Target::Channel(address) => (Some(address.room.as_str()), Some(address.channel.as_str())),
        Target::Inbox(_) | Target::Skill(_) | Target::Everyone => (None, None),
    };
    let members = [
        ("job_id", job.id.as_str().into()),
        ("address", target.into()),
        ("room", room.into()),
        ("channel", channel.into()),
        ("delay_seconds", calendar.map_or_else(|| seconds(job.timing.delay), |_| Value::Null)),
        ("interval_seconds", job.timing.every.map_or(Value::Null, seconds)),
        ("repeat_count", job.timing.count.into()),
        ("cron", calendar.map(Calendar::text).into()),
        ("timezone", calendar.map(Calendar::zone).into()),
        ("missed", job.missed.as_str().into()),
        ("owner", (*job.owner).into()),
        ("created_at", Value::Time(job.created_at)),
        ("next_at", if job.paused { Value::Null } else { Value::Time(job.next.at) }),
        ("next_iteration", job.next.number.into()),
        ("sent", job.sent.into()),
        ("last_sent_at", job.last_sent_at.map_or(Value::Null, Value::Time)),
        ("paused", job.paused.into()),
        ("problem", job.problem.as_deref().into()),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(super) fn list(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        call.done()?;
        let jobs = call.bus.cron().list(&call.ctx).await?;
        let count = (jobs.len() as u64).into();
        let jobs = jobs.iter().map(|job| Value::Map(describe(job))).collect();
        Ok(Value::map([("jobs", Value::List(jobs)), ("count", count)]))
    })
}

pub(super) fn get(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let id = call.args.need_text("job_id")?;
        call.done()?;
        let job = call.bus.cron().get(&call.ctx, &id).await?;
        let mut members = describe(&job);
        members.insert("payload".to_owned(), Value::Raw(job.payload));
        Ok(Value::Map(members))
    })
}

pub(super) fn cancel(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let id = call.args.need_text("job_id")?;
        call.done()?;
        call.bus.cron().cancel(&call.ctx, &id).await?;
        Ok(Value::map([("job_id", id.into())]))
    })
}

pub(super) fn pause(call: Call) -> BoxFuture<'static, Result<Value>> {
    set_paused(call, true)
}

pub(super) fn resume(call: Call) -> BoxFuture<'static, Result<Value>> {
    set_paused(call, false)
}

fn set_paused(mut call: Call, paused: bool) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let id = call.args.need_text("job_id")?;
        call.done()?;
        let job = call.bus.cron().set_paused(&call.ctx, &id, paused).await?;
        Ok(Value::Map(describe(&job)))
    })
}
