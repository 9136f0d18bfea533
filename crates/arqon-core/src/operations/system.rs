//! `ping`, `help`, `status`, `create_token`.

use super::moment::moment;
use super::{Call, Category, Operation, all, find, unknown};
use crate::pattern::Pattern;
use crate::port::Grant;
use crate::value::Value;
use crate::{Code, Error, Result, Role, Tenant};
use futures_util::future::BoxFuture;
use std::time::Duration;

/// Longest life of a token that a command makes: ten years.
const TTL_MAX_S: u64 = 10 * 365 * 24 * 3600;

pub(super) fn ping(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let began = call.bus.env().clock.monotonic();
        let sent_at = moment(&mut call.args, "sent_at")?;
        call.done()?;
        let clock = &call.bus.env().clock;
        let now = clock.now();
        let took = sent_at.map_or_else(|| clock.monotonic().saturating_sub(began), |at| now.since(at));
        let ctx = &call.ctx;
        let joined = call.connection.iter().flat_map(|connection| connection.joined());
        let info = Value::map([
            ("subject", (*ctx.principal.subject).into()),
            ("tenant", ctx.tenant().as_str().into()),
            ("role", ctx.principal.role.as_str().into()),
            ("connection", ctx.connection.into()),
            ("joined", joined.map(|address| address.to_string()).collect::<Vec<_>>().into()),
        ]);
        Ok(Value::map([
            ("message", "Pong!".into()),
            ("timestamp", Value::Time(now)),
            ("latency_ms", number(took.as_secs_f64() * 1000.0)),
            ("client_id", (*ctx.sender).into()),
            ("client_info", info),
            ("time", Value::Time(now)),
            ("connection", ctx.connection.into()),
        ]))
    })
}

pub(super) fn help(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let wanted = call.args.text("command")?;
        call.done()?;
        if let Some(name) = wanted {
            let none = || unknown(&name).with_reason("COMMAND_NOT_FOUND");
            let list = vec![describe(find(&name).ok_or_else(none)?)];
            return Ok(Value::map([("commands", Value::List(list))]));
        }
        let role = call.ctx.principal.role;
        let available = all().iter().filter(|o| role >= o.permission.least_role());
        let named = |category: Category| {
            let names = all().iter().filter(|o| o.category == category).map(|o| o.name);
            (category.as_str().to_owned(), Value::from(names.collect::<Vec<_>>()))
        };
        Ok(Value::map([
            ("commands", Value::List(all().iter().map(describe).collect())),
            ("available_commands", available.map(|o| o.name).collect::<Vec<_>>().into()),
            ("categories", Value::Map(Category::ALL.into_iter().map(named).collect())),
            (
                "usage",
                r#"`{"type":"command","command":NAME,"args":{…}}`; `help` with `command` describes one"#
                    .into(),
            ),
        ]))
    })
}

fn describe(operation: &Operation) -> Value {
    let args = operation.args.iter().map(|arg| {
        Value::map([
            ("name", arg.name.into()),
            ("type", arg.kind.as_str().into()),
            ("required", arg.required.into()),
            ("doc", arg.doc.into()),
        ])
    });
    let reasons = operation.reasons.iter().map(|reason| {
        Value::map([
            ("reason", reason.name.into()),
            ("code", reason.code.as_str().into()),
            ("doc", reason.doc.into()),
        ])
    });
    Value::map([
        ("name", operation.name.into()),
        ("aliases", operation.aliases.to_vec().into()),
        ("category", operation.category.as_str().into()),
        ("summary", operation.summary.into()),
        ("permission", operation.permission.as_str().into()),
        ("least_role", operation.permission.least_role().as_str().into()),
        ("per_minute", u64::from(operation.per_minute).into()),
        ("needs_connection", operation.needs_connection.into()),
        ("args", Value::List(args.collect())),
        ("answer", operation.answer.into()),
        ("reasons", Value::List(reasons.collect())),
        ("example", Value::Raw(operation.example.into())),
    ])
}

pub(super) fn status(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        call.done()?;
        let (bus, ctx) = (&call.bus, &call.ctx);
        let problem = bus.readiness().err().map(|e| e.to_string());
        let uptime = bus.uptime().as_secs_f64();
        // They count all tenants: no count crosses the wall between them.
        let numbers = || bus.metrics().into_iter().map(|m| (m.name.to_owned(), number(m.value))).collect();
        let metrics_for_all =
            if ctx.principal.role == Role::System { Value::Map(numbers()) } else { Value::Null };
        let you = Value::map([
            ("subject", (*ctx.principal.subject).into()),
            ("tenant", ctx.tenant().as_str().into()),
            ("role", ctx.principal.role.as_str().into()),
            ("expires_at", ctx.principal.expires_at.map_or(Value::Null, Value::Time)),
        ]);
        let agents = bus
            .agents(ctx)
            .into_iter()
            .map(|(agent, skills)| Value::map([("agent", agent.as_str().into()), ("skills", skills.into())]));
        let now = Value::Time(bus.env().clock.now());
        let seen = bus.overview(ctx).await;
        let count = |n: usize| Value::map([("total", (n as u64).into())]);
        let word = |fine: &str, not: &str| Value::from(if problem.is_none() { fine } else { not });
        let server = Value::map([
            ("status", "running".into()),
            ("uptime", number(uptime.floor())),
            ("version", bus.version().into()),
        ]);
        let routing = Value::map([("subscriptions", (seen.subscriptions as u64).into())]);
        let channels = Value::map([("joined", (seen.joined as u64).into())]);
        let health =
            Value::map([("status", word("healthy", "unhealthy")), ("problem", problem.clone().into())]);
        Ok(Value::map([
            ("server", server),
            ("clients", count(bus.connections(ctx).len())),
            ("routing", routing),
            ("rooms", seen.rooms.map_or(Value::Null, count)),
            ("channels", channels),
            ("storage", Value::map([("status", word("ready", "away"))])),
            ("health", health),
            ("timestamp", now.clone()),
            ("version", bus.version().into()),
            ("time", now),
            ("uptime_seconds", number(uptime.floor())),
            ("healthy", problem.is_none().into()),
            ("problem", problem.into()),
            ("you", you),
            ("agents", Value::List(agents.collect())),
            ("connections", connections(&call)),
            ("metrics", metrics_for_all),
        ]))
    })
}

fn connections(call: &Call) -> Value {
    let list = call.bus.connections(&call.ctx).into_iter().map(|(id, ctx, info)| {
        Value::map([
            ("connection", id.into()),
            ("subject", (*ctx.principal.subject).into()),
            ("sender", (*ctx.sender).into()),
            ("transport", info.transport.into()),
            ("peer", info.peer.into()),
        ])
    });
    Value::List(list.collect())
}

fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { Value::Int(value as i64) } else { Value::Float(value) }
}

pub(super) fn create_token(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let args = &mut call.args;
        let subject = args.need_text("subject")?;
        if subject.is_empty() || subject.len() > 128 {
            return Err(Error::invalid("args.subject", "expected 1 to 128 characters"));
        }
        let role = Role::parse(&args.text("role")?.unwrap_or_else(|| "user".to_owned()))?;
        let tenant = match args.text("tenant")? {
            Some(text) => Tenant::parse(&text)?,
            None => call.ctx.tenant().clone(),
        };
        let ttl_s = args.number("ttl_s")?.unwrap_or(3600);
        if !(1..=TTL_MAX_S).contains(&ttl_s) {
            return Err(Error::invalid("args.ttl_s", format!("expected 1 to {TTL_MAX_S}")));
        }
        let publish = patterns(args.texts("publish")?, "publish")?;
        let subscribe = patterns(args.texts("subscribe")?, "subscribe")?;
        call.done()?;
        let grant = Grant { subject, tenant, role, publish, subscribe, ttl: Duration::from_secs(ttl_s) };
        check_grant(&call, &grant)?;
        let token = call.bus.tokens().issue(&grant)?;
        let expires_at = call.bus.env().clock.now().plus(grant.ttl);
        Ok(Value::map([
            ("token", token.into()),
            ("subject", grant.subject.into()),
            ("role", grant.role.as_str().into()),
            ("tenant", grant.tenant.as_str().into()),
            ("expires_at", Value::Time(expires_at)),
        ]))
    })
}

fn patterns(texts: Vec<String>, name: &str) -> Result<Option<Vec<Pattern>>> {
    if texts.is_empty() {
        return Ok(None);
    }
    let list = texts.iter().map(|t| Pattern::parse(t).map_err(|e| e.with_field(format!("args.{name}"))));
    list.collect::<Result<Vec<_>>>().map(Some)
}

/// Nobody can give more than they have.
fn check_grant(call: &Call, grant: &Grant) -> Result<()> {
    let me = &call.ctx.principal;
    let refuse = |text: String| Err(Error::new(Code::Forbidden, text));
    if grant.role > me.role {
        return refuse(format!(
            "your role is `{}`; you cannot give `{}`",
            me.role.as_str(),
            grant.role.as_str()
        ));
    }
    if grant.tenant != me.tenant && me.role < Role::System {
        return refuse(format!("your tenant is `{}`; you cannot give `{}`", me.tenant, grant.tenant));
    }
    for (mine, theirs, verb) in
        [(&me.publish, &grant.publish, "publish to"), (&me.subscribe, &grant.subscribe, "subscribe to")]
    {
        let Some(mine) = mine else { continue };
        let within = |p: &Pattern| mine.iter().any(|m| m.covers(p));
        if theirs.as_ref().is_none_or(|list| !list.iter().all(within)) {
            return refuse(format!("the new token could {verb} more than yours"));
        }
    }
    Ok(())
}
