//! The copy of the tree that mistakes are planted into, and building it.
//!
//! Invariant: between two mistakes the copy is the tree, byte for byte; what did not change is not built again.

use super::text;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is built again and again. Compiling it takes longer than the runs, so it is to be short: hardly optimised, in many
/// pieces, without line tables. What these depend on is built once, as for a release.
const OURS: [&str; 7] = [
    "arqon-core",
    "arqon-wire",
    "arqon-ws",
    "arqon-store-embedded",
    "arqon-store-memory",
    "arqon-client",
    "arqon-sim",
];
const QUICK: [&str; 3] = ["opt-level=1", "codegen-units=256", "debug=false"];

/// A copy of the tree.
pub(super) struct Copy {
    tree: PathBuf,
    build: PathBuf,
    binaries: PathBuf,
}

impl Copy {
    /// Copies what git knows or would add.
    pub(super) fn of(root: &Path, folder: &Path) -> Result<Self> {
        let copy = Copy {
            tree: folder.join("tree"),
            build: folder.join("build"),
            binaries: folder.join("binaries"),
        };
        fs::create_dir_all(&copy.binaries)?;
        let mut git = Command::new("git");
        let listed = git
            .current_dir(root)
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .output()?;
        ensure!(listed.status.success(), "git ls-files failed: {}", text(&listed));
        for name in String::from_utf8(listed.stdout)?.split('\0').filter(|name| !name.is_empty()) {
            copy.take(root, name).with_context(|| format!("cannot copy {name}"))?;
        }
        Ok(copy)
    }

    /// What is the same keeps its time, so that it is not built again.
    fn take(&self, root: &Path, name: &str) -> Result<()> {
        let (from, to) = (root.join(name), self.tree.join(name));
        let Ok(content) = fs::read(&from) else {
            // Deleted, and not yet for git; or a link.
            let _it_was_perhaps_never_there = fs::remove_file(&to);
            return Ok(());
        };
        if fs::read(&to).is_ok_and(|old| old == content) {
            return Ok(());
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(fs::write(&to, content)?)
    }

    /// The simulation with a mistake in it; the copy is as before afterwards.
    pub(super) fn plant(&self, name: &str, patch: &Path) -> Result<PathBuf> {
        if let Err(why) = self.apply(patch, &[]) {
            bail!(
                "the patch does not apply any more: what it changes was changed. Make the same mistake in the present code, \
                 put `git diff` of it under the first two lines of {}, take it back, and try \
                 `cargo xtask sim --planted --only {name}` ({why:#})",
                patch.display()
            );
        }
        let binary = self.build(name);
        self.apply(patch, &["--reverse"])?;
        binary
    }

    fn apply(&self, patch: &Path, more: &[&str]) -> Result<()> {
        let mut command = Command::new("git");
        // The copy lies inside the repository and is none of it.
        let ceiling = self.tree.parent().unwrap_or(&self.tree);
        command.env("GIT_CEILING_DIRECTORIES", ceiling).current_dir(&self.tree);
        let done = command.arg("apply").args(more).arg(patch).output()?;
        ensure!(done.status.success(), "{}", text(&done));
        Ok(())
    }

    /// Builds the copy as it is; answers a binary of that name, which later builds leave alone.
    pub(super) fn build(&self, name: &str) -> Result<PathBuf> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.tree).env("CARGO_TARGET_DIR", &self.build).env("CARGO_INCREMENTAL", "1");
        for (package, setting) in OURS.iter().flat_map(|package| QUICK.map(|setting| (package, setting))) {
            cargo.args(["--config", &format!("profile.release.package.{package}.{setting}")]);
        }
        let built = cargo.args(["build", "--quiet", "--release", "--locked", "-p", "arqon-sim"]).output()?;
        ensure!(built.status.success(), "it does not compile: {}", text(&built));
        let suffix = std::env::consts::EXE_SUFFIX;
        let binary = self.binaries.join(format!("{name}{suffix}"));
        fs::copy(self.build.join("release").join(format!("arqon-sim{suffix}")), &binary)?;
        Ok(binary)
    }
}
