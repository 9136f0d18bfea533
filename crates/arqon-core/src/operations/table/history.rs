//! The rows of `op.history.*`.

use super::{BASE, Operation, Reason, at, because, may, need};
use crate::Code;
use crate::auth::Permission;
use crate::operations::ArgKind::{Flag, Number, Text};
use crate::operations::Method::Get;
use crate::operations::{Arg, Category, history};

const ROOM: Arg =
    may("room", Text, "the room, or `room:channel`; only admins may leave it out, for all rooms");
const CHANNEL: Arg = may("channel", Text, "the channel; all of the room if absent");
const BAD_TIME: Reason = because("INVALID_TIMESTAMP", Code::Invalid, "it is no time");
const NO_ROOM: Reason = because("ROOM_REQUIRED", Code::Forbidden, "only admins read all rooms at once");

/// What the rows share.
const ROW: Operation = Operation {
    category: Category::Channels,
    permission: Permission::MessageHistory,
    per_minute: 600,
    fault: "HISTORY_ERROR",
    ..BASE
};

pub(super) const GET: Operation = Operation {
    name: "op.history.get",
    aliases: &["history.get"],
    summary: "The newest messages of a window of time, newest first.",
    args: &[
        ROOM,
        CHANNEL,
        may("limit", Number, "how many; default 100, at most 1000"),
        may("since", Text, "only those stored after this time (RFC 3339; UTC where no offset is said)"),
        may("until", Text, "only those stored before this time"),
    ],
    answer: "`{entries: [{envelope, stored_at, storage_metadata: {position, kept_in}}], count, room?, channel?, since?, until?, limit, gaps, more}`; `more` says that there may be more in the window",
    route: at(Get, "/api/v1/history"),
    example: r#"{"room":"repo","limit":10,"since":"2026-11-21T09:00:00Z"}"#,
    reasons: &[BAD_TIME, NO_ROOM],
    run: history::get,
    ..ROW
};

pub(super) const REPLAY: Operation = Operation {
    name: "op.history.replay",
    aliases: &["history.replay"],
    summary: "The messages stored between two times, oldest first.",
    args: &[
        ROOM,
        CHANNEL,
        need("from_ts", Text, "those stored after this time (RFC 3339; UTC where no offset is said)"),
        need("to_ts", Text, "and before this one"),
        may(
            "strict_sequence",
            Flag,
            "whether to refuse messages whose `metadata.sequence` goes back; default true",
        ),
        may("limit", Number, "how many; default 1000, at most 5000"),
    ],
    answer: "`{entries: [{envelope, stored_at, storage_metadata: {position, kept_in}}], count, room?, channel?, from_ts, to_ts, strict_sequence, limit, gaps, more, latency_ms}`",
    route: at(Get, "/api/v1/history/replay"),
    example: r#"{"room":"repo","from_ts":"2026-11-21T09:00:00Z","to_ts":"2026-11-21T10:00:00Z"}"#,
    reasons: &[
        BAD_TIME,
        NO_ROOM,
        because(
            "SEQUENCE_BROKEN",
            Code::Invalid,
            "`metadata.sequence` goes back, and `strict_sequence` is not false",
        ),
    ],
    run: history::replay,
    ..ROW
};
