//! The configuration: a TOML file, and values from the environment.
//!
//! Invariant: what is taken can be printed and read again as the same; what is refused says where.

use arqon_server::Config;
use arqon_server::config::Sources;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use tempfile::TempDir;

/// The law. Up to a line `---` the input is the file; lines after that are `KEY=VALUE` of the environment.
///
/// # Panics
/// When it is broken.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (toml, rest) = text.split_once("\n---\n").unwrap_or((&text, ""));
    let env = rest.lines().filter_map(|line| line.split_once('='));
    let env = env.map(|(key, value)| (format!("ARQON_{key}"), value.to_owned())).collect();
    match Config::load(&Sources { file: Some(file("config.toml", toml)), env, ..Sources::default() }) {
        Ok(config) => {
            // A secret is printed as a mark, so it cannot be read back.
            if config.auth.jwt_secret.is_none() {
                let dumped = config.dump();
                let sources = Sources { file: Some(file("dumped.toml", &dumped)), ..Sources::default() };
                assert_eq!(Config::load(&sources), Ok(config), "{dumped}");
            }
        }
        Err(problems) => {
            assert!(!problems.0.is_empty() && problems.0.iter().all(|p| !p.message.is_empty()), "{problems}");
        }
    }
}

/// Written to a folder in memory where there is one.
fn file(name: &str, text: &str) -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        TempDir::with_prefix_in("arqon-fuzz-", "/dev/shm")
            .or_else(|_| TempDir::new())
            .expect("there is a folder")
    });
    let path = folder.path().join(name);
    fs::write(&path, text).expect("the folder is ours");
    path
}
