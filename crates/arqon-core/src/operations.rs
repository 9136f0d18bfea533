//! The one table of operations: name, arguments, right, rate, route and dispatch. Every door and every document is
//! made from it; there is no second list.

mod messages;
mod rooms;
mod subscriptions;
mod system;
mod table;

use crate::auth::Permission;
use crate::bus::{Bus, Connection, Publish};
use crate::value::{Args, Value};
use crate::{Code, Ctx, Error, Result};
use futures_util::future::BoxFuture;
use std::sync::LazyLock;
use std::time::Duration;

pub use subscriptions::read_from;

/// The type of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgKind {
    /// Text.
    Text,
    /// A whole number, 0 or more.
    Number,
    /// True or false.
    Flag,
    /// A list of texts.
    Texts,
    /// Any JSON value.
    Json,
}

impl ArgKind {
    /// The word in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            ArgKind::Text => "string",
            ArgKind::Number => "integer",
            ArgKind::Flag => "boolean",
            ArgKind::Texts => "list of strings",
            ArgKind::Json => "any",
        }
    }
}

/// One argument.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// Its name on every wire.
    pub name: &'static str,
    /// Its type.
    pub kind: ArgKind,
    /// Whether it must be there.
    pub required: bool,
    /// What it means, with unit and default.
    pub doc: &'static str,
}

/// The method of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes or does.
    Post,
    /// Sets.
    Put,
    /// Removes.
    Delete,
}

/// Where HTTP has the operation; `{x}` in the path is the argument `x`.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: &'static str,
}

/// One operation.
pub struct Operation {
    /// Its name on every wire.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// What it takes.
    pub args: &'static [Arg],
    /// What it answers with, for documents.
    pub answer: &'static str,
    /// The right it needs.
    pub permission: Permission,
    /// Calls of one principal in a minute; 0 is no limit.
    pub per_minute: u32,
    /// Whether it works only through a live connection.
    pub needs_connection: bool,
    /// Its HTTP route, if it has one.
    pub route: Option<Route>,
    /// Arguments that work, as JSON.
    pub example: &'static str,
    pub(crate) run: fn(Call) -> BoxFuture<'static, Result<Value>>,
}

/// One call of an operation.
pub(crate) struct Call {
    pub(crate) bus: Bus,
    pub(crate) ctx: Ctx,
    pub(crate) connection: Option<Connection>,
    pub(crate) args: Args,
    pub(crate) operation: &'static Operation,
}

impl Call {
    /// The arguments; refuses unknown ones, so that a typing error never passes for a default.
    fn done(&mut self) -> Result<()> {
        finish(self.operation, std::mem::take(&mut self.args))
    }

    fn connection(&self) -> Result<&Connection> {
        self.connection.as_ref().ok_or_else(|| {
            let text = format!("`{}` works only through a live connection", self.operation.name);
            Error::new(Code::Invalid, text)
                .with_field("command")
                .with_hint("use the WebSocket at /ws; over HTTP, GET /api/v1/events streams a subscription")
        })
    }
}

fn finish(operation: &Operation, args: Args) -> Result<()> {
    if args.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = operation.args.iter().map(|a| a.name).collect();
    args.finish(&names)
}

impl Bus {
    /// The first half of the operation `request`, for a door that has many questions under way (see
    /// [`crate::bus::Questions`]): admits it and reads its arguments.
    pub fn admit_request(&self, ctx: &Ctx, mut args: Args) -> Result<(Publish, Duration)> {
        let operation = admit(self, ctx, "request")?;
        let (publish, timeout) = messages::question(&mut args)?;
        finish(operation, args)?;
        self.check_timeout(timeout)?;
        Ok((publish, timeout))
    }

    /// The same for arguments that a door has read already: answers with how long to wait.
    pub fn admit_question(&self, ctx: &Ctx, timeout_ms: Option<u64>) -> Result<Duration> {
        static REQUEST: LazyLock<Option<&Operation>> = LazyLock::new(|| find("request"));
        let operation = REQUEST.ok_or_else(|| unknown("request"))?;
        admit_to(operation, self, ctx)?;
        let timeout = messages::timeout(timeout_ms);
        self.check_timeout(timeout)?;
        Ok(timeout)
    }

    /// The one dispatcher of named operations: finds it in the table, checks right and rate, runs it.
    pub async fn call(
        &self,
        ctx: &Ctx,
        connection: Option<&Connection>,
        name: &str,
        args: Args,
    ) -> Result<Value> {
        let answer = match admit(self, ctx, name) {
            Ok(operation) => {
                let (bus, ctx, connection) = (self.clone(), ctx.clone(), connection.cloned());
                (operation.run)(Call { bus, ctx, connection, args, operation }).await
            }
            Err(refused) => Err(refused),
        };
        self.count_answer(answer.is_err());
        answer
    }
}

/// Says which operation it was that failed by a fault of ours, and holds the reasons to the table.
fn reasoned(operation: &Operation, error: Error) -> Error {
    if error.code() == Code::Internal && error.reason().is_none() {
        return error.with_reason(operation.fault);
    }
    let listed = |name: &str| operation.reasons.iter().any(|r| r.name == name && r.code == error.code());
    debug_assert!(error.reason().is_none_or(listed), "{}: {error:?} is not in its row", operation.name);
    error
}

fn admit(bus: &Bus, ctx: &Ctx, name: &str) -> Result<&'static Operation> {
    let operation = find(name).ok_or_else(|| unknown(name))?;
    admit_to(operation, bus, ctx)?;
    Ok(operation)
}

fn admit_to(operation: &'static Operation, bus: &Bus, ctx: &Ctx) -> Result<()> {
    // The clock is read only where it matters.
    if ctx.principal.expires_at.is_some() {
        ctx.check_fresh(bus.env().clock.now())?;
    }
    ctx.require(operation.permission)?;
    bus.count_call(ctx, operation.name, operation.per_minute)
}

/// Every operation, in the order of the documents.
pub fn all() -> &'static [Operation] {
    table::TABLE
}

/// The operation of that name.
pub fn find(name: &str) -> Option<&'static Operation> {
    all().iter().find(|o| o.name == name)
}

/// The error for a name that is none, with the nearest that is.
pub fn unknown(name: &str) -> Error {
    let shown: String = name.chars().take(64).collect();
    let nearest = all().iter().min_by_key(|o| distance(o.name, &shown)).map_or("help", |o| o.name);
    Error::new(Code::UnknownCommand, format!("there is no command `{shown}`"))
        .with_field("command")
        .with_hint(format!("did you mean `{nearest}`? `help` lists all commands"))
}

/// Edits between two short words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut left_above = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            let swap = left_above + usize::from(x != *y);
            row[j + 1] = swap.min(above + 1).min(row[j] + 1);
            left_above = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_routes_name_arguments() {
        for (i, operation) in all().iter().enumerate() {
            assert!(all()[..i].iter().all(|other| other.name != operation.name), "{}", operation.name);
            let Some(route) = operation.route else { continue };
            for part in route.path.split('/').filter_map(|p| p.strip_prefix('{')) {
                let name = part.trim_end_matches('}');
                let arg = operation.args.iter().find(|a| a.name == name);
                assert!(arg.is_some_and(|a| a.required), "{}: {name}", operation.name);
            }
        }
    }

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        assert!(unknown("histroy").hint().unwrap().contains("`history`"));
    }
}
