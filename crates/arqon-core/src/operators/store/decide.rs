//! What a change of a key comes to, from what is there: no clock, no store.

use super::{Entry, Place, SetValue, Stored};
use crate::operators::require_owner;
use crate::{Code, Ctx, Error, Result, Timestamp};

/// Largest value, in bytes: documents are small; what is larger belongs in a file.
pub(crate) const VALUE_MAX: usize = 256 * 1024;

/// The next version of a key, and whether it has a value now.
pub(super) fn set(
    found: Option<&Stored>,
    set: &SetValue,
    ctx: &Ctx,
    now: Timestamp,
) -> Result<(bool, Entry)> {
    if set.value.len() > VALUE_MAX {
        return Err(Error::new(
            Code::TooLarge,
            format!("{} bytes; at most {VALUE_MAX} are kept", set.value.len()),
        )
        .with_reason("VALUE_TOO_LARGE")
        .with_field("args.value")
        .with_hint("keep large content in a file or object store and a reference to it here"));
    }
    let live = found.map(|stored| &stored.entry).filter(|entry| entry.is_live(now));
    check(live, (&set.place, set.expect), ctx)?;
    let me = &ctx.principal.subject;
    let entry = Entry {
        version: 0,
        value: Some(set.value.clone()),
        owner: live.map_or_else(|| me.clone(), |entry| entry.owner.clone()),
        owner_only: set.owner_only.unwrap_or(live.is_some_and(|entry| entry.owner_only)),
        by: me.clone(),
        created_at: live.map_or(now, |entry| entry.created_at),
        updated_at: now,
        expires_at: set.ttl.map(|ttl| now.plus(ttl)),
    };
    if live.is_some_and(|entry| entry.owner_only != set.owner_only.unwrap_or(entry.owner_only)) {
        require_owner(ctx, &entry.owner, &format!("`{}`", set.place.key))?;
    }
    Ok((live.is_some(), entry))
}

/// What stands in the place of a deleted key; none where there is nothing to delete.
pub(super) fn delete(
    found: Option<&Stored>,
    (place, expect): (&Place, Option<u64>),
    ctx: &Ctx,
    now: Timestamp,
) -> Result<Option<Entry>> {
    let live = found.map(|stored| &stored.entry).filter(|entry| entry.is_live(now));
    check(live, (place, expect), ctx)?;
    let by = ctx.principal.subject.clone();
    Ok(live.map(|entry| Entry { value: None, by, updated_at: now, expires_at: None, ..entry.clone() }))
}

fn check(live: Option<&Entry>, (place, expect): (&Place, Option<u64>), ctx: &Ctx) -> Result<()> {
    if let Some(entry) = live.filter(|entry| entry.owner_only) {
        require_owner(ctx, &entry.owner, &format!("`{}`", place.key))?;
    }
    let version = live.map_or(0, |entry| entry.version);
    if expect.is_none_or(|expected| expected == version) {
        return Ok(());
    }
    let what = match version {
        0 => format!("`{}` has no value", place.key),
        n => format!("`{}` is at version {n}", place.key),
    };
    Err(Error::new(Code::Conflict, what)
        .with_reason("VERSION_MISMATCH")
        .with_field("args.expect_version")
        .with_hint("read it, decide anew, and expect the version that you read"))
}
