//! Operators: what the bus does for its callers beside carrying messages. Each keeps its state in the records port, so
//! that a restart forgets nothing, and knows whom each piece of it belongs to.
//!
//! Invariant: an operator asks the caller's rights before it touches state, and its state is one document for each thing,
//! changed by compare-and-set.

pub(crate) mod cron;
pub(crate) mod groups;
pub(crate) mod history;
pub(crate) mod omega;
pub(crate) mod store;
pub(crate) mod webhook;

use crate::{Code, Ctx, Error, Result, Role};

/// How often a change that others got ahead of is tried anew.
const TRIES: usize = 16;

/// Refuses whoever neither owns a thing nor is an admin.
fn require_owner(ctx: &Ctx, owner: &str, what: &str) -> Result<()> {
    if is_owner(ctx, owner) {
        return Ok(());
    }
    Err(Error::new(
        Code::Forbidden,
        format!("{what} belongs to `{owner}`; you are `{}`", ctx.principal.subject),
    )
    .with_reason("NOT_OWNER")
    .with_hint("its owner or an admin can do this"))
}

fn is_owner(ctx: &Ctx, owner: &str) -> bool {
    *ctx.principal.subject == *owner || ctx.principal.role >= Role::Admin
}

/// The error after [`TRIES`].
fn too_contended(what: &str) -> Error {
    Error::new(Code::Conflict, format!("{what} is changed by others all the time")).with_reason("CONTENDED")
}

fn damaged(what: &str) -> Error {
    Error::new(Code::Internal, format!("the stored state of {what} is damaged"))
}
