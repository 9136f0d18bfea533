//! What is inspected and what follows from it, as operators set it; and the same compiled.
//!
//! Invariant: a compiled policy was valid as a whole. Everything that is wrong is named at once, each with its key.

use super::rules::Rules;
use super::scope::{Globs, could_match};
use std::fmt;
use std::sync::Arc;

/// What becomes of what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It is counted and told; nothing is blocked.
    #[default]
    Monitor,
    /// It is blocked where the policy says so.
    Enforce,
}

impl Mode {
    /// The name in config and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Monitor => "monitor",
            Mode::Enforce => "enforce",
        }
    }
}

/// What happens to a message that cannot be inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fallback {
    /// It goes on.
    #[default]
    Allow,
    /// In the mode `enforce` it is blocked.
    Block,
}

/// Which known shapes of secrets are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretSet {
    /// Keys and tokens of common services, private keys, credentials in addresses, assignments.
    #[default]
    Known,
    /// The short list of earlier servers of this protocol.
    Older,
    /// None but the operator's own.
    None,
}

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectionPolicy {
    /// Whether anything is inspected at all.
    pub enabled: bool,
    /// What becomes of what is found.
    pub mode: Mode,
    /// What happens to a message that cannot be inspected.
    pub default_decision: Fallback,
    /// Addresses that are inspected; empty means all. `*` stands for any text.
    pub scope_include: Vec<String>,
    /// Addresses that are not; they win over the ones above.
    pub scope_exclude: Vec<String>,
    /// How much of a message is looked at, in bytes.
    pub max_inspect_bytes: usize,
    /// Most patterns of the operator's own.
    pub max_patterns: usize,
    /// Larger payloads are refused.
    pub max_payload_bytes: usize,
    /// Whether a probable secret is blocked.
    pub block_on_probable_secret: bool,
    /// Which known shapes of secrets are looked for.
    pub secret_set: SecretSet,
    /// The operator's own secrets, as regular expressions.
    pub secret_patterns: Vec<String>,
    /// Names of members whose values are redacted, wherever they stand.
    pub redaction_paths: Vec<String>,
    /// How deep such names are looked for.
    pub redaction_depth: usize,
    /// What is redacted in any text, as regular expressions.
    pub redaction_patterns: Vec<String>,
    /// Whether the redacted form is what is stored and delivered.
    pub transport_redaction: bool,
    /// Addresses of which no log shows anything made from the payload.
    pub never_log_payload_for: Vec<String>,
    /// Whether verdicts are logged.
    pub metadata_to_logs: bool,
    /// Whether verdicts are events.
    pub metadata_to_telemetry: bool,
    /// Whether a message carries its verdict.
    pub metadata_to_envelope: bool,
}

impl Default for InspectionPolicy {
    fn default() -> Self {
        InspectionPolicy {
            enabled: false,
            mode: Mode::Monitor,
            default_decision: Fallback::Allow,
            scope_include: Vec::new(),
            scope_exclude: Vec::new(),
            max_inspect_bytes: 64 * 1024,
            max_patterns: 32,
            max_payload_bytes: 256 * 1024,
            block_on_probable_secret: false,
            secret_set: SecretSet::Known,
            secret_patterns: Vec::new(),
            redaction_paths: ["password", "token", "secret"].map(str::to_owned).to_vec(),
            redaction_depth: 10,
            redaction_patterns: Vec::new(),
            transport_redaction: false,
            never_log_payload_for: Vec::new(),
            metadata_to_logs: true,
            metadata_to_telemetry: true,
            metadata_to_envelope: false,
        }
    }
}

/// Something wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyProblem {
    /// The key, with its place in a list: `redaction_patterns[2]`.
    pub key: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl PolicyProblem {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        PolicyProblem { key: key.into(), message: message.into() }
    }
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl std::error::Error for PolicyProblem {}

impl From<PolicyProblem> for crate::Error {
    fn from(problem: PolicyProblem) -> Self {
        crate::Error::invalid(problem.key, problem.message)
    }
}

/// Most patterns that `max_patterns` may allow: each is a rule that every message is read for.
pub const PATTERNS_MAX: usize = 64;
/// Most entries of a list of names or addresses.
const LIST_MAX: usize = 256;
/// Longest entry of a list, in bytes.
const ENTRY_MAX: usize = 1024;

/// A policy in force.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) policy: Arc<InspectionPolicy>,
    pub(super) rules: Rules,
    include: Globs,
    exclude: Globs,
    quiet: Globs,
}

impl Compiled {
    /// Compiles a policy, or says everything that is wrong with it.
    pub(super) fn new(policy: &InspectionPolicy) -> Result<Self, Vec<PolicyProblem>> {
        let mut problems = bounds(policy);
        let rules = Rules::new(policy).map_err(|more| problems.extend(more));
        match rules {
            Ok(rules) if problems.is_empty() => Ok(Compiled {
                policy: Arc::new(policy.clone()),
                rules,
                include: Globs::new(&policy.scope_include),
                exclude: Globs::new(&policy.scope_exclude),
                quiet: Globs::new(&policy.never_log_payload_for),
            }),
            _ => Err(problems),
        }
    }

    pub(super) fn in_scope(&self, room: &str, channel: &str) -> bool {
        (self.include.is_empty() || self.include.matches(room, channel))
            && !self.exclude.matches(room, channel)
    }

    pub(super) fn may_log(&self, room: &str, channel: &str) -> bool {
        !self.quiet.matches(room, channel)
    }
}

/// A pattern that matches no address would leave what it was meant for without inspection, and nobody would be told.
fn scopes(policy: &InspectionPolicy, list: &mut Vec<PolicyProblem>) {
    let lists = [
        ("scope_include", &policy.scope_include),
        ("scope_exclude", &policy.scope_exclude),
        ("never_log_payload_for", &policy.never_log_payload_for),
    ];
    for (key, entries) in lists {
        for (i, entry) in entries.iter().enumerate().filter(|(_, entry)| !could_match(entry)) {
            let shown: String = entry.chars().take(80).collect();
            let text = format!(
                "`{shown}` matches no address: expected letters, digits and `. _ - : @ /`, with `*` for any text"
            );
            list.push(PolicyProblem::new(format!("{key}[{i}]"), text));
        }
    }
}

fn bounds(policy: &InspectionPolicy) -> Vec<PolicyProblem> {
    let mut list = Vec::new();
    let numbers = [
        ("max_inspect_bytes", policy.max_inspect_bytes, 1, 64 << 20),
        ("max_patterns", policy.max_patterns, 0, PATTERNS_MAX),
        ("max_payload_bytes", policy.max_payload_bytes, 1, 64 << 20),
        ("redaction_depth", policy.redaction_depth, 1, super::tokens::DEPTH_MAX),
    ];
    for (key, value, least, most) in numbers {
        if !(least..=most).contains(&value) {
            list.push(PolicyProblem::new(key, format!("expected {least} to {most}, found {value}")));
        }
    }
    let texts = [
        ("scope_include", &policy.scope_include),
        ("scope_exclude", &policy.scope_exclude),
        ("secret_patterns", &policy.secret_patterns),
        ("redaction_paths", &policy.redaction_paths),
        ("redaction_patterns", &policy.redaction_patterns),
        ("never_log_payload_for", &policy.never_log_payload_for),
    ];
    for (key, entries) in texts {
        if entries.len() > LIST_MAX {
            list.push(PolicyProblem::new(
                key,
                format!("{} entries; at most {LIST_MAX} are allowed", entries.len()),
            ));
        }
        let wrong = |entry: &String| entry.is_empty() || entry.len() > ENTRY_MAX;
        if let Some(i) = entries.iter().position(wrong) {
            let length = entries[i].len();
            let text = format!("expected 1 to {ENTRY_MAX} bytes, found {length}");
            list.push(PolicyProblem::new(format!("{key}[{i}]"), text));
        }
    }
    scopes(policy, &mut list);
    let own = policy.secret_patterns.len() + policy.redaction_patterns.len();
    if own > policy.max_patterns {
        let text = format!(
            "{own} patterns in `secret_patterns` and `redaction_patterns`; `max_patterns` allows {}",
            policy.max_patterns
        );
        list.push(PolicyProblem::new("max_patterns", text));
    }
    list
}
