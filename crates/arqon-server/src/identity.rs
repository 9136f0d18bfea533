//! Who is calling: the server's signing key, the tokens made with it, and the owner's token.
//!
//! Invariant: a request gets a principal only from a token whose signature and times were checked here, or from the
//! explicit development mode, which works on loopback only.

mod claims;
mod door;
mod keys;
mod owner;

pub(crate) use keys::check_public_key;
pub use owner::{credentials_file, forget, leave};

use crate::config::setting::{Secret, section};
use anyhow::Context;
use arqon_core::env::Clock;
use arqon_core::port::Grant;
use arqon_core::{Role, Tenant};
use jsonwebtoken::{DecodingKey, EncodingKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

section! {
    /// Who may come in. There is no way in without a token, except `insecure_dev`.
    pub struct AuthConfig {
        /// The secret that tokens are signed with (HS256, at least 32 bytes), for servers that share one. Not set: the
        /// server makes a key of 256 bits at its first start and keeps it in `DATA/identity/signing-key`, mode 0600.
        pub jwt_secret: Option<Secret> = None;
        /// Files with public keys (PEM, Ed25519) whose tokens are accepted besides: an identity provider's.
        pub eddsa_public_keys: Vec<String> = Vec::new();
        /// How far the clocks of token makers may differ from ours. None: tokens are made here.
        pub leeway_seconds: Duration = Duration::ZERO;
        /// Lets everybody in as `anonymous` with the role `admin`. For trying things out; refused off loopback.
        pub insecure_dev: bool = false;
        /// Leaves the owner's token where the command line of the same user finds it.
        pub leave_credentials: bool = true;
        /// That file. Not set: `$XDG_CONFIG_HOME/arqon/credentials.json`, or `~/.config/arqon/credentials.json`.
        pub credentials_file: Option<PathBuf> = None;
    }
}

/// How long the owner's token is valid: it ends when the signing key is replaced.
const OWNER_TTL: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Makes tokens and verifies them.
pub struct Identity {
    signing: EncodingKey,
    secret: DecodingKey,
    public: Vec<DecodingKey>,
    leeway: Duration,
    insecure_dev: bool,
    origins: Vec<String>,
    clock: Arc<dyn Clock>,
}

impl Identity {
    /// Reads the keys, or makes the signing key if there is none. `folder` is the data folder; without one, the key
    /// lives as long as the process.
    pub fn build(
        config: &AuthConfig,
        origins: &[String],
        folder: Option<&Path>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Identity> {
        let secret = match (&config.jwt_secret, folder) {
            (Some(secret), _) => secret.reveal().as_bytes().to_vec(),
            (None, Some(folder)) => keys::signing_key(&folder.join("identity")).with_context(|| {
                format!("cannot read or make the signing key in {}", folder.join("identity").display())
            })?,
            (None, None) => keys::draw()?.to_vec(),
        };
        let public = config.eddsa_public_keys.iter().map(|path| keys::ed25519(Path::new(path)));
        Ok(Identity {
            signing: EncodingKey::from_secret(&secret),
            secret: DecodingKey::from_secret(&secret),
            public: public.collect::<anyhow::Result<_>>()?,
            leeway: config.leeway_seconds,
            insecure_dev: config.insecure_dev,
            origins: origins.to_vec(),
            clock,
        })
    }

    /// A new token for the owner of the server: everything, in every tenant.
    pub fn owner_token(&self) -> arqon_core::Result<String> {
        self.sign(&Grant {
            subject: "owner".to_owned(),
            tenant: Tenant::default(),
            role: Role::System,
            publish: None,
            subscribe: None,
            ttl: OWNER_TTL,
        })
    }
}

#[cfg(test)]
mod tests;
