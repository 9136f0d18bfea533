//! The keys: the one that signs, and all whose tokens are accepted.
//!
//! Invariant: a key is used with its own algorithm only, so that no public key is ever taken for a secret. A token that names
//! a known key by `kid` is checked with that key alone.

use anyhow::{Context, bail};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, crypto};

/// What the name of a secret is drawn from: a signature says nothing of its key.
const NAME: &[u8] = b"arqon key id";
/// Signed and verified once, to find the public half of a private key.
const PROBE: &[u8] = b"arqon key probe";

struct Accepted {
    kid: String,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// See the module.
pub(super) struct Ring {
    signing: EncodingKey,
    header: Header,
    accepted: Vec<Accepted>,
}

impl Ring {
    /// Signs with this secret and accepts it.
    pub(super) fn of_secret(secret: &[u8]) -> anyhow::Result<Ring> {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(name_of(secret)?);
        let mut ring = Ring { signing: EncodingKey::from_secret(secret), header, accepted: Vec::new() };
        ring.accept_secret(secret)?;
        Ok(ring)
    }

    /// Accepts tokens that were signed with this secret.
    pub(super) fn accept_secret(&mut self, secret: &[u8]) -> anyhow::Result<()> {
        let key = DecodingKey::from_secret(secret);
        self.accepted.push(Accepted { kid: name_of(secret)?, algorithm: Algorithm::HS256, key });
        Ok(())
    }

    /// Accepts tokens of the holder of this Ed25519 key. Without a name it is called by its thumbprint (RFC 7638).
    pub(super) fn accept_public(&mut self, kid: Option<String>, key: DecodingKey) -> anyhow::Result<()> {
        let kid = match kid {
            Some(kid) => kid,
            None => Jwk::from_decoding_key(&key, Some(Algorithm::EdDSA))
                .and_then(|jwk| jwk.thumbprint(ThumbprintHash::SHA256))
                .context("the key has no thumbprint")?,
        };
        self.accepted.push(Accepted { kid, algorithm: Algorithm::EdDSA, key });
        Ok(())
    }

    /// Signs with an Ed25519 key from now on, whose public half is accepted already.
    pub(super) fn sign_with(&mut self, private: EncodingKey) -> anyhow::Result<()> {
        let signature = crypto::sign(PROBE, &private, Algorithm::EdDSA).context("the key cannot sign")?;
        let fits = |known: &&Accepted| {
            known.algorithm == Algorithm::EdDSA
                && crypto::verify(&signature, PROBE, &known.key, Algorithm::EdDSA).unwrap_or(false)
        };
        let Some(known) = self.accepted.iter().find(fits) else {
            bail!("its public half is not among `auth.eddsa_public_keys`");
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(known.kid.clone());
        (self.header, self.signing) = (header, private);
        Ok(())
    }

    /// What stands before the claims of a token, and the key that signs it.
    pub(super) fn signing(&self) -> (&Header, &EncodingKey) {
        (&self.header, &self.signing)
    }

    /// The keys that a token may have been signed with.
    pub(super) fn candidates(&self, algorithm: Algorithm, kid: Option<&str>) -> Vec<&DecodingKey> {
        let of_algorithm = || self.accepted.iter().filter(move |known| known.algorithm == algorithm);
        let named: Vec<_> = of_algorithm().filter(|known| Some(known.kid.as_str()) == kid).collect();
        // Others may call a key what they like: a name that we do not know says nothing.
        let keys = if named.is_empty() { of_algorithm().collect() } else { named };
        keys.into_iter().map(|known| &known.key).collect()
    }
}

/// A short name that is the same wherever the secret is, and does not tell it.
fn name_of(secret: &[u8]) -> anyhow::Result<String> {
    let key = EncodingKey::from_secret(secret);
    let signature = crypto::sign(NAME, &key, Algorithm::HS256).context("the key cannot sign")?;
    Ok(signature.chars().take(16).collect())
}
