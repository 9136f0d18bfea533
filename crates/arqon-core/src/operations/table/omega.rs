//! The rows of `op.omega.*`.

use super::{BASE, Operation, Reason, at, because, may, need};
use crate::Code;
use crate::auth::Permission;
use crate::operations::ArgKind::{Json, Number, Text};
use crate::operations::Method::{Delete, Get, Post};
use crate::operations::{Arg, Category, omega};

const SUBSTRATE: Arg = need("substrate_id", Text, "the substrate, as `op.omega.register_substrate` answered");
const OF_SUBSTRATE: Arg = may("substrate_id", Text, "only those of this substrate");
const OF_SIGNAL: Arg = may("signal", Text, "only those of this signal");
const OFF: Reason = because("FEATURE_DISABLED", Code::Unavailable, "`omega.enabled` is not set");
const NONE: Reason = because("SUBSTRATE_NOT_FOUND", Code::NotFound, "there is no such substrate");

/// What the rows share: what changes something is for admins.
const ROW: Operation =
    Operation { category: Category::Omega, permission: Permission::AdminCommands, per_minute: 6000, ..BASE };

pub(super) const STATUS: Operation = Operation {
    name: "op.omega.status",
    summary: "Whether the omega lane is on, and what it holds; works while it is off.",
    answer: "`{enabled, lab_room?, lab_channel?, max_events?, max_substrates?, substrate_count, event_count, runtime}`; `runtime` is null: nothing is run here",
    permission: Permission::ChannelView,
    route: at(Get, "/api/v1/omega"),
    run: omega::status,
    ..ROW
};

pub(super) const REGISTER: Operation = Operation {
    name: "op.omega.register_substrate",
    summary: "Registers something that is tried out. It survives restarts.",
    args: &[
        need("name", Text, "1 to 128 bytes"),
        need("kind", Text, "1 to 128 bytes"),
        may("metadata", Json, "a JSON object, at most 64 KiB"),
    ],
    answer: "`{substrate_id, name, kind, owner, created_at, metadata}`",
    route: at(Post, "/api/v1/omega/substrates"),
    example: r#"{"name":"loop-7","kind":"agent"}"#,
    reasons: &[
        OFF,
        because("TOO_MANY_SUBSTRATES", Code::Invalid, "the tenant has `omega.max_substrates` already"),
    ],
    run: omega::register,
    ..ROW
};

pub(super) const LIST: Operation = Operation {
    name: "op.omega.list_substrates",
    summary: "The substrates of the tenant.",
    answer: "`{substrates, count}`; each as `op.omega.register_substrate` answers",
    permission: Permission::ChannelView,
    route: at(Get, "/api/v1/omega/substrates"),
    run: omega::list_substrates,
    ..ROW
};

pub(super) const UNREGISTER: Operation = Operation {
    name: "op.omega.unregister_substrate",
    summary: "Forgets a substrate and its events.",
    args: &[SUBSTRATE],
    answer: "`{removed, substrate_id, removed_events}`",
    route: at(Delete, "/api/v1/omega/substrates/{substrate_id}"),
    example: r#"{"substrate_id":"omega_5f3a9c1e77b2"}"#,
    reasons: &[OFF, NONE],
    run: omega::unregister,
    ..ROW
};

pub(super) const EMIT: Operation = Operation {
    name: "op.omega.emit_event",
    summary: "Tells of a signal of a substrate in the lab channel, as telemetry from `op-omega` with the payload `{\"omega_event\": …}`.",
    args: &[
        SUBSTRATE,
        need("signal", Text, "1 to 128 bytes"),
        may("payload", Json, "a JSON object, at most 64 KiB"),
    ],
    answer: "`{event_id, substrate_id, signal, payload, emitted_by, timestamp}`",
    route: at(Post, "/api/v1/omega/events"),
    example: r#"{"substrate_id":"omega_5f3a9c1e77b2","signal":"drift","payload":{"by":0.2}}"#,
    reasons: &[OFF, NONE],
    run: omega::emit,
    ..ROW
};

pub(super) const EVENTS: Operation = Operation {
    name: "op.omega.list_events",
    summary: "The last events since the server was started, oldest first.",
    args: &[may("limit", Number, "how many; default 50, at most 1000"), OF_SUBSTRATE, OF_SIGNAL],
    answer: "`{events, count, limit, filters}`; each as `op.omega.emit_event` answers",
    permission: Permission::ChannelView,
    route: at(Get, "/api/v1/omega/events"),
    reasons: &[OFF],
    run: omega::list_events,
    ..ROW
};

pub(super) const CLEAR: Operation = Operation {
    name: "op.omega.clear_events",
    summary: "Forgets events; what was told in the lab channel stays there.",
    args: &[OF_SUBSTRATE, OF_SIGNAL],
    answer: "`{removed_count, remaining_count}`",
    route: at(Delete, "/api/v1/omega/events"),
    reasons: &[OFF],
    run: omega::clear_events,
    ..ROW
};
