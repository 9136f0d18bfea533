//! Who is calling, for whom, until when: the first argument of every core call.

use crate::{Code, Error, Pattern, Result, Tenant, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// What a principal may do, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// May look at the system and at channels.
    Guest,
    /// May publish and subscribe.
    User,
    /// May also manage channels, rooms and dead letters.
    Moderator,
    /// May also manage the tenant: tokens, delivery policies, others' subscriptions.
    Admin,
    /// Everything in every tenant: the owner of the server, and Arqon itself.
    System,
}

impl Role {
    /// All roles, least first.
    pub const ALL: [Role; 5] = [Role::Guest, Role::User, Role::Moderator, Role::Admin, Role::System];

    /// The name in tokens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Guest => "guest",
            Role::User => "user",
            Role::Moderator => "moderator",
            Role::Admin => "admin",
            Role::System => "system",
        }
    }

    /// Reads a role.
    pub fn parse(text: &str) -> Result<Self> {
        Role::ALL.into_iter().find(|r| r.as_str() == text).ok_or_else(|| {
            Error::invalid("role", "expected `guest`, `user`, `moderator`, `admin` or `system`")
        })
    }
}

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The token's subject: an agent id, a user or a service.
    pub subject: Arc<str>,
    /// The tenant it lives in.
    pub tenant: Tenant,
    /// Its role (the highest, where a token names several).
    pub role: Role,
    /// Where it may publish; `None` leaves it to the role.
    pub publish: Option<Arc<[Pattern]>>,
    /// What it may subscribe to; `None` leaves it to the role.
    pub subscribe: Option<Arc<[Pattern]>>,
    /// When the credential ends.
    pub expires_at: Option<Timestamp>,
}

/// The context of one call.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// Who.
    pub principal: Arc<Principal>,
    /// The name that messages of this caller carry as `sender`: its agent id once registered, else the subject.
    pub sender: Arc<str>,
    /// Which connection this comes through; 0 for a call that stands alone.
    pub connection: u64,
    /// When to give up, on the monotonic clock.
    pub deadline: Option<Duration>,
    /// For logs and answers.
    pub request_id: Option<Arc<str>>,
}

impl Ctx {
    /// A context for a principal.
    pub fn new(principal: Arc<Principal>) -> Self {
        let sender = principal.subject.clone();
        Ctx { principal, sender, connection: 0, deadline: None, request_id: None }
    }

    /// The tenant of the call.
    pub fn tenant(&self) -> &Tenant {
        &self.principal.tenant
    }

    /// Refuses a credential that has ended.
    pub fn check_fresh(&self, now: Timestamp) -> Result<()> {
        match self.principal.expires_at {
            Some(at) if at <= now => Err(Error::new(Code::Unauthenticated, "the token has expired")
                .with_hint("get a new one with `arqon token` and connect again")),
            _ => Ok(()),
        }
    }
}
