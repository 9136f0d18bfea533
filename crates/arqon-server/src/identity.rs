//! Who is calling: the server's signing key, the tokens made with it, and the owner's token.
//!
//! Invariant: a request gets a principal only from a token whose signature and times were checked here, or from the
//! explicit development mode, which works on loopback only.

mod claims;
mod door;
mod keys;
mod owner;
mod ring;

pub(crate) use claims::is_forged;
pub(crate) use door::has_token;
pub(crate) use keys::{check_private_key, check_public_key};
pub use owner::{credentials_file, forget, leave};

use crate::config::setting::{Secret, Secrets, section};
use anyhow::Context;
use arqon_core::env::Clock;
use arqon_core::port::Grant;
use arqon_core::{Role, Tenant};
use ring::Ring;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

section! {
    /// Who may come in. There is no way in without a token, except `insecure_dev`.
    pub struct AuthConfig {
        /// The secret that tokens are signed with (HS256, at least 32 bytes), for servers that share one. Not set: the
        /// server makes a key of 256 bits at its first start and keeps it in `DATA/identity/signing-key`, mode 0600.
        pub jwt_secret: Option<Secret> = None;
        /// Secrets whose tokens are still accepted while new ones are signed with `jwt_secret`: for changing it without
        /// turning anybody away. Separated by commas in the environment.
        pub previous_jwt_secrets: Secrets = Secrets::default();
        /// A file with a private key (PEM, Ed25519) that tokens are signed with instead of the secret; its public half must
        /// be among `eddsa_public_keys`. Others can then verify tokens without being able to make them.
        pub eddsa_private_key: Option<PathBuf> = None;
        /// Files with public keys (PEM, Ed25519) whose tokens are accepted besides: an identity provider's. `KID=FILE` says
        /// what the key is called in the header of its tokens; without it, its thumbprint (RFC 7638).
        pub eddsa_public_keys: Vec<String> = Vec::new();
        /// How far the clocks of token makers may differ from ours. None: tokens are made here.
        pub leeway_seconds: Duration = Duration::ZERO;
        /// Lets everybody in as `anonymous` with the role `admin`. For trying things out; refused off loopback.
        pub insecure_dev: bool = false;
        /// Leaves the owner's token where the command line of the same user finds it.
        pub leave_credentials: bool = true;
        /// That file. Not set: `$XDG_CONFIG_HOME/arqon/credentials.json`, or `~/.config/arqon/credentials.json`.
        pub credentials_file: Option<PathBuf> = None;
        /// Opens the endpoints for older dashboards, `/admin/*` among them, to whoever sends it as `X-API-Key`; at least 16
        /// bytes. Not set: they need a token with the role `system`.
        pub api_key: Option<Secret> = None;
    }
}

/// How long the owner's token is valid: it ends when the signing key is replaced.
const OWNER_TTL: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Makes tokens and verifies them.
pub struct Identity {
    ring: Ring,
    api_key: Option<Secret>,
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
        let mut ring = Ring::of_secret(&secret)?;
        for previous in config.previous_jwt_secrets.list() {
            ring.accept_secret(previous.reveal().as_bytes())?;
        }
        if let (None, Some(folder)) = (&config.jwt_secret, folder) {
            for previous in keys::previous_keys(&folder.join("identity"))? {
                ring.accept_secret(&previous)?;
            }
        }
        for entry in &config.eddsa_public_keys {
            let (kid, path) = keys::named(entry);
            ring.accept_public(kid.map(str::to_owned), keys::ed25519(path)?)?;
        }
        if let Some(path) = &config.eddsa_private_key {
            ring.sign_with(keys::ed25519_private(path)?)
                .with_context(|| format!("cannot sign with {}", path.display()))?;
        }
        Ok(Identity {
            ring,
            api_key: config.api_key.clone(),
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
