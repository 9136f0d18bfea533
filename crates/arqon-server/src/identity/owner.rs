//! The owner's token, left where the command line of the same user finds it.
//!
//! The file is `{"version":1,"servers":{"http://127.0.0.1:9100":{"token":"…","tenant":"default"}}}`, mode 0600.
//! Invariant: it is replaced as a whole, under a lock, and what other servers left in it stays.

use super::{AuthConfig, Identity, keys};
use anyhow::{Context, anyhow};
use arqon_core::Role;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Map, Value, json};
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file that credentials are left in; `None` without a home folder.
pub fn credentials_file(config: &AuthConfig) -> Option<PathBuf> {
    if let Some(path) = &config.credentials_file {
        return Some(path.clone());
    }
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")))?;
    Some(base.join("arqon/credentials.json"))
}

impl Identity {
    /// The owner's token in `file` if it is still good, else a new one, kept there.
    pub fn keep_owner_token(&self, file: &Path) -> anyhow::Result<String> {
        let kept = std::fs::read_to_string(file).unwrap_or_default();
        if self.is_owner(kept.trim()) {
            return Ok(kept.trim().to_owned());
        }
        let token = self.owner_token()?;
        // Where the secret comes from the configuration, nobody has made the folder yet.
        file.parent()
            .map_or(Ok(()), keys::private_folder)
            .and_then(|()| keys::write_private(file, format!("{token}\n").as_bytes()))
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(token)
    }

    fn is_owner(&self, token: &str) -> bool {
        self.verify(token).is_ok_and(|p| p.role == Role::System && &*p.subject == "owner")
    }
}

/// Leaves a token for the server at `url`.
pub fn leave(file: &Path, url: &str, token: &str) -> anyhow::Result<()> {
    update(file, |servers| {
        servers.insert(url.to_owned(), json!({ "token": token, "tenant": "default" }));
    })
}

/// Takes the entry of a server away that will not be back at this address.
pub fn forget(file: &Path, url: &str) -> anyhow::Result<()> {
    update(file, |servers| {
        servers.remove(url);
    })
}

fn update(file: &Path, change: impl FnOnce(&mut Map<String, Value>)) -> anyhow::Result<()> {
    let folder = file.parent().ok_or_else(|| anyhow!("{} has no folder", file.display()))?;
    let cannot = || format!("cannot write {}", file.display());
    keys::private_folder(folder).with_context(cannot)?;
    let lock_path = file.with_extension("lock");
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock_path);
    let lock = lock.with_context(cannot)?;
    flock(&lock, FlockOperation::LockExclusive).with_context(cannot)?;
    let mut root = read(file)?;
    let before = root.clone();
    let servers = root["servers"].as_object_mut().ok_or_else(|| damaged(file))?;
    change(servers);
    if root != before {
        let text = serde_json::to_string_pretty(&root).context("credentials are plain JSON")?;
        keys::write_private(file, format!("{text}\n").as_bytes()).with_context(cannot)?;
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Value> {
    match std::fs::read(file) {
        Ok(bytes) => {
            let root: Value = serde_json::from_slice(&bytes).map_err(|_| damaged(file))?;
            if root["version"] == 1 && root["servers"].is_object() { Ok(root) } else { Err(damaged(file)) }
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(json!({ "version": 1, "servers": {} })),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", file.display())),
    }
}

fn damaged(file: &Path) -> anyhow::Error {
    anyhow!("{} is not a credentials file; move it away and start again", file.display())
}
