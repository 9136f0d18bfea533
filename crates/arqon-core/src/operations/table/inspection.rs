//! The rows of `op.casil.*`.

use super::{BASE, Operation, Reason, at, because, may};
use crate::Code;
use crate::auth::Permission;
use crate::operations::ArgKind::{Flag, Number, Text, Texts};
use crate::operations::Method::{Get, Put};
use crate::operations::{Arg, Category, inspection};

/// What `op.casil.reload` takes: the keys of `[inspection]`.
const POLICY: &[Arg] = &[
    may(
        "reset",
        Flag,
        "whether all that earlier reloads have changed is taken back first; by itself: back to the configuration",
    ),
    may("enabled", Flag, "whether messages and commands are inspected"),
    may("mode", Text, "`monitor` or `enforce`"),
    may("default_decision", Text, "for what cannot be inspected: `allow` or `block`"),
    may("scope_include", Texts, "addresses that are inspected; `*` is any text; empty is all"),
    may("scope_exclude", Texts, "addresses that are not"),
    may("max_inspect_bytes", Number, "how much of a message is looked at"),
    may("max_patterns", Number, "most patterns of one's own; at most 64"),
    may("max_payload_bytes", Number, "larger payloads are refused"),
    may("block_on_probable_secret", Flag, "whether a probable secret is blocked"),
    may("secret_set", Text, "`known`, `older` or `none`"),
    may("secret_patterns", Texts, "secrets of one's own, as regular expressions"),
    may("redaction_paths", Texts, "names of members whose values are redacted"),
    may("redaction_depth", Number, "how many levels deep such names are looked for"),
    may("redaction_patterns", Texts, "what is redacted in any text, as regular expressions"),
    may("transport_redaction", Flag, "whether messages are stored and delivered redacted"),
    may("never_log_payload_for", Texts, "addresses of which no log shows anything of the payload"),
    may("metadata_to_logs", Flag, "whether verdicts are logged"),
    may("metadata_to_telemetry", Flag, "whether verdicts are events"),
    may("metadata_to_envelope", Flag, "whether a message carries its verdict"),
];
const REASONS: &[Reason] = &[
    because("BAD_POLICY", Code::Invalid, "a value is wrong; the policy in force stays"),
    because("NOT_YOUR_POLICY", Code::Forbidden, "the caller is an admin of another tenant than `default`"),
];

/// What the rows share.
const ROW: Operation = Operation { category: Category::Inspection, per_minute: 60, inspected: false, ..BASE };

pub(super) const GET: Operation = Operation {
    name: "op.casil.get",
    aliases: &["casil.get"],
    summary: "Shows the policy of content inspection that is in force.",
    answer: "the keys of `[inspection]`; `reloaded`, the names of those that commands have changed; `reload_problem?`, why what was kept of them could not be used at the start; for role `system` also `counts: {inspected, secrets, redacted, blocked, spared, failed}`",
    route: at(Get, "/api/v1/inspection"),
    run: inspection::get,
    ..ROW
};

pub(super) const RELOAD: Operation = Operation {
    name: "op.casil.reload",
    aliases: &["casil.reload"],
    summary: "Replaces keys of the policy of content inspection, all or none; what is left out stays as it is. The change is on disk when it answers, and holds over the configuration, also after a restart, until `reset`.",
    args: POLICY,
    answer: "as `op.casil.get`",
    permission: Permission::AdminCommands,
    route: at(Put, "/api/v1/inspection"),
    example: r#"{"enabled":true,"mode":"monitor"}"#,
    reasons: REASONS,
    run: inspection::reload,
    ..ROW
};
