//! The reader of tokens, for the fuzz targets; no part of what this crate offers.

use crate::identity::{AuthConfig, Identity};
use arqon_core::env::Clock;
use arqon_core::port::{Grant, TokenIssuer as _};
use arqon_core::{Principal, Result};
use std::sync::Arc;

/// An identity whose key lives as long as this value.
pub struct Tokens(Identity);

impl Tokens {
    /// With a key of its own.
    ///
    /// # Errors
    /// When the machine has no randomness.
    pub fn new(clock: Arc<dyn Clock>) -> anyhow::Result<Tokens> {
        Identity::build(&AuthConfig::default(), &[], None, clock).map(Tokens)
    }

    /// Who a token is of.
    pub fn verify(&self, token: &str) -> Result<Principal> {
        self.0.verify(token)
    }

    /// A token for a grant.
    pub fn issue(&self, grant: &Grant) -> Result<String> {
        self.0.issue(grant)
    }

    /// A token with a good signature over any claims, JSON or not.
    pub fn sign(&self, claims: &[u8]) -> Result<String> {
        self.0.sign_raw(claims)
    }
}
