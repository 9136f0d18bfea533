//! Groups of operators: agents that join a group get its work, one of them in turn, all of them, or all with the first
//! answer counting. A group is what `@skill/NAME` finds, so that work may also simply be published there.
//!
//! Invariant: work goes into the durable inboxes of members and to nobody else: what a member does not acknowledge comes
//! to it again.

use crate::bus::{Bus, Connection, Publish, Receipt};
use crate::message::Extras;
use crate::{AgentId, Code, Ctx, Error, Principal, Record, Result, Role, Target};
use bytes::Bytes;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Who gets a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// One member; turns go round.
    RoundRobin,
    /// All members; the first answer counts.
    Competing,
    /// All members; every answer counts.
    Broadcast,
}

impl Strategy {
    const ALL: [Strategy; 3] = [Strategy::RoundRobin, Strategy::Competing, Strategy::Broadcast];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Strategy::RoundRobin => "round_robin",
            Strategy::Competing => "competing",
            Strategy::Broadcast => "broadcast",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Strategy> {
        let found = Strategy::ALL.into_iter().find(|s| s.as_str() == text);
        found.ok_or_else(|| {
            Error::invalid("args.strategy", "expected `round_robin`, `competing` or `broadcast`")
        })
    }
}

/// A piece of work.
pub(crate) struct Work {
    pub(crate) group: String,
    /// One raw JSON object.
    pub(crate) payload: Bytes,
    pub(crate) strategy: Strategy,
    /// How long to wait for answers; none is waited for if absent.
    pub(crate) wait: Option<Duration>,
}

/// What became of a piece of work.
pub(crate) struct Dispatched {
    /// Where it was stored: the inboxes of those who got it.
    pub(crate) receipts: Vec<Receipt>,
    /// Answers, in the order in which they came.
    pub(crate) answers: Vec<Arc<Record>>,
}

/// Makes the caller's agent a member for as long as its connection lives; answers with its name.
pub(crate) fn join(bus: &Bus, ctx: &Ctx, connection: &Connection, group: &str) -> Result<AgentId> {
    target(group)?;
    let agent = AgentId::parse(&connection.ctx().sender)
        .map_err(|e| e.with_field("command").with_hint("`register` gives this connection an agent's name"))?;
    let known = bus.agents(ctx).into_iter().find(|(other, _)| *other == agent);
    let mut skills = known.map_or_else(Vec::new, |(_, skills)| skills);
    if !skills.iter().any(|skill| skill == group) {
        skills.push(group.to_owned());
    }
    connection.register(agent.clone(), skills)?;
    Ok(agent)
}

/// Who is online and has joined.
pub(crate) fn members(bus: &Bus, ctx: &Ctx, group: &str) -> Vec<AgentId> {
    let has = |skills: &[String]| skills.iter().any(|skill| skill == group);
    bus.agents(ctx).into_iter().filter(|(_, skills)| has(skills)).map(|(agent, _)| agent).collect()
}

/// Gives work to members, and collects their answers if they are waited for.
pub(crate) async fn dispatch(bus: &Bus, ctx: &Ctx, work: Work) -> Result<Dispatched> {
    let one = target(&work.group)?;
    ctx.require_publish(&one)?;
    let targets = match work.strategy {
        Strategy::RoundRobin => vec![one],
        _ => members(bus, ctx, &work.group).into_iter().map(Target::Inbox).collect(),
    };
    if targets.is_empty() {
        return Err(nobody(&work.group));
    }
    let batch = targets.into_iter().map(|target| message(&work, target)).collect();
    // The right to the group was asked for; the inboxes of its members come with it.
    let giver = Ctx { principal: Arc::new(giver(ctx)), ..ctx.clone() };
    match work.wait {
        None => {
            let receipts = stored(bus.publish(&giver, batch).await, &work.group)?;
            Ok(Dispatched { receipts, answers: Vec::new() })
        }
        Some(wait) => ask(bus, &giver, (work, batch), wait).await,
    }
}

async fn ask(
    bus: &Bus,
    ctx: &Ctx,
    (work, batch): (Work, Vec<Publish>),
    wait: Duration,
) -> Result<Dispatched> {
    bus.check_timeout(wait)?;
    let (mut questions, at) = (bus.questions::<()>(ctx), bus.moment());
    let asked = batch.into_iter().map(|publish| questions.ask(publish, wait, (), at));
    let (numbers, batch): (Vec<u64>, Vec<Publish>) = asked.collect::<Vec<_>>().into_iter().unzip();
    questions.announce();
    let results = bus.publish(ctx, batch).await;
    for (number, result) in numbers.into_iter().zip(&results) {
        if result.is_err() {
            questions.refused(number);
        }
    }
    let receipts = stored(results, &work.group)?;
    let mut answers = Vec::new();
    loop {
        let next = std::future::poll_fn(|cx| match questions.poll(cx) {
            Some(((), answer)) => Poll::Ready(Some(answer)),
            None if questions.is_empty() => Poll::Ready(None),
            None => Poll::Pending,
        });
        match next.await {
            // Whose time is over has not answered; the others have.
            Some(Err(_)) => {}
            Some(Ok(answer)) => answers.push(answer.into_record(ctx.tenant())),
            None => break,
        }
        if work.strategy == Strategy::Competing && !answers.is_empty() {
            break;
        }
    }
    Ok(Dispatched { receipts, answers })
}

/// The receipts of those that were stored; an error if none was.
fn stored(results: Vec<Result<Receipt>>, group: &str) -> Result<Vec<Receipt>> {
    let (good, bad): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let receipts: Vec<Receipt> = good.into_iter().flatten().collect();
    match bad.into_iter().find_map(Result::err) {
        Some(error) if receipts.is_empty() && error.field() == Some("to") => Err(nobody(group)),
        Some(error) if receipts.is_empty() => Err(error),
        _ => Ok(receipts),
    }
}

fn target(group: &str) -> Result<Target> {
    Target::parse(&format!("@skill/{group}")).map_err(|e| e.with_field("args.group"))
}

fn message(work: &Work, target: Target) -> Publish {
    let metadata = format!(r#"{{"group":"{}","strategy":"{}"}}"#, work.group, work.strategy.as_str());
    let extras = Extras { metadata: Some(metadata.into()), ..Extras::default() };
    let mut publish = Publish::new(target, work.payload.clone());
    publish.extras = Some(Box::new(extras));
    publish
}

fn giver(ctx: &Ctx) -> Principal {
    Principal { role: Role::System, publish: None, ..(*ctx.principal).clone() }
}

fn nobody(group: &str) -> Error {
    Error::new(Code::Unavailable, format!("nobody has joined the group `{group}`"))
        .with_reason("NO_MEMBERS")
        .with_field("args.group")
        .with_hint("start an operator (`op.group.join`), or try again later")
}
