//! The one table of operations: name, arguments, right, rate, reasons, route and dispatch. Every door, `help` and every
//! document is made from it; there is no second list.

mod cron;
mod group;
mod history;
mod inspection;
mod messages;
mod moment;
mod omega;
mod policies;
mod rooms;
mod store;
mod subscriptions;
mod system;
mod table;
mod webhook;

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
    /// Any number, 0 or more.
    Decimal,
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
            ArgKind::Decimal => "number",
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

impl Method {
    /// The word of HTTP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

/// Where HTTP has the operation; `{x}` in the path is the argument `x`.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: &'static str,
}

/// What an operation is about; documents and `help` are ordered by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// The server itself, and this connection to it.
    System,
    /// Sending and asking.
    Messages,
    /// Receiving, and what could not be handled.
    Subscriptions,
    /// Rooms, channels and how they deliver.
    Channels,
    /// Versioned values under keys.
    Store,
    /// Messages that are sent later, or again and again.
    Cron,
    /// Messages that are posted to receivers outside.
    Webhooks,
    /// Operators that share work.
    Groups,
    /// The lane for experiments.
    Omega,
    /// What content inspection looks for and does.
    Inspection,
}

impl Category {
    /// All of them, in the order of the documents.
    pub const ALL: [Category; 10] = [
        Category::System,
        Category::Messages,
        Category::Subscriptions,
        Category::Channels,
        Category::Store,
        Category::Cron,
        Category::Webhooks,
        Category::Groups,
        Category::Omega,
        Category::Inspection,
    ];

    /// The word in documents and in `help`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Category::System => "system",
            Category::Messages => "messages",
            Category::Subscriptions => "subscriptions",
            Category::Channels => "channels",
            Category::Store => "store",
            Category::Cron => "cron",
            Category::Webhooks => "webhooks",
            Category::Groups => "groups",
            Category::Omega => "omega",
            Category::Inspection => "inspection",
        }
    }
}

/// A cause of a refusal that callers may want to tell from others of the same code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// Its name on every wire, beside the code.
    pub name: &'static str,
    /// The code that it comes with.
    pub code: Code,
    /// When it is given.
    pub doc: &'static str,
}

/// One operation.
#[derive(Clone, Copy)]
pub struct Operation {
    /// Its name on every wire.
    pub name: &'static str,
    /// Other names that it answers to.
    pub aliases: &'static [&'static str],
    /// What it is about.
    pub category: Category,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// What it takes.
    pub args: &'static [Arg],
    /// Whether content inspection judges the arguments. Those of a message are judged with the message.
    pub inspected: bool,
    /// What it answers with, for documents.
    pub answer: &'static str,
    /// The right it needs.
    pub permission: Permission,
    /// Calls of one principal in a minute, a hundred times as many for admins; 0 is no limit.
    pub per_minute: u32,
    /// Whether it works only through a live connection.
    pub needs_connection: bool,
    /// Its HTTP route, if it has one.
    pub route: Option<Route>,
    /// Arguments that work, as JSON.
    pub example: &'static str,
    /// Its own causes of refusal; what any operation may answer with is not repeated.
    pub reasons: &'static [Reason],
    /// The reason that goes with `INTERNAL_ERROR`.
    pub fault: &'static str,
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
        let operation = question().ok_or_else(|| unknown("request"))?;
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
        mut args: Args,
    ) -> Result<Value> {
        let (begun, found) = (self.begin_call(), find(name));
        let admitted = found.ok_or_else(|| unknown(name));
        let answer = match admitted.and_then(|operation| self.admit_call(ctx, operation, &mut args)) {
            Ok(operation) => {
                let (bus, ctx, connection) = (self.clone(), ctx.clone(), connection.cloned());
                let answer = (operation.run)(Call { bus, ctx, connection, args, operation }).await;
                answer.map_err(|error| reasoned(operation, error))
            }
            Err(refused) => Err(refused),
        };
        self.end_call(begun);
        self.tell_call(ctx, name, answer.as_ref().err());
        self.count_answer(found, answer.is_err());
        answer
    }

    /// The operation of a call that may be made, with what it carries as it may go on.
    fn admit_call(
        &self,
        ctx: &Ctx,
        operation: &'static Operation,
        args: &mut Args,
    ) -> Result<&'static Operation> {
        admit_to(operation, self, ctx)?;
        if operation.inspected {
            self.inspect_command(ctx, operation.name, args)?;
        }
        Ok(operation)
    }
}

/// Says which operation it was that failed by a fault of ours, and holds the reasons to the table.
fn reasoned(operation: &Operation, error: Error) -> Error {
    if error.code() == Code::Internal && error.reason().is_none() {
        return error.with_reason(operation.fault);
    }
    let listed = |name: &str| operation.reasons.iter().any(|r| r.name == name && r.code == error.code());
    // What any operation may be refused for is not in each row.
    let blocked = |name: &str| crate::inspect::Reason::ALL.iter().any(|r| r.as_str() == name);
    let known = error.reason().is_none_or(|name| listed(name) || blocked(name));
    debug_assert!(known, "{}: {error:?} is not in its row", operation.name);
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

/// The operation of that name, or of that other name.
pub fn find(name: &str) -> Option<&'static Operation> {
    all().iter().find(|o| o.name == name).or_else(|| all().iter().find(|o| o.aliases.contains(&name)))
}

/// The operation that asks an agent, which doors find on every message.
pub(crate) fn question() -> Option<&'static Operation> {
    static REQUEST: LazyLock<Option<&Operation>> = LazyLock::new(|| find("request"));
    *REQUEST
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
        let mut names: Vec<&str> =
            all().iter().flat_map(|o| o.aliases.iter().copied().chain([o.name])).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a name or an alias is there twice");
        for operation in all() {
            let Some(route) = operation.route else { continue };
            for part in route.path.split('/').filter_map(|p| p.strip_prefix('{')) {
                let name = part.trim_end_matches('}');
                assert!(operation.args.iter().any(|a| a.name == name), "{}: {name}", operation.name);
            }
        }
    }

    #[test]
    fn rows_stand_by_category_and_their_reasons_are_names() {
        assert!(all().is_sorted_by_key(|o| o.category), "the documents go by category");
        for operation in all() {
            let names = operation.reasons.iter().map(|r| r.name).chain([operation.fault]);
            for name in names {
                let fine = |b: u8| b.is_ascii_uppercase() || b == b'_';
                assert!(!name.is_empty() && name.bytes().all(fine), "{}: {name}", operation.name);
                assert!(Code::parse(name).is_none(), "{}: {name} is a code", operation.name);
            }
            assert!(operation.reasons.iter().all(|r| !r.doc.is_empty()), "{}", operation.name);
            assert!(
                operation.example.starts_with('{') && operation.example.ends_with('}'),
                "{}",
                operation.name
            );
        }
    }

    #[test]
    fn every_name_leads_to_its_row() {
        for operation in all() {
            for name in operation.aliases.iter().chain([&operation.name]) {
                assert_eq!(find(name).map(|o| o.name), Some(operation.name));
            }
        }
    }

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        assert!(unknown("histroy").hint().unwrap().contains("`history`"));
    }
}
