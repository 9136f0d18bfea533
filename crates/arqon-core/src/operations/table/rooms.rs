//! The rows about rooms and channels.

use super::{BASE, Operation, Reason, at, because, may, need};
use crate::Code;
use crate::auth::Permission;
use crate::operations::ArgKind::{Number, Text};
use crate::operations::Method::{Delete, Get, Post};
use crate::operations::{Arg, Category, rooms};

const ADDRESS: Arg = may("address", Text, "`room:channel`; in place of `room` and `channel`");
const ROOM: Arg =
    may("room", Text, "the room's name or id (`arq_room_…`); or `room:channel`, without `channel`");
const CHANNEL: Arg =
    may("channel", Text, "the channel's name or id (`arq_channel_…`); or `room:channel`, without `room`");

const NO_ROOM: Reason = because("ROOM_NOT_FOUND", Code::NotFound, "no room has the id");
const NO_CHANNEL: Reason = because("CHANNEL_NOT_FOUND", Code::NotFound, "there is no such channel");
const MISMATCH: Reason = because(
    "CHANNEL_ROOM_MISMATCH",
    Code::Invalid,
    "the channel is not one of the room that is given beside it",
);
const CONTENDED: Reason =
    because("CONTENDED", Code::Conflict, "others change the room's channels all the time");

/// What the rows share.
const ROW: Operation =
    Operation { category: Category::Channels, permission: Permission::ChannelView, per_minute: 20, ..BASE };

pub(super) const LIST_ROOMS: Operation = Operation {
    name: "list_rooms",
    summary: "The rooms of the tenant.",
    answer: "`{rooms: [{room, room_id, room_name, type, state, description, created_at, created_by, participant_count, records, bytes, subscribers, start, end}]}`; `type` is `system`, `user` (made) or `dynamic` (there by use)",
    route: at(Get, "/api/v1/rooms"),
    run: rooms::list_rooms,
    ..ROW
};

pub(super) const CREATE: Operation = Operation {
    name: "create_channel",
    summary: "Makes a channel, and its room with it: it stays when nothing is in it. One that is there by use becomes one that was made.",
    args: &[
        ADDRESS,
        ROOM,
        CHANNEL,
        may("name", Text, "the same as `channel`"),
        may("description", Text, "what it is for; at most 1024 bytes"),
    ],
    answer: "`{room, room_id, room_name, channel, channel_id, channel_name, description, created_by, created_at}`",
    permission: Permission::ChannelManagement,
    route: at(Post, "/api/v1/channels"),
    example: r#"{"room":"science","channel":"explore","description":"open questions"}"#,
    reasons: &[
        NO_ROOM,
        NO_CHANNEL,
        MISMATCH,
        because("CHANNEL_EXISTS", Code::AlreadyExists, "somebody has made it already"),
        because("ROOM_FULL", Code::Exhausted, "the room has 10,000 made channels already"),
        CONTENDED,
    ],
    fault: "CREATE_CHANNEL_ERROR",
    run: rooms::create_channel,
    ..ROW
};

pub(super) const DELETE: Operation = Operation {
    name: "delete_channel",
    summary: "Deletes a channel and all that is kept of it; the room goes with its last one. Readers are told of a gap. Publishing to it makes it anew.",
    args: &[ADDRESS, ROOM, CHANNEL],
    answer: "`{room, room_id, room_name, channel, channel_id, channel_name, deleted_by, deleted_at}`",
    permission: Permission::ChannelManagement,
    route: at(Delete, "/api/v1/channels/{address}"),
    example: r#"{"room":"science","channel":"explore"}"#,
    reasons: &[
        NO_ROOM,
        NO_CHANNEL,
        MISMATCH,
        because(
            "CHANNEL_HARDCODED",
            Code::Forbidden,
            "it is one of the server's own, named in its configuration",
        ),
        because("CHANNEL_IN_USE", Code::Conflict, "somebody has joined it"),
        CONTENDED,
    ],
    fault: "DELETE_CHANNEL_ERROR",
    run: rooms::delete_channel,
    ..ROW
};

pub(super) const JOIN: Operation = Operation {
    name: "join_channel",
    summary: "Makes this connection a member of a channel, until it leaves or ends. One that is not there is there by it. Deliveries come by `subscribe`.",
    args: &[ADDRESS, ROOM, CHANNEL],
    answer: "`{room, room_id, room_name, channel, channel_id, channel_name, joined_by, joined_at, room_joined}`; `room_joined`: it was in no other channel of the room",
    permission: Permission::ChannelAccess,
    needs_connection: true,
    example: r#"{"room":"science","channel":"explore"}"#,
    reasons: &[
        NO_ROOM,
        NO_CHANNEL,
        MISMATCH,
        because(
            "TOO_MANY_JOINED",
            Code::Exhausted,
            "the connection has joined as many as `limits.subscriptions` says",
        ),
    ],
    fault: "JOIN_CHANNEL_ERROR",
    run: rooms::join_channel,
    ..ROW
};

pub(super) const LEAVE: Operation = Operation {
    name: "leave_channel",
    summary: "Ends this connection's membership of a channel.",
    args: &[ADDRESS, ROOM, CHANNEL],
    answer: "`{room, room_id, room_name, channel, channel_id, channel_name, left_by, left_at, room_left}`; `room_left`: it is in no other channel of the room",
    permission: Permission::ChannelAccess,
    needs_connection: true,
    example: r#"{"room":"science","channel":"explore"}"#,
    reasons: &[
        NO_ROOM,
        NO_CHANNEL,
        MISMATCH,
        because("NOT_JOINED", Code::NotFound, "the connection is no member of it"),
    ],
    fault: "LEAVE_CHANNEL_ERROR",
    run: rooms::leave_channel,
    ..ROW
};

pub(super) const LIST: Operation = Operation {
    name: "list_channels",
    summary: "The channels of a room: those that were made, that hold messages, and that somebody has joined.",
    args: &[need("room", Text, "the room's name or id")],
    answer: LISTED,
    route: at(Get, "/api/v1/rooms/{room}/channels"),
    example: r#"{"room":"repo"}"#,
    reasons: &[NO_ROOM],
    fault: "LIST_CHANNELS_ERROR",
    run: rooms::list_channels,
    ..ROW
};

const LISTED: &str = "`{room, room_id, room_name, total_channels, channels: […], queried_by, queried_at}`, each channel as `channel_info` describes it, without its members";

pub(super) const INFO: Operation = Operation {
    name: "channel_info",
    summary: "One channel: what it is for, its class, what it holds, who has joined it.",
    args: &[ADDRESS, ROOM, CHANNEL],
    answer: "`{room, room_id, room_name, channel, channel_id, name, description, type, state, class, hardcoded, auto_created, created_at, created_by, member_count, members: [{client_id, connection, joined_at}], subscribers, records, last_activity, last_stored_at, last, statistics: {message_count, member_count, subscriber_count, last_message_at}, queried_by, queried_at}`; `type` is `general`, `pm` or `system`, `state` is `active` or `empty`; where nobody made it `auto_created` is true and `created_at` null",
    route: at(Get, "/api/v1/channels/{address}"),
    example: r#"{"address":"repo:main"}"#,
    reasons: &[NO_ROOM, NO_CHANNEL, MISMATCH],
    fault: "CHANNEL_INFO_ERROR",
    run: rooms::channel_info,
    ..ROW
};

pub(super) const HISTORY: Operation = Operation {
    name: "history",
    summary: "The last messages of a channel, oldest first; or those after a position.",
    args: &[
        may(
            "address",
            Text,
            "`room:channel`, or a pattern within one room; in place of `room` and `channel`",
        ),
        ROOM,
        CHANNEL,
        may("limit", Number, "how many; default 50, at most 1000"),
        may("after", Text, "only those after this position"),
        may("since", Text, "only those that were stored after this moment"),
    ],
    answer: "by `address` `{messages: [envelope or gap]}`; by `room` and `channel` `{room, room_id, room_name, channel, channel_id, channel_name, total_messages, limit, since, history: [{message_id, type, sender, payload, timestamp, stored_at, position}], gaps, queried_by, queried_at}`",
    permission: Permission::MessageHistory,
    per_minute: 30,
    route: at(Get, "/api/v1/channels/{address}/messages"),
    example: r#"{"address":"repo:main","limit":10}"#,
    reasons: &[
        NO_ROOM,
        NO_CHANNEL,
        MISMATCH,
        because("INVALID_TIMESTAMP", Code::Invalid, "`since` is not a time"),
    ],
    fault: "HISTORY_ERROR",
    run: rooms::history,
    ..ROW
};
