//! The files that git knows or would take, read once.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A text file.
pub struct File {
    /// The path from the root, with `/`.
    pub path: String,
    /// All of it.
    pub text: String,
}

impl File {
    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it is written by a machine and only looked over.
    pub fn is_generated(&self) -> bool {
        let inputs = self.path.starts_with("fuzz/corpus/");
        inputs || self.path.ends_with(".lock") || self.path.ends_with(".svg")
    }

    /// Whether the whole file is for tests or demonstrations.
    pub fn is_test(&self) -> bool {
        ["/tests/", "/tests.rs", "/examples/", "/benches/"].iter().any(|part| self.path.contains(part))
    }
}

/// The text files of the project.
pub struct Tree {
    /// In the order of their paths.
    pub files: Vec<File>,
}

impl Tree {
    /// Reads what git tracks and what it would track.
    pub fn read(root: &Path) -> Result<Tree> {
        let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let output = Command::new("git").current_dir(root).args(list).output().context("cannot run git")?;
        anyhow::ensure!(output.status.success(), "git ls-files: {}", output.status);
        let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
        let mut paths: Vec<&str> = names.split('\0').filter(|name| !name.is_empty()).collect();
        paths.sort_unstable();
        paths.dedup();
        let read = |path: &str| {
            let text = fs::read(root.join(path)).ok().and_then(|bytes| String::from_utf8(bytes).ok())?;
            Some(File { path: path.to_owned(), text })
        };
        Ok(Tree { files: paths.into_iter().filter_map(read).collect() })
    }

    /// The file at a path.
    pub fn find(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// All Rust files.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }
}
