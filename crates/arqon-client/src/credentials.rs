//! The credentials file: tokens by server, which a local server leaves for the clients of the same user.
//!
//! `$XDG_CONFIG_HOME/arqon/credentials.json`, else `~/.config/arqon/credentials.json`:
//! `{"version":1,"servers":{"http://127.0.0.1:9100":{"token":"…","tenant":"default"}}}`.
//!
//! Invariant: the file is readable by its owner only, and is replaced as a whole or not at all.

use crate::Endpoint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What is known of one server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The token.
    pub token: String,
    /// The tenant that the token belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("token", &"(hidden)").field("tenant", &self.tenant).finish()
    }
}

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The version of the format: 1.
    pub version: u32,
    /// Entries by the server's base URL.
    #[serde(default)]
    pub servers: BTreeMap<String, Entry>,
}

impl Default for Credentials {
    fn default() -> Self {
        Credentials { version: 1, servers: BTreeMap::new() }
    }
}

impl Credentials {
    /// Where the file of this user is; `None` if neither `XDG_CONFIG_HOME` nor `HOME` is set.
    pub fn default_path() -> Option<PathBuf> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
        Some(folder.join("arqon").join("credentials.json"))
    }

    /// Reads the file; one that does not exist is empty.
    ///
    /// # Errors
    /// The file cannot be read, or is not in the format.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Credentials::default()),
            Err(e) => return Err(e),
        };
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let read: Credentials = serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?;
        if read.version != 1 {
            return Err(wrong(format!("version {} is not known; expected 1", read.version)));
        }
        Ok(read)
    }

    /// Replaces the file atomically, mode 0600, and makes its folder (0700) if need be.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        make_private_folder(folder)?;
        let scratch = folder.join(format!(".credentials.{}.tmp", std::process::id()));
        let _ = std::fs::remove_file(&scratch);
        let written = (|| {
            let mut file = create_private(&scratch)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&scratch, path)
        })();
        if written.is_err() {
            let _ = std::fs::remove_file(&scratch);
        }
        written
    }

    /// The entry of a server, also under the other names of this machine.
    pub fn find(&self, endpoint: &Endpoint) -> Option<&Entry> {
        endpoint.aliases().iter().find_map(|base| self.servers.get(base))
    }

    /// Keeps an entry for a server.
    pub fn set(&mut self, endpoint: &Endpoint, entry: Entry) {
        self.servers.insert(endpoint.base(), entry);
    }
}

#[cfg(unix)]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)
}

#[cfg(unix)]
fn create_private(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> io::Result<std::fs::File> {
    std::fs::OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::parse(url).unwrap()
    }
    fn entry(token: &str) -> Entry {
        Entry { token: token.to_owned(), tenant: Some("default".to_owned()) }
    }

    #[test]
    fn what_is_written_is_read_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("arqon").join("credentials.json");
        assert_eq!(Credentials::read(&path).unwrap(), Credentials::default());
        let mut credentials = Credentials::default();
        credentials.set(&endpoint("ws://127.0.0.1:9100/ws"), entry("t1"));
        credentials.write(&path).unwrap();
        credentials.set(&endpoint("https://bus.example.com"), entry("t2"));
        credentials.write(&path).unwrap();
        let read = Credentials::read(&path).unwrap();
        assert_eq!(read, credentials);
        assert_eq!(read.find(&endpoint("http://localhost:9100")).unwrap().token, "t1");
        assert_eq!(read.find(&endpoint("http://localhost:9101")), None);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no scratch file is left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn the_documented_form_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        let text = r#"{"version":1,"servers":{"http://127.0.0.1:9100":{"token":"abc","tenant":"default"}}}"#;
        std::fs::write(&path, text).unwrap();
        let read = Credentials::read(&path).unwrap();
        assert_eq!(read.find(&endpoint("http://127.0.0.1:9100")), Some(&entry("abc")));
        std::fs::write(&path, r#"{"version":2}"#).unwrap();
        assert!(Credentials::read(&path).unwrap_err().to_string().contains("version 2"));
    }

    #[test]
    fn a_token_is_not_shown() {
        assert!(!format!("{:?}", entry("secret")).contains("secret"));
    }
}
