//! The table itself; the rows of the operators stand in files of their own.

mod cron;
mod group;
mod history;
mod inspection;
mod omega;
mod rooms;
mod store;
mod webhook;

use super::ArgKind::{Flag, Json, Number, Text, Texts};
use super::Category::{Channels, Messages, Subscriptions, System};
use super::Method::{Delete, Get, Post, Put};
use super::{Arg, ArgKind, Method, Operation, Reason, Route, messages, policies, subscriptions, system};
use crate::Code;
use crate::auth::Permission;

const fn need(name: &'static str, kind: ArgKind, doc: &'static str) -> Arg {
    Arg { name, kind, required: true, doc }
}
const fn may(name: &'static str, kind: ArgKind, doc: &'static str) -> Arg {
    Arg { name, kind, required: false, doc }
}
const fn at(method: Method, path: &'static str) -> Option<Route> {
    Some(Route { method, path })
}

const fn because(name: &'static str, code: Code, doc: &'static str) -> Reason {
    Reason { name, code, doc }
}

const ADDRESS: Arg = need("address", Text, "`room:channel`, `@agent`, `@skill/NAME` or `@all`");
const SUBSCRIPTION: Arg = need("subscription", Text, "the id that `subscribe` answered with");
const LETTER: Arg = need("id", Text, "the dead letter's id, as `list_dead_letters` shows it");
const PATTERN_ARG: Arg = need("pattern", Text, "channels; `*` is one segment, a trailing `**` one or more");

/// What most operations share; each row of the table overrides what differs.
const BASE: Operation = Operation {
    name: "",
    aliases: &[],
    category: System,
    summary: "",
    args: &[],
    inspected: true,
    answer: "",
    permission: Permission::ChannelAccess,
    per_minute: 0,
    needs_connection: false,
    route: None,
    example: "{}",
    reasons: &[],
    fault: "EXECUTION_ERROR",
    run: system::ping,
};

pub(super) const TABLE: &[Operation] = &[
    Operation {
        name: "ping",
        summary: "Answers at once: shows that the connection and the server live.",
        args: &[may(
            "sent_at",
            Text,
            "when it was sent, by the caller's clock; `latency_ms` is then how long ago that was",
        )],
        answer: "`{message, timestamp, latency_ms, client_id, client_info: {subject, tenant, role, connection, joined}, time, connection}`; without `sent_at`, `latency_ms` is what answering took",
        permission: Permission::ConnectivityTest,
        per_minute: 10,
        reasons: &[because("INVALID_TIMESTAMP", Code::Invalid, "`sent_at` is not a time")],
        fault: "PING_ERROR",
        run: system::ping,
        ..BASE
    },
    Operation {
        name: "help",
        summary: "Lists all commands, or describes one.",
        args: &[may("command", Text, "describe this one")],
        answer: "`{commands: [{name, aliases, category, summary, permission, least_role, per_minute, needs_connection, args, answer, reasons, example}], available_commands, categories, usage}`; `available_commands` names those that the caller's role may use",
        permission: Permission::SystemInfo,
        per_minute: 5,
        route: at(Get, "/api/v1/help"),
        example: r#"{"command":"publish"}"#,
        reasons: &[because("COMMAND_NOT_FOUND", Code::UnknownCommand, "there is no such command")],
        fault: "HELP_ERROR",
        run: system::help,
        ..BASE
    },
    Operation {
        name: "status",
        summary: "How the server does: version, uptime, connections, agents, counters, health.",
        answer: "`{server: {status, uptime, version}, clients, routing, rooms, channels, storage, health: {status, problem?}, timestamp, version, time, uptime_seconds, healthy, problem?, you, connections, agents, metrics?}`; all counts are of the caller's tenant, but `metrics` counts all tenants, for role `system`",
        permission: Permission::SystemInfo,
        per_minute: 5,
        route: at(Get, "/api/v1/status"),
        fault: "STATUS_ERROR",
        run: system::status,
        ..BASE
    },
    Operation {
        name: "create_token",
        summary: "Makes a token. Nobody can give more than they have.",
        args: &[
            need("subject", Text, "who it is for"),
            may("role", Text, "`guest`, `user` (default), `moderator`, `admin` or `system`"),
            may("tenant", Text, "default: the caller's"),
            may("ttl_s", Number, "valid for; default 3600 seconds"),
            may("publish", Texts, "patterns it may publish to; default: what the role may"),
            may("subscribe", Texts, "patterns it may subscribe to; default: what the role may"),
        ],
        answer: "`{token, subject, role, tenant, expires_at}`",
        permission: Permission::AdminCommands,
        per_minute: 600,
        route: at(Post, "/api/v1/tokens"),
        example: r#"{"subject":"planner-1","ttl_s":86400}"#,
        run: system::create_token,
        ..BASE
    },
    Operation {
        name: "publish",
        category: Messages,
        summary: "Publishes one message and answers once it is stored as its class promises.",
        args: &[
            ADDRESS,
            need("payload", Json, "a JSON object"),
            may("priority", Text, "`critical`, `high`, `normal` (default) or `low`"),
            may("metadata", Json, "a JSON object, passed on"),
            may("id", Text, "the message's id; made by the server if absent"),
            may("idempotency_key", Text, "stored once per key and room, for 24 hours"),
            may("correlation_id", Text, "ties an answer to its question"),
            may("reply_to", Text, "where an answer is expected"),
            may("expires_in_ms", Number, "not delivered later than this after now"),
        ],
        answer: "`{id, position, duplicate, room, channel}`",
        example: r#"{"address":"repo:main","payload":{"commit":"a1b2c3"}}"#,
        run: messages::publish,
        inspected: false,
        ..BASE
    },
    Operation {
        name: "request",
        category: Messages,
        summary: "Publishes a question and answers with the first reply.",
        args: &[
            ADDRESS,
            need("payload", Json, "a JSON object"),
            may("timeout_ms", Number, "how long to wait; default 5000, at most 300000"),
        ],
        answer: "the answer as an envelope",
        route: at(Post, "/api/v1/requests"),
        example: r#"{"address":"@skill/translate","payload":{"text":"hello"}}"#,
        run: messages::request,
        inspected: false,
        ..BASE
    },
    Operation {
        name: "register",
        category: Messages,
        summary: "Makes this connection an agent's: its messages carry the agent's name, `@skill/NAME` finds it.",
        args: &[
            need("agent", Text, "the agent's name; the token's subject, unless an admin calls"),
            may("skills", Texts, "what it can do, for `@skill/NAME`"),
        ],
        answer: "`{agent, skills}`",
        needs_connection: true,
        example: r#"{"agent":"planner-1","skills":["plan"]}"#,
        run: subscriptions::register,
        ..BASE
    },
    Operation {
        name: "subscribe",
        category: Subscriptions,
        summary: "Begins a subscription; deliveries carry its id.",
        args: &[
            need("pattern", Text, "`room:channel`, a pattern, `@agent` for the own inbox, or `*`"),
            may("from", Json, "`latest` (default), `earliest`, a position, or an object of room → position"),
            may("durable", Text, "a name: at least once, going on after the last acknowledgement"),
            may(
                "credit",
                Number,
                "deliveries that may be out; durable default 1024, at most 65536; plain unlimited",
            ),
            may("ack_wait_ms", Number, "durable: how long an acknowledgement may take; default 30000"),
            may("max_deliver", Number, "durable: failures before the dead letters; default 5"),
            may("echo", Flag, "plain: also the caller's own messages; default true"),
            may("id", Text, "the id to use; made by the server if absent"),
        ],
        answer: "`{subscription, durable?, positions}`",
        needs_connection: true,
        example: r#"{"pattern":"repo:*","from":"earliest"}"#,
        run: subscriptions::subscribe,
        ..BASE
    },
    Operation {
        name: "unsubscribe",
        category: Subscriptions,
        summary: "Ends a subscription; a durable one keeps its place.",
        args: &[SUBSCRIPTION],
        answer: "`{subscription}`",
        needs_connection: true,
        example: r#"{"subscription":"s1"}"#,
        run: subscriptions::unsubscribe,
        ..BASE
    },
    Operation {
        name: "acknowledge",
        category: Subscriptions,
        summary: "Says that deliveries of a durable subscription are done.",
        args: &[
            SUBSCRIPTION,
            may("position", Text, "one delivery"),
            may("positions", Texts, "several"),
            may("up_to", Text, "everything delivered up to and including this"),
            may("room", Text, "which room, where the subscription spans several"),
            may("confirm", Flag, "answer once the acknowledgement itself is on disk; default false"),
        ],
        answer: "`{acknowledged}`: how many were out",
        needs_connection: true,
        example: r#"{"subscription":"s1","up_to":"5f3a9c1e77b2d041-1024"}"#,
        run: subscriptions::acknowledge,
        ..BASE
    },
    Operation {
        name: "reject",
        category: Subscriptions,
        summary: "Gives a delivery back: it comes again later, and after too many failures goes to the dead letters.",
        args: &[
            SUBSCRIPTION,
            need("position", Text, "the delivery"),
            may("room", Text, "which room, where the subscription spans several"),
            may(
                "delay_ms",
                Number,
                "when it comes again; default 1 s, doubling with each failure up to 5 min",
            ),
            may("reason", Text, "kept with the dead letter"),
        ],
        answer: "`{position}`",
        needs_connection: true,
        example: r#"{"subscription":"s1","position":"5f3a9c1e77b2d041-1024","reason":"no such file"}"#,
        run: subscriptions::reject,
        ..BASE
    },
    Operation {
        name: "credit",
        category: Subscriptions,
        summary: "Lets a plain subscription that was made with `credit` have more deliveries.",
        args: &[SUBSCRIPTION, need("add", Number, "how many more")],
        answer: "`{subscription}`",
        needs_connection: true,
        example: r#"{"subscription":"s1","add":100}"#,
        run: subscriptions::credit,
        ..BASE
    },
    Operation {
        name: "list_subscriptions",
        category: Subscriptions,
        summary: "The durable subscriptions of the tenant, and how far each has come.",
        answer: "`{subscriptions: [{name, pattern, held, rooms: [{room, seen, pending}]}]}`",
        permission: Permission::ChannelView,
        per_minute: 600,
        route: at(Get, "/api/v1/subscriptions"),
        run: subscriptions::list,
        ..BASE
    },
    Operation {
        name: "delete_subscription",
        category: Subscriptions,
        summary: "Forgets a durable subscription and its place.",
        args: &[need("name", Text, "its durable name")],
        answer: "`{name}`",
        permission: Permission::ChannelManagement,
        route: at(Delete, "/api/v1/subscriptions/{name}"),
        example: r#"{"name":"worker"}"#,
        run: subscriptions::delete,
        ..BASE
    },
    Operation {
        name: "list_dead_letters",
        category: Subscriptions,
        summary: "Messages that a durable subscription gave up, with the reason.",
        args: &[
            may("subscription", Text, "only those of this durable name"),
            may("limit", Number, "how many; default 50, at most 1000"),
            may("cursor", Text, "go on after this, as the last answer gave it"),
        ],
        answer: "`{dead_letters: [{id, subscription, reason, deliveries, at, message}], cursor?}`",
        permission: Permission::ChannelManagement,
        route: at(Get, "/api/v1/dead-letters"),
        example: r#"{"subscription":"worker"}"#,
        run: messages::list_dead_letters,
        ..BASE
    },
    Operation {
        name: "get_dead_letter",
        category: Subscriptions,
        summary: "One dead letter.",
        args: &[LETTER],
        answer: "`{id, subscription, reason, deliveries, at, message}`",
        permission: Permission::ChannelManagement,
        route: at(Get, "/api/v1/dead-letters/{id}"),
        example: r#"{"id":"worker/repo/5f3a9c1e77b2d041-1024"}"#,
        run: messages::get_dead_letter,
        ..BASE
    },
    Operation {
        name: "replay_dead_letter",
        category: Subscriptions,
        summary: "Publishes a dead letter again to where it was, then removes it; stored once even if repeated.",
        args: &[LETTER],
        answer: "`{id, position, duplicate, room, channel}`",
        permission: Permission::ChannelManagement,
        route: at(Post, "/api/v1/dead-letters/{id}/replay"),
        example: r#"{"id":"worker/repo/5f3a9c1e77b2d041-1024"}"#,
        run: messages::replay_dead_letter,
        ..BASE
    },
    Operation {
        name: "delete_dead_letter",
        category: Subscriptions,
        summary: "Removes a dead letter for good.",
        args: &[LETTER],
        answer: "`{id}`",
        permission: Permission::ChannelManagement,
        route: at(Delete, "/api/v1/dead-letters/{id}"),
        example: r#"{"id":"worker/repo/5f3a9c1e77b2d041-1024"}"#,
        run: messages::delete_dead_letter,
        ..BASE
    },
    rooms::LIST_ROOMS,
    rooms::CREATE,
    rooms::DELETE,
    rooms::JOIN,
    rooms::LEAVE,
    rooms::LIST,
    rooms::INFO,
    rooms::HISTORY,
    Operation {
        name: "list_policies",
        category: Channels,
        summary: "The delivery policies in force, in the order in which they are tried.",
        answer: "`{policies: [{pattern, class, history, max_age_s?, max_bytes?, max_records?, source}]}`",
        permission: Permission::ChannelView,
        route: at(Get, "/api/v1/policies"),
        run: policies::list_policies,
        ..BASE
    },
    Operation {
        name: "set_policy",
        category: Channels,
        summary: "Sets class, history and retention of the channels that a pattern matches; tried before older rules.",
        args: &[
            PATTERN_ARG,
            need("class", Text, "`durable`, `history` or `ephemeral`"),
            may("history", Number, "history: messages kept per channel; default 500, at most 100000"),
            may("max_age_s", Number, "durable: keep no longer than this many seconds"),
            may("max_bytes", Number, "durable: keep no more bytes per room"),
            may("max_records", Number, "durable: keep no more messages per room"),
        ],
        answer: "`{pattern}`",
        permission: Permission::AdminCommands,
        route: at(Put, "/api/v1/policies/{pattern}"),
        example: r#"{"pattern":"terminal:**","class":"ephemeral"}"#,
        run: policies::set_policy,
        ..BASE
    },
    Operation {
        name: "delete_policy",
        category: Channels,
        summary: "Removes a rule that `set_policy` has set.",
        args: &[PATTERN_ARG],
        answer: "`{pattern}`",
        permission: Permission::AdminCommands,
        route: at(Delete, "/api/v1/policies/{pattern}"),
        example: r#"{"pattern":"terminal:**"}"#,
        run: policies::delete_policy,
        ..BASE
    },
    history::GET,
    history::REPLAY,
    store::SET,
    store::GET,
    store::DELETE,
    store::LIST,
    store::HISTORY,
    cron::SCHEDULE,
    cron::LIST,
    cron::GET,
    cron::CANCEL,
    cron::PAUSE,
    cron::RESUME,
    webhook::REGISTER,
    webhook::LIST,
    webhook::ROTATE,
    webhook::UNREGISTER,
    group::JOIN,
    group::MEMBERS,
    group::DISPATCH,
    omega::STATUS,
    omega::REGISTER,
    omega::LIST,
    omega::UNREGISTER,
    omega::EMIT,
    omega::EVENTS,
    omega::CLEAR,
    inspection::GET,
    inspection::RELOAD,
];
