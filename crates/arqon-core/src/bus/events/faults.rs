//! What is told of those who have no business here, and of what does not work.
//!
//! Invariant: whoever could not say who it is belongs to no tenant, so the server's operator is told, in the tenant
//! `default`. No token is told.

use super::{Details, EventType, lock};
use crate::bus::{Bus, Shared};
use crate::port::StoreError;
use crate::{Code, Ctx, Error, RoomKey, Tenant};
use std::net::IpAddr;

/// Refused tokens of one address in a minute that are suspicious.
const REFUSED_MAX: u32 = 5;
/// Denials of one subject in a minute that are.
const DENIED_MAX: u32 = 10;

/// Somebody without a good token.
#[derive(Debug, Clone, Copy)]
pub struct Stranger<'a> {
    /// The other end.
    pub peer: Option<IpAddr>,
    /// What it asked for.
    pub path: &'a str,
    /// What it was told.
    pub error: &'a Error,
    /// Whether it had a token at all; coming without one is a mistake, and not suspicious.
    pub has_token: bool,
    /// Whether that was signed with a key of somebody else.
    pub is_forged: bool,
}

impl Bus {
    /// Tells of somebody who was not let in.
    pub fn tell_stranger(&self, stranger: &Stranger<'_>) {
        let shared = &self.shared;
        if !shared.events.is_watched() {
            return;
        }
        let Stranger { peer, path, error, has_token, is_forged } = *stranger;
        let peer = peer.map(|peer| peer.to_string());
        let path: String = path.chars().take(200).collect();
        let details = || -> Details {
            let reason = error.hint().map_or_else(|| error.message().to_owned(), str::to_owned);
            vec![
                ("peer", peer.clone().into()),
                ("path", path.as_str().into()),
                ("error", error.message().into()),
                ("reason", reason.into()),
            ]
        };
        let tenant = Tenant::default();
        shared.tell_in(EventType::AuthenticationFailed, &tenant, details);
        if is_forged {
            shared.tell_in(EventType::SecurityViolation, &tenant, || {
                let mut details = details();
                details.insert(0, ("violation", "forged_token".into()));
                details
            });
        }
        if let (true, Some(peer)) = (has_token, &peer) {
            shared.suspect(&tenant, ("refused_tokens", "peer", peer), REFUSED_MAX);
        }
    }

    /// Tells of a connection that is closed since it breaks the protocol again and again.
    pub fn tell_violation(&self, ctx: &Ctx) {
        self.shared.tell(EventType::SecurityViolation, ctx, || vec![("violation", "protocol".into())]);
    }
}

impl Shared {
    /// Somebody may not do what it wanted to do.
    pub(super) fn tell_denied(&self, ctx: &Ctx, error: &Error) {
        // What inspection blocks is told by itself.
        let by_right = error.reason().is_none_or(|reason| !reason.starts_with("CASIL_"));
        if error.code() != Code::Forbidden || !by_right {
            return;
        }
        self.tell(EventType::AuthorizationDenied, ctx, || vec![("error", error.message().into())]);
        self.suspect(ctx.tenant(), ("denials", "subject", &ctx.principal.subject), DENIED_MAX);
    }

    /// Counts what is suspicious when it comes again and again: what it is, and whose doing by which name.
    fn suspect(&self, tenant: &Tenant, (what, by, who): (&'static str, &'static str, &str), limit: u32) {
        if !self.events.wants(EventType::SuspiciousActivity) {
            return;
        }
        let key = format!("{by} {tenant} {who}");
        if lock(&self.events.suspicion).count(key, limit, self.env.clock.monotonic()) {
            let count = u64::from(limit);
            let details = || vec![("activity", what.into()), (by, who.into()), ("count", count.into())];
            self.tell_in(EventType::SuspiciousActivity, tenant, details);
        }
    }

    /// Storage was tidied.
    pub(in crate::bus) fn tell_storage(&self, operation: &'static str, room: &RoomKey) {
        self.tell_in(EventType::StorageOperation, room.tenant(), || {
            vec![("operation", operation.into()), ("room", room.room().as_str().into())]
        });
    }

    /// Expired documents were removed. Whose they were is not counted, so the server's operator is told.
    pub(in crate::bus) fn tell_swept(&self, removed: usize) {
        self.tell_in(EventType::StorageOperation, &Tenant::default(), || {
            vec![("operation", "sweep".into()), ("removed", (removed as u64).into())]
        });
    }

    /// Storage refused or failed. It is everybody's, so everybody who listens is told, without what it was about.
    pub(in crate::bus) fn tell_storage_error(&self, operation: &'static str, error: &Error) {
        self.tell_all(EventType::StorageError, || {
            vec![("operation", operation.into()), ("error_code", error.code().as_str().into())]
        });
    }

    /// The same for what the port said.
    pub(in crate::bus) fn tell_store_error(&self, operation: &'static str, error: &StoreError) {
        if self.events.wants(EventType::StorageError) {
            self.tell_storage_error(operation, &Error::from(error.clone()));
        }
    }
}
