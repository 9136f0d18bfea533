//! Keys on disk.
//!
//! Invariant: the signing key is readable by its owner only, and is written whole or not at all.

use anyhow::{Context, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// What comes before the 32 bytes of an Ed25519 public key in its DER form (RFC 8410).
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// 256 new bits from the operating system.
pub(super) fn draw() -> anyhow::Result<[u8; 32]> {
    let mut key = [0; 32];
    crate::env::os_random(&mut key).context("the operating system gave no randomness")?;
    Ok(key)
}

/// The signing key of `folder`, made at the first call.
pub(super) fn signing_key(folder: &Path) -> anyhow::Result<Vec<u8>> {
    private_folder(folder)?;
    let path = folder.join("signing-key");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            tighten(&path)?;
            let key = URL_SAFE_NO_PAD.decode(text.trim()).ok().filter(|key| key.len() >= 32);
            key.ok_or_else(|| {
                anyhow!(
                    "{} is not a signing key; restore it, or remove it to void all tokens",
                    path.display()
                )
            })
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let key = draw()?;
            write_private(&path, format!("{}\n", URL_SAFE_NO_PAD.encode(key)).as_bytes())?;
            tracing::info!(path = %path.display(), "signing key made");
            Ok(key.to_vec())
        }
        Err(e) => Err(e.into()),
    }
}

/// The keys that came before the signing key of `folder`, one a line: their tokens are still accepted.
pub(super) fn previous_keys(folder: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let path = folder.join("previous-signing-keys");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    tighten(&path)?;
    let lines = text.lines().map(str::trim).zip(1..).filter(|(line, _)| !line.is_empty());
    let key = |(line, number): (&str, usize)| {
        let key = URL_SAFE_NO_PAD.decode(line).ok().filter(|key| key.len() >= 32);
        key.ok_or_else(|| anyhow!("{}, line {number}: not a signing key", path.display()))
    };
    lines.map(key).collect()
}

/// The name and the file of an entry `KID=FILE` or `FILE`.
pub(super) fn named(entry: &str) -> (Option<&str>, &Path) {
    let is_name = |kid: &str| {
        !kid.is_empty() && kid.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    match entry.split_once('=').filter(|(kid, _)| is_name(kid)) {
        Some((kid, path)) => (Some(kid), Path::new(path)),
        None => (None, Path::new(entry)),
    }
}

/// An Ed25519 private key in PEM.
pub(super) fn ed25519_private(path: &Path) -> anyhow::Result<EncodingKey> {
    let key = PrivatePkcs8KeyDer::from_pem_file(path)
        .map_err(|e| anyhow!("{} is not a private key in PEM: {e}", path.display()))?;
    let signing = EncodingKey::from_ed_der(key.secret_pkcs8_der());
    match jsonwebtoken::crypto::sign(b"", &signing, jsonwebtoken::Algorithm::EdDSA) {
        Ok(_) => Ok(signing),
        Err(_) => bail!("{} is not an Ed25519 key", path.display()),
    }
}

/// Says what is wrong with a file that shall hold an Ed25519 private key.
pub(crate) fn check_private_key(path: &Path) -> anyhow::Result<()> {
    ed25519_private(path).map(|_| ())
}

/// An Ed25519 public key in PEM.
pub(super) fn ed25519(path: &Path) -> anyhow::Result<DecodingKey> {
    let key = SubjectPublicKeyInfoDer::from_pem_file(path)
        .map_err(|e| anyhow!("{} is not a public key in PEM: {e}", path.display()))?;
    match key.as_ref().strip_prefix(&ED25519_PREFIX) {
        Some(raw) if raw.len() == 32 => Ok(DecodingKey::from_ed_der(raw)),
        _ => bail!("{} is not an Ed25519 key", path.display()),
    }
}

/// Says what is wrong with an entry that shall name a file with an Ed25519 public key.
pub(crate) fn check_public_key(entry: &str) -> anyhow::Result<()> {
    ed25519(named(entry).1).map(|_| ())
}

/// Makes a folder that only its owner may enter.
pub(super) fn private_folder(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Replaces a file as a whole, mode 0600: written beside it, flushed, then renamed.
pub(super) fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // The error that counts is the first one.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Takes rights away from everybody but the owner.
fn tighten(path: &Path) -> std::io::Result<()> {
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "signing keys were readable by others; the mode is now 0600");
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_key_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data/identity");
        let first = signing_key(&folder).unwrap();
        let path = folder.join("signing-key");
        assert_eq!(first.len(), 32);
        assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(signing_key(&folder).unwrap(), first);
        assert_eq!(mode(&path), 0o600);
        std::fs::write(&path, "garbage").unwrap();
        assert!(signing_key(&folder).unwrap_err().to_string().contains("not a signing key"));
    }

    #[test]
    fn keys_of_before_are_read_line_by_line_and_a_bad_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(previous_keys(dir.path()).unwrap().is_empty());
        let path = dir.path().join("previous-signing-keys");
        let lines = [[1; 32], [2; 32]].map(|key| URL_SAFE_NO_PAD.encode(key));
        std::fs::write(&path, lines.join("\n\n")).unwrap();
        assert_eq!(previous_keys(dir.path()).unwrap(), [[1; 32], [2; 32]]);
        assert_eq!(mode(&path), 0o600);
        std::fs::write(&path, format!("{}\nshort\n", lines[0])).unwrap();
        assert!(previous_keys(dir.path()).unwrap_err().to_string().contains("line 2: not a signing key"));
    }

    #[test]
    fn an_entry_may_name_its_key() {
        assert_eq!(named("/a/b.pem"), (None, Path::new("/a/b.pem")));
        assert_eq!(named("idp-1=/a/b.pem"), (Some("idp-1"), Path::new("/a/b.pem")));
        assert_eq!(named("/a=b/c.pem"), (None, Path::new("/a=b/c.pem")));
    }
}
