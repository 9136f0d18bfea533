//! The rows of `op.store.*`.

use super::{BASE, Operation, Reason, at, because, may, need};
use crate::Code;
use crate::auth::Permission;
use crate::operations::ArgKind::{Flag, Json, Number, Text};
use crate::operations::Method::{Delete, Get, Put};
use crate::operations::{Arg, Category, store};

const KEY: Arg = need("key", Text, "1 to 256 bytes without control characters");
const NAMESPACE: Arg = may(
    "namespace",
    Text,
    "default: the one that the tenant shares; `@NAME` is open to NAME only; any other name is a shared one",
);
const EXPECT: Arg =
    may("expect_version", Number, "only if the key is at this version; 0: only if it has no value");
const CLOSED: Reason = because(
    "NAMESPACE_CLOSED",
    Code::Forbidden,
    "the namespace is somebody's own, or outside the token's patterns",
);
const NOT_OWNER: Reason =
    because("NOT_OWNER", Code::Forbidden, "the key is `owner_only` and belongs to somebody else");
const MISMATCH: Reason =
    because("VERSION_MISMATCH", Code::Conflict, "the key is at another version than `expect_version`");
const CONTENDED: Reason = because("CONTENDED", Code::Conflict, "others change the key all the time");

/// What the rows share.
const ROW: Operation = Operation { category: Category::Store, per_minute: 60_000, ..BASE };

pub(super) const SET: Operation = Operation {
    name: "op.store.set",
    aliases: &["store.set"],
    summary: "Sets a key to a JSON value; on disk when it answers. With `expect_version` it is compare-and-set.",
    args: &[
        KEY,
        need("value", Json, "any JSON value but `null`, at most 256 KiB"),
        NAMESPACE,
        EXPECT,
        may("ttl_s", Number, "gone after so many seconds; kept for ever if absent"),
        may(
            "owner_only",
            Flag,
            "whether only the key's owner (who made it) and admins may change it; default: as it is, false at first",
        ),
    ],
    answer: "`{namespace, key, updated, version, owner, expires_at}`; `updated` says whether it had a value before",
    route: at(Put, "/api/v1/store/{key}"),
    example: r#"{"key":"plan","value":{"step":3},"expect_version":2}"#,
    reasons: &[
        CLOSED,
        NOT_OWNER,
        MISMATCH,
        CONTENDED,
        because("VALUE_TOO_LARGE", Code::TooLarge, "the value is larger than 256 KiB"),
        because("STORE_FULL", Code::Exhausted, "the tenant has 100,000 keys already"),
    ],
    run: store::set,
    ..ROW
};

pub(super) const GET: Operation = Operation {
    name: "op.store.get",
    aliases: &["store.get"],
    summary: "The value of a key and its version.",
    args: &[KEY, NAMESPACE],
    answer: "`{namespace, key, found, value}`, and if found `{version, owner, owner_only, created_at, updated_at, updated_by, expires_at}`",
    permission: Permission::MessageHistory,
    route: at(Get, "/api/v1/store/{key}"),
    example: r#"{"key":"plan"}"#,
    reasons: &[CLOSED],
    run: store::get,
    ..ROW
};

pub(super) const DELETE: Operation = Operation {
    name: "op.store.delete",
    aliases: &["store.delete"],
    summary: "Removes a key; its versions can be read for another day.",
    args: &[KEY, NAMESPACE, EXPECT],
    answer: "`{namespace, key, deleted}`; `deleted` is false where there was no value",
    route: at(Delete, "/api/v1/store/{key}"),
    example: r#"{"key":"plan"}"#,
    reasons: &[CLOSED, NOT_OWNER, MISMATCH, CONTENDED],
    run: store::delete,
    ..ROW
};

pub(super) const LIST: Operation = Operation {
    name: "op.store.list",
    aliases: &["store.list"],
    summary: "The keys of a namespace, sorted.",
    args: &[
        NAMESPACE,
        may("prefix", Text, "only keys that begin with this"),
        may("limit", Number, "how many; default and at most 1000"),
        may("cursor", Text, "go on after this, as the last answer gave it"),
    ],
    answer: "`{namespace, count, keys, entries: [{key, version, owner, owner_only, created_at, updated_at, updated_by, expires_at}], cursor?}`",
    permission: Permission::MessageHistory,
    route: at(Get, "/api/v1/store"),
    example: r#"{"prefix":"plan"}"#,
    reasons: &[CLOSED],
    run: store::list,
    ..ROW
};

pub(super) const HISTORY: Operation = Operation {
    name: "op.store.history",
    aliases: &["store.history"],
    summary: "The last versions of a key, newest first: the present one and ten before it, for a week each.",
    args: &[KEY, NAMESPACE],
    answer: "`{namespace, key, versions: [{version, value, owner, owner_only, created_at, updated_at, updated_by, expires_at}]}`; a deletion is a version whose `value` is null",
    permission: Permission::MessageHistory,
    route: at(Get, "/api/v1/store/{key}/versions"),
    example: r#"{"key":"plan"}"#,
    reasons: &[CLOSED],
    run: store::history,
    ..ROW
};
