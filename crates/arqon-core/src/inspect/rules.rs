//! The rules of a policy, compiled: every shape and pattern once, and one sieve over all of them.
//!
//! Invariant: where the sieve finds nothing, no rule would; it may find more than the rules do. All engines run in time
//! that is linear in the text, and their programs are bounded when they are made.

use super::policy::{InspectionPolicy, PolicyProblem, SecretSet};
use super::scope::matches_name;
use super::secrets::{KNOWN, OLDER, Shape};
use super::text::resolved;
use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

/// Largest compiled pattern, in bytes. It bounds what one byte of a text may cost at the very worst, which
/// docs/inspection.md measures.
const PROGRAM_BYTES: usize = 128 * 1024;
/// Memory of a pattern's cache of states.
const CACHE_BYTES: usize = 1024 * 1024;
/// Deepest nesting of groups in a pattern.
const NEST_MAX: u32 = 32;

/// What a rule is.
#[derive(Clone, Copy)]
pub(super) enum What {
    /// A shape of a known secret.
    Shape(&'static Shape),
    /// `secret_patterns[i]`.
    Own(usize),
    /// `redaction_patterns[i]`.
    Redact(usize),
}

/// One rule that reads texts.
pub(super) struct Rule {
    pub(super) what: What,
    pub(super) regex: Regex,
    /// A shape's stem; for patterns of the operator's own the pattern is its own stem.
    stem: Option<Regex>,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rule({})", self.name())
    }
}

impl Rule {
    /// Whether it may find something in any text that stands in this one.
    fn may_find(&self, text: &str) -> bool {
        self.stem.as_ref().unwrap_or(&self.regex).is_match(text)
    }

    /// Its name in findings.
    pub(super) fn name(&self) -> String {
        match self.what {
            What::Shape(shape) => shape.name.to_owned(),
            What::Own(i) => format!("secret_patterns[{i}]"),
            What::Redact(i) => format!("redaction_patterns[{i}]"),
        }
    }
}

/// The rules that may find something in a text, one bit each; the bit behind them stands for names of members.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidates(u128);

impl Candidates {
    pub(super) fn has(self, rule: usize) -> bool {
        self.0 >> rule & 1 == 1
    }
}

/// All rules of a policy.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) list: Vec<Rule>,
    sieve: RegexSet,
    /// Finds the names below, followed by a colon.
    names_stem: Regex,
    /// Rules that the sieve cannot stand for: they look at where a text begins or ends.
    always: u128,
    /// Names whose values are redacted, lower-case; those with a star apart.
    names: Vec<String>,
    globs: Vec<String>,
    /// Whether names such as `password` mark secrets.
    pub(super) judges_names: bool,
}

impl Rules {
    pub(super) fn new(policy: &InspectionPolicy) -> Result<Self, Vec<PolicyProblem>> {
        let mut problems = Vec::new();
        // A policy that is off is only checked: the shapes are known to compile, and take milliseconds to.
        let shapes = match policy.secret_set {
            _ if !policy.enabled => &[],
            SecretSet::Known => KNOWN,
            SecretSet::Older => OLDER,
            SecretSet::None => &[],
        };
        let mut list = Vec::new();
        let mut stems: Vec<&str> = Vec::new();
        for shape in shapes {
            let known = |pattern| Regex::new(pattern).expect("the shapes are tested to compile");
            let (regex, stem) = (known(shape.pattern), Some(known(shape.stem)));
            list.push(Rule { what: What::Shape(shape), regex, stem });
            stems.push(shape.stem);
        }
        let mut always = 0u128;
        type Kind = fn(usize) -> What;
        let own: [(&str, &[String], Kind); 2] = [
            ("secret_patterns", &policy.secret_patterns, What::Own),
            ("redaction_patterns", &policy.redaction_patterns, What::Redact),
        ];
        for (key, patterns, kind) in own {
            // Too many are refused elsewhere; they are not compiled.
            for (i, pattern) in patterns.iter().enumerate().take(super::policy::PATTERNS_MAX) {
                match compile(pattern) {
                    Ok(regex) if list.len() < 120 => {
                        always |= u128::from(looks_at_edges(pattern)) << list.len();
                        list.push(Rule { what: kind(i), regex, stem: None });
                        stems.push(pattern);
                    }
                    Ok(_) => {}
                    Err(message) => problems.push(PolicyProblem::new(format!("{key}[{i}]"), message)),
                }
            }
        }
        let lower = |name: &String| name.to_ascii_lowercase();
        let (globs, names): (Vec<String>, Vec<String>) =
            policy.redaction_paths.iter().map(lower).partition(|name| name.contains('*'));
        let member = names_stem(&names);
        stems.push(&member);
        if !globs.is_empty() {
            always |= 1 << list.len();
        }
        let judges_names = policy.secret_set == SecretSet::Known;
        match sieve(&stems) {
            Ok(sieve) if problems.is_empty() => {
                let names_stem = Regex::new(&member)
                    .map_err(|e| vec![PolicyProblem::new("redaction_paths", e.to_string())])?;
                Ok(Rules { list, sieve, names_stem, always, names, globs, judges_names })
            }
            Ok(_) => Err(problems),
            Err(_) if !problems.is_empty() => Err(problems),
            Err(message) => Err(vec![PolicyProblem::new("redaction_patterns", message)]),
        }
    }

    /// Which rules may find something in a JSON text; `None` when none does, which is the usual case and costs one pass.
    pub(super) fn candidates(&self, json: &str) -> Option<Candidates> {
        if !json.contains('\\') {
            return self.sift(json);
        }
        self.sift(&resolved(json))
    }

    fn sift(&self, text: &str) -> Option<Candidates> {
        if self.always == 0 && !self.sieve.is_match(text) {
            return None;
        }
        // One by one: a set that is asked for all of its matches stops at each of them, and a text may have thousands.
        let mut found = self.always;
        for (i, rule) in self.list.iter().enumerate() {
            found |= u128::from(found >> i & 1 == 0 && rule.may_find(text)) << i;
        }
        found |= u128::from(self.names_stem.is_match(text)) << self.list.len();
        (found != 0).then_some(Candidates(found))
    }

    /// Whether the names of members have to be compared at all.
    pub(super) fn compares_names(&self, candidates: Candidates) -> bool {
        candidates.has(self.list.len())
    }

    /// Whether the values of this name are redacted.
    pub(super) fn redacts_name(&self, name: &str) -> bool {
        self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
            || self.globs.iter().any(|glob| matches_name(glob, name))
    }
}

/// The names as they stand in JSON. A text that is no name is not followed by a colon.
fn names_stem(names: &[String]) -> String {
    if names.is_empty() {
        return r"[^\s\S]".to_owned();
    }
    let escaped: Vec<String> = names.iter().map(|name| regex::escape(name)).collect();
    format!(r#"(?i-u:"(?:{})"\s*:)"#, escaped.join("|"))
}

/// Whether a pattern may tell the beginning or end of a text from its middle: then a larger text cannot stand for it.
/// Word boundaries may stay: a text is between quotes, and a quote is no letter.
fn looks_at_edges(pattern: &str) -> bool {
    pattern.contains(['^', '$'])
        || pattern.contains(r"\A")
        || pattern.contains(r"\z")
        || pattern.contains(r"\b{")
}

fn compile(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern)
        .size_limit(PROGRAM_BYTES)
        .dfa_size_limit(CACHE_BYTES)
        .nest_limit(NEST_MAX)
        .build();
    let shown: String = pattern.chars().take(80).collect();
    let regex = built.map_err(|e| match e {
        regex::Error::CompiledTooBig(limit) => format!(
            "`{shown}` compiles to more than {} KiB; make its repetitions smaller, or write `[0-9A-Za-z_]` for `\\w`",
            limit / 1024
        ),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!("`{shown}` is no regular expression: {}", last.trim_start_matches("error: "))
        }
    })?;
    if regex.is_match("") {
        return Err(format!("`{shown}` matches where nothing stands; demand at least one character"));
    }
    Ok(regex)
}

fn sieve(stems: &[&str]) -> Result<RegexSet, String> {
    // Each was bounded by itself; the bound here only says the same of the whole.
    let size = PROGRAM_BYTES * (super::policy::PATTERNS_MAX + 1);
    let mut builder = RegexSetBuilder::new(stems);
    builder.size_limit(size).dfa_size_limit(2 * CACHE_BYTES).nest_limit(NEST_MAX);
    builder.build().map_err(|e| format!("the patterns cannot be used together: {e}"))
}
