//! Which crate may depend on which, from `cargo metadata`.
//!
//! Invariant: dependencies point down only. A crate that is not in the table is refused, so that its place is
//! thought about when it is made.

use super::Complaint;
use crate::steps::cargo;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// What the product's crates may use of each other, outside their tests.
const MAY_USE: &[(&str, &[&str])] = &[
    ("arqon-core", &[]),
    ("arqon-wire", &["arqon-core"]),
    ("arqon-ws", &["arqon-core", "arqon-wire"]),
    ("arqon-rest", &["arqon-core", "arqon-wire"]),
    ("arqon-store-contract", &["arqon-core"]),
    ("arqon-store-memory", &["arqon-core"]),
    ("arqon-store-embedded", &["arqon-core"]),
    ("arqon-client", &["arqon-core", "arqon-wire"]),
    (
        "arqon-server",
        &["arqon-core", "arqon-wire", "arqon-ws", "arqon-rest", "arqon-store-memory", "arqon-store-embedded"],
    ),
    (
        "arqon",
        &["arqon-core", "arqon-wire", "arqon-client", "arqon-server", "arqon-store-embedded", "arqon-bench"],
    ),
    (
        "arqon-testkit",
        &["arqon-core", "arqon-wire", "arqon-ws", "arqon-client", "arqon-server", "arqon-bench"],
    ),
    (
        "arqon-sim",
        &[
            "arqon-core",
            "arqon-wire",
            "arqon-ws",
            "arqon-store-memory",
            "arqon-store-embedded",
            "arqon-client",
        ],
    ),
    ("arqon-bench", &[]),
    (
        "arqon-fuzz",
        &[
            "arqon-core",
            "arqon-wire",
            "arqon-ws",
            "arqon-rest",
            "arqon-server",
            "arqon-store-contract",
            "arqon-store-embedded",
        ],
    ),
    ("xtask", &[]),
];

/// What tests may use beside that: the laws, the stores that need no disk, and the kit.
const TESTS_MAY_USE: &[&str] =
    &["arqon-store-contract", "arqon-store-memory", "arqon-store-embedded", "arqon-testkit", "arqon-client"];

/// The core's allow-list: bytes, errors, tracing, regular expressions in linear time, calendars and time zones (no
/// clock: clippy refuses to ask jiff for the time), and building blocks of futures that bring no runtime.
const CORE_MAY_USE: &[&str] = &[
    "bytes",
    "futures-util",
    "futures-channel",
    "thiserror",
    "arc-swap",
    "foldhash",
    "regex",
    "jiff",
    "tracing",
];

/// What the core's tests may use beside that; a runtime drives them, the core itself knows none.
const CORE_TESTS_MAY_USE: &[&str] = &["proptest", "expect-test", "tokio"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    license: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

/// Checks every crate of the workspace.
pub fn check() -> Result<Vec<Complaint>> {
    let output = cargo(&["metadata", "--format-version", "1", "--no-deps"]).output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cargo metadata is not as expected")?;
    Ok(metadata.packages.iter().flat_map(judge).collect())
}

fn judge(package: &Package) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut complain = |rule, text: String| complaints.push(Complaint::new(rule, &*package.name, text));
    if package.license.as_deref() != Some("Apache-2.0") {
        complain("licence", "its Cargo.toml lacks `license.workspace = true`".to_owned());
    }
    let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| *name == package.name) else {
        complain("direction", "is not in the table of xtask/src/tidy/crates.rs; give it a place".to_owned());
        return complaints;
    };
    for dependency in &package.dependencies {
        let (name, test) = (dependency.name.as_str(), dependency.kind.as_deref() == Some("dev"));
        if dependency.path.is_some() {
            let fine = may_use.contains(&name) || (test && TESTS_MAY_USE.contains(&name));
            if !fine {
                complain("direction", format!("must not depend on {name}"));
            }
        } else if package.name == "arqon-core" && !core_may_use(name, test) {
            complain("core-allow-list", format!("the core must not depend on {name}"));
        }
    }
    complaints
}

fn core_may_use(name: &str, test: bool) -> bool {
    CORE_MAY_USE.contains(&name) || (test && CORE_TESTS_MAY_USE.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(name: &str, dependency: &str, kind: Option<&str>, path: bool) -> Vec<&'static str> {
        let kind = kind.map(str::to_owned);
        let path = path.then(|| "/x".to_owned());
        let dependencies = vec![Dependency { name: dependency.to_owned(), kind, path }];
        let license = Some("Apache-2.0".to_owned());
        judge(&Package { name: name.to_owned(), license, dependencies }).iter().map(|c| c.rule).collect()
    }

    #[test]
    fn directions_hold() {
        assert_eq!(rules("arqon-ws", "arqon-core", None, true), Vec::<&str>::new());
        assert_eq!(rules("arqon-ws", "arqon-rest", None, true), ["direction"]);
        assert_eq!(rules("arqon-rest", "arqon-store-memory", None, true), ["direction"]);
        assert_eq!(rules("arqon-rest", "arqon-store-memory", Some("dev"), true), Vec::<&str>::new());
        assert_eq!(rules("arqon-store-memory", "arqon-store-embedded", None, true), ["direction"]);
        assert_eq!(rules("arqon-new", "bytes", None, false), ["direction"]);
    }

    #[test]
    fn the_core_takes_only_what_is_listed() {
        assert_eq!(rules("arqon-core", "bytes", None, false), Vec::<&str>::new());
        assert_eq!(rules("arqon-core", "tokio", Some("dev"), false), Vec::<&str>::new());
        for stranger in ["tokio", "serde", "axum", "fjall"] {
            assert_eq!(rules("arqon-core", stranger, None, false), ["core-allow-list"], "{stranger}");
        }
    }
}
