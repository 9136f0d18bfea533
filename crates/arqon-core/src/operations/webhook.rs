//! `op.webhook.*`.

use super::Call;
use super::history::Scope;
use crate::operators::webhook::{Standing, Wish};
use crate::value::{Args, Value, wrong};
use crate::{Error, Result, Timestamp};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Longest URL, in bytes: what receivers take, by the habits of the web.
const URL_MAX: usize = 2048;
/// Most headers of one rule, and the longest of them with its name.
const HEADERS_MAX: (usize, usize) = (16, 4096);
/// Shortest and longest time that one try may take.
const TIMEOUT_S: (f64, f64) = (0.1, 30.0);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);
/// How long old secrets hold beside a new one: at most, and without a word.
const OVERLAP_S: (f64, f64) = (604_800.0, 86_400.0);
/// Most tries, and how many without a word: 12 are made within some twenty minutes.
const TRIES: (u64, u64) = (20, 12);

fn headers(args: &mut Args) -> Result<Vec<(Arc<str>, Arc<str>)>> {
    let map = match args.take("headers") {
        None => return Ok(Vec::new()),
        Some(Value::Map(map)) => map,
        Some(other) => return Err(wrong("headers", "an object of name → text", &other)),
    };
    let (most, longest) = HEADERS_MAX;
    if map.len() > most {
        return Err(Error::invalid("args.headers", format!("expected at most {most}")));
    }
    let header = |(name, value): (String, Value)| match value {
        Value::Text(text) if name.len() + text.len() <= longest => Ok((name.into(), text.into())),
        Value::Text(_) => {
            Err(Error::invalid("args.headers", format!("expected at most {longest} bytes each")))
        }
        other => Err(wrong("headers", "texts", &other)),
    };
    map.into_iter().map(header).collect()
}

fn timeout(args: &mut Args) -> Result<Duration> {
    let Some(seconds) = args.decimal("timeout_seconds")? else { return Ok(TIMEOUT_DEFAULT) };
    let (least, most) = TIMEOUT_S;
    if !(least..=most).contains(&seconds) {
        return Err(Error::invalid("args.timeout_seconds", format!("expected {least} to {most}")));
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn tries(args: &mut Args) -> Result<u32> {
    let (most, default) = TRIES;
    let tries = args.number("max_attempts")?.unwrap_or(default);
    if !(1..=most).contains(&tries) {
        return Err(Error::invalid("args.max_attempts", format!("expected 1 to {most}")));
    }
    Ok(tries as u32)
}

pub(super) fn register(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let args = &mut call.args;
        let url = args.need_text("url")?;
        let scope = Scope::take(args)?;
        let (headers, timeout, tries) = (headers(args)?, timeout(args)?, tries(args)?);
        call.done()?;
        if url.len() > URL_MAX {
            return Err(Error::invalid("args.url", format!("expected at most {URL_MAX} bytes")));
        }
        let wish = Wish { pattern: scope.pattern, url, headers, timeout, tries };
        let made = call.bus.webhooks().register(&call.bus, &call.ctx, wish).await?;
        let mut members = describe(&made, call.bus.env().clock.now());
        members.insert("secret".to_owned(), made.secret_text().into());
        Ok(Value::Map(members))
    })
}

fn describe(standing: &Standing, now: Timestamp) -> BTreeMap<String, Value> {
    let (rule, progress) = (&standing.rule, standing.progress());
    let receiver = standing.receiver();
    // One that is over is with the rule until the next change.
    let old_secrets = receiver.old_secrets.iter().map(|old| old.until);
    let time = |at: Option<Timestamp>| at.map_or(Value::Null, Value::Time);
    let names: Vec<String> = rule.receiver.headers.iter().map(|(name, _)| name.to_string()).collect();
    let room = rule.pattern.only_room();
    let channel = rule.pattern.only_channel();
    let members = [
        ("rule_id", (*rule.key.id).into()),
        ("url", (*rule.receiver.url).into()),
        ("pattern", rule.pattern.as_str().into()),
        ("room", room.map(|name| name.to_string()).into()),
        ("channel", channel.map(|name| name.to_string()).into()),
        ("headers", names.into()),
        ("timeout_seconds", Value::Float(rule.receiver.timeout.as_secs_f64())),
        ("max_attempts", u64::from(rule.tries).into()),
        ("owner", (*rule.owner).into()),
        ("owner_client_id", (*rule.owner).into()),
        ("created_at", Value::Time(rule.created_at)),
        ("old_secret_until", time(old_secrets.filter(|until| *until > now).max())),
        ("delivered", progress.delivered.into()),
        ("given_up", progress.given_up.into()),
        ("last_delivered_at", time(progress.last_delivered_at)),
        ("failures", u64::from(progress.failures).into()),
        ("problem", progress.problem.into()),
        ("next_try_at", time(progress.next_try_at)),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(super) fn list(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        call.done()?;
        let rules = call.bus.webhooks().list(&call.ctx);
        let count = (rules.len() as u64).into();
        let now = call.bus.env().clock.now();
        let rules = rules.iter().map(|standing| Value::Map(describe(standing, now))).collect();
        Ok(Value::map([("rules", Value::List(rules)), ("count", count)]))
    })
}

fn overlap(args: &mut Args) -> Result<Duration> {
    let (most, default) = OVERLAP_S;
    let seconds = args.decimal("overlap_seconds")?.unwrap_or(default);
    if !(0.0..=most).contains(&seconds) {
        return Err(Error::invalid("args.overlap_seconds", format!("expected 0 to {most}")));
    }
    Ok(Duration::from_secs_f64(seconds))
}

pub(super) fn rotate(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let (id, overlap) = (call.args.need_text("rule_id")?, overlap(&mut call.args)?);
        call.done()?;
        let standing = call.bus.webhooks().rotate(&call.ctx, &id, overlap).await?;
        let mut members = describe(&standing, call.bus.env().clock.now());
        members.insert("secret".to_owned(), standing.secret_text().into());
        Ok(Value::Map(members))
    })
}

pub(super) fn unregister(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let id = call.args.need_text("rule_id")?;
        call.done()?;
        call.bus.webhooks().unregister(&call.bus, &call.ctx, &id).await?;
        Ok(Value::map([("rule_id", id.into())]))
    })
}
