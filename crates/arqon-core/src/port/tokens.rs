//! `TokenIssuer`: makes credentials; verifying them is the business of the doors.

use crate::{Pattern, Result, Role, Tenant};
use std::time::Duration;

/// What a token shall say.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Who it is for.
    pub subject: String,
    /// Where it is valid.
    pub tenant: Tenant,
    /// What it may do.
    pub role: Role,
    /// Where it may publish; `None` leaves it to the role.
    pub publish: Option<Vec<Pattern>>,
    /// What it may subscribe to; `None` leaves it to the role.
    pub subscribe: Option<Vec<Pattern>>,
    /// How long it is valid.
    pub ttl: Duration,
}

/// Makes tokens.
pub trait TokenIssuer: Send + Sync + 'static {
    /// A signed token for the grant.
    fn issue(&self, grant: &Grant) -> Result<String>;
}
