//! The rows of `op.group.*`.

use super::{BASE, Operation, at, because, may, need};
use crate::Code;
use crate::auth::Permission;
use crate::operations::ArgKind::{Json, Number, Text};
use crate::operations::Method::{Get, Post};
use crate::operations::{Arg, Category, group};

const GROUP: Arg = need("group", Text, "the group; it is there as long as it has members");

/// What the rows share.
const ROW: Operation = Operation { category: Category::Groups, ..BASE };

pub(super) const JOIN: Operation = Operation {
    name: "op.group.join",
    aliases: &["operator.join"],
    summary: "Makes this connection's agent (by `register`, else the token's subject) a member of a group of operators for as long as the connection lives. Work comes into its inbox: subscribe to `@AGENT`.",
    args: &[GROUP],
    answer: "`{group, agent, members}`; `members` counts them",
    needs_connection: true,
    example: r#"{"group":"translators"}"#,
    run: group::join,
    ..ROW
};

pub(super) const MEMBERS: Operation = Operation {
    name: "op.group.members",
    summary: "The members of a group that are online.",
    args: &[GROUP],
    answer: "`{group, members, count}`",
    permission: Permission::ChannelView,
    route: at(Get, "/api/v1/groups/{group}"),
    example: r#"{"group":"translators"}"#,
    run: group::members,
    ..ROW
};

pub(super) const DISPATCH: Operation = Operation {
    name: "op.group.dispatch",
    summary: "Gives work to a group: stored in the inboxes of those who get it, and delivered until they acknowledge it.",
    args: &[
        GROUP,
        need("payload", Json, "a JSON object"),
        may(
            "strategy",
            Text,
            "`round_robin` (default: one member, in turn), `competing` (all; the first answer counts) or `broadcast` (all; every answer counts)",
        ),
        may(
            "timeout_ms",
            Number,
            "how long to wait for answers; by default 5000 for `competing`, and no waiting for the others",
        ),
    ],
    answer: "`{group, strategy, count, given: [{member, position}], answers: [envelope]}`; members answer to `reply_to`, which the work has if answers are waited for",
    route: at(Post, "/api/v1/groups/{group}/work"),
    example: r#"{"group":"translators","payload":{"text":"hello"},"strategy":"broadcast"}"#,
    reasons: &[because("NO_MEMBERS", Code::Unavailable, "nobody has joined the group, or nobody is online")],
    run: group::dispatch,
    ..ROW
};
