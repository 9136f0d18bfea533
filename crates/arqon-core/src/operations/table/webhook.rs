//! The rows of `op.webhook.*`.

use super::{BASE, Operation, at, because, may, need};
use crate::Code;
use crate::operations::ArgKind::{Decimal, Json, Number, Text};
use crate::operations::Method::{Delete, Get, Post};
use crate::operations::{Category, webhook};

/// What the rows share.
const ROW: Operation = Operation { category: Category::Webhooks, per_minute: 6000, ..BASE };

pub(super) const REGISTER: Operation = Operation {
    name: "op.webhook.register",
    aliases: &["webhook.register"],
    summary: "Has messages posted to an HTTP receiver from now on: at least once each and in order, signed by the rules of Standard Webhooks, tried again until the receiver answers 2xx or it is given up into the dead letters. The rule is on disk when it answers, survives restarts and belongs to the caller.",
    args: &[
        need("url", Text, "`https` or `http`, at most 2048 bytes"),
        may(
            "room",
            Text,
            "messages of this room, or of `room:channel`, where `*` stands for any segment and a last `**` for all that follow; all rooms if absent",
        ),
        may("channel", Text, "only this channel; all of the room if absent"),
        may("headers", Json, "more headers of each request, an object of name → text; at most 16"),
        may("timeout_seconds", Decimal, "how long the receiver may take to answer; default 2, 0.1 to 30"),
        may(
            "max_attempts",
            Number,
            "tries before a message is given up, with 1 s and then twice as long up to 5 min between them; default 12 (some 20 minutes), at most 20",
        ),
    ],
    answer: "`{rule_id, secret, url, pattern, room?, channel?, headers, timeout_seconds, max_attempts, owner, owner_client_id, created_at, …}`; `secret` is what requests are signed with, and is shown here only",
    route: at(Post, "/api/v1/webhooks"),
    example: r#"{"url":"https://example.com/arqon","room":"repo"}"#,
    reasons: &[
        because(
            "PRIVATE_ADDRESS",
            Code::Forbidden,
            "the receiver is on the server's machine or in a private network, and `webhooks.allow_private_addresses` is not set",
        ),
        because("TOO_MANY_RULES", Code::Exhausted, "the tenant has 100 rules already"),
        because("FEATURE_DISABLED", Code::Unavailable, "this server posts nothing to the outside"),
    ],
    run: webhook::register,
    ..ROW
};

pub(super) const LIST: Operation = Operation {
    name: "op.webhook.list",
    aliases: &["webhook.list"],
    summary: "The caller's rules and how they do; for admins all of the tenant.",
    answer: "`{rules: [{rule_id, url, pattern, room?, channel?, headers, timeout_seconds, max_attempts, owner, owner_client_id, created_at, old_secret_until?, delivered, given_up, last_delivered_at?, failures, problem?, next_try_at?}], count}`; of `headers` the names; counts are those since the server was started",
    route: at(Get, "/api/v1/webhooks"),
    run: webhook::list,
    ..ROW
};

pub(super) const ROTATE: Operation = Operation {
    name: "op.webhook.rotate_secret",
    aliases: &["webhook.rotate_secret"],
    summary: "Gives a rule a new secret. Requests carry a signature of each of the old ones as well while they hold, so that receivers change over in their own time.",
    args: &[
        need("rule_id", Text, "the rule"),
        may(
            "overlap_seconds",
            Decimal,
            "how long the present secret holds beside the new one; default 86400 (a day), at most 604800; 0 ends all old ones at once",
        ),
    ],
    answer: "as `op.webhook.register`, with the new `secret`, which is shown here only, and `old_secret_until`",
    route: at(Post, "/api/v1/webhooks/{rule_id}/secret"),
    example: r#"{"rule_id":"wh_5f3a9c1e77b2","overlap_seconds":3600}"#,
    reasons: &[
        because("RULE_NOT_FOUND", Code::NotFound, "there is no such rule"),
        because("NOT_OWNER", Code::Forbidden, "the rule belongs to somebody else"),
        because("TOO_MANY_SECRETS", Code::Exhausted, "four old secrets hold already"),
    ],
    run: webhook::rotate,
    ..ROW
};

pub(super) const UNREGISTER: Operation = Operation {
    name: "op.webhook.unregister",
    aliases: &["webhook.unregister"],
    summary: "Takes a rule back. What it had not posted yet is not posted any more.",
    args: &[need(
        "rule_id",
        Text,
        "the rule, as `op.webhook.register` answered and `op.webhook.list` shows it",
    )],
    answer: "`{rule_id}`",
    route: at(Delete, "/api/v1/webhooks/{rule_id}"),
    example: r#"{"rule_id":"wh_5f3a9c1e77b2"}"#,
    reasons: &[
        because("RULE_NOT_FOUND", Code::NotFound, "there is no such rule"),
        because("NOT_OWNER", Code::Forbidden, "the rule belongs to somebody else"),
    ],
    run: webhook::unregister,
    ..ROW
};
