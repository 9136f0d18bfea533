//! The shapes of secrets that are known: keys and tokens of common services, private keys, credentials in addresses, and
//! what is assigned to a name such as `password`.
//!
//! Invariant: a shape's stem matches wherever its pattern does, also in a text that contains the one looked at: what the
//! stems do not find is clean. Repetitions are short or have no upper bound: long bounded ones would make many states live
//! at once, and a byte cost more than a constant.

mod judge;

pub(super) use judge::{Name, names_secret, value_is_secret};

use judge::{is_placeholder, looks_random};

/// One known shape.
pub(super) struct Shape {
    /// Its name in findings.
    pub(super) name: &'static str,
    /// What must stand there at least; cheap to look for.
    pub(super) stem: &'static str,
    /// The secret: the first group if there is one, else all that matches; for `Assigned` what comes before it.
    pub(super) pattern: &'static str,
    pub(super) check: Check,
}

/// What else must hold of what a pattern found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// It is a secret whatever it contains (the older list).
    Always,
    /// It does not say itself that it is an example.
    Genuine,
    /// Genuine, and as mixed as something that was drawn at random.
    Random,
    /// The pattern is a name and its sign; the value that follows is cut off by hand, and both are judged.
    Assigned,
    /// A password in an address.
    Address,
}

/// What the shape before the match and the match itself are judged by.
impl Shape {
    /// Whether what was found is a secret. `before` is the text up to it.
    pub(super) fn accepts(&self, before: &str, found: &str, whole: &str) -> bool {
        match self.check {
            Check::Always => true,
            Check::Genuine => !is_placeholder(found),
            Check::Random => !is_placeholder(found) && looks_random(found),
            Check::Assigned => judge::assignment_is_secret(before, found, whole),
            Check::Address => judge::password_in_address(found, whole),
        }
    }
}

const fn shape(name: &'static str, stem: &'static str, pattern: &'static str, check: Check) -> Shape {
    Shape { name, stem, pattern, check }
}

/// The names that a value may be assigned to; what else may stand in them is judged afterwards.
macro_rules! names {
    () => {
        "password|passwd|passphrase|pwd|secret|token|(?:api|access|private|account|secret|signing|encryption)[_. -]{0,2}key|credentials"
    };
}

use Check::{Address, Always, Assigned, Genuine, Random};

/// The set `known`. Lengths are those that the services give out, at least; where a service documents none, what is
/// seen.
pub(super) const KNOWN: &[Shape] = &[
    shape(
        "assignment",
        concat!(r#"(?i-u:(?:"#, names!(), r#")\\{0,3}["'`]?\s{0,3}(?::=|=>|=|:))"#),
        concat!(r#"(?i-u:(?:"#, names!(), r#")\\{0,3}["'`]?\s{0,3}(?::=|=>|=|:)\s{0,3}\\{0,3}["'`]?)"#),
        Assigned,
    ),
    shape(
        "passphrase",
        r#"(?i-u:passphrase\\{0,3}["'`]?\s{0,3}[=:])"#,
        r#"(?i-u:passphrase\\{0,3}["'`]?\s{0,3}[=:]\s{0,3}\\{0,3}["'`])([^"'`\\\r\n]{8,})"#,
        Genuine,
    ),
    shape(
        "command-line-option",
        r"(?i-u:--(?:password|passphrase|token|secret|api-key)[ =])",
        r#"(?i-u:--(?:password|passphrase|token|secret|api-key)[ =]["']?)"#,
        Assigned,
    ),
    shape(
        "bearer-token",
        r"(?i-u:\bbearer\s)",
        r"(?i-u:\bbearer\s{1,3})([A-Za-z0-9._~+/-]{16,}={0,2})",
        Random,
    ),
    shape(
        "basic-credentials",
        r"(?i-u:\bbasic\s)",
        r"(?i-u:\bbasic\s{1,3})([A-Za-z0-9+/]{12,}={0,2})(?:[^A-Za-z0-9+/=]|$)",
        Random,
    ),
    shape(
        "password-in-address",
        r#"://[^/\s:@"'<>]*:[^/\s@"'<>]"#,
        r#"[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^/\s:@"'<>]*:([^/\s@"'<>]{3,})@"#,
        Address,
    ),
    shape(
        "private-key",
        r"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY",
        r"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr])*(?:(?:Proc-Type|DEK-Info|Version|Comment): [^\r\n]*(?:\s|\\[nr])+)*[A-Za-z0-9+/]{16}[A-Za-z0-9+/=\s\\:,]*(?:-----END [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----)?",
        Always,
    ),
    shape(
        "json-web-token",
        r"(?-u:\b)ey[IJ][A-Za-z0-9_-]{8}",
        r"(?-u:\b)ey[IJ][A-Za-z0-9_-]{8,}\.ey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}",
        Genuine,
    ),
    shape(
        "aws-access-key",
        r"(?-u:\b)A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{4}",
        r"(?-u:\b)A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}(?-u:\b)",
        Genuine,
    ),
    shape(
        "github-token",
        r"(?-u:\b)gh[pousr]_[A-Za-z0-9]{4}",
        r"(?-u:\b)gh[pousr]_[A-Za-z0-9]{36,}(?-u:\b)",
        Random,
    ),
    shape(
        "github-fine-grained-token",
        r"github_pat_",
        r"(?-u:\b)github_pat_[A-Za-z0-9_]{60,}(?-u:\b)",
        Random,
    ),
    shape(
        "gitlab-token",
        r"(?-u:\b)gl(?:pat|dt|rt|cbt|ptt|ft|imt|soat|agent|oas|ffct)-",
        r"(?-u:\b)gl(?:pat|dt|rt|cbt|ptt|ft|imt|soat|agent|oas|ffct)-[A-Za-z0-9_-]{20,}",
        Random,
    ),
    shape(
        "slack-token",
        r"(?-u:\b)(?:xox[abeoprs]|xapp)-[0-9A-Za-z]",
        r"(?-u:\b)(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{20,}",
        Random,
    ),
    shape(
        "slack-webhook",
        r"hooks\.slack\.com/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9]{6,20}/[A-Za-z0-9]{6,20}/[A-Za-z0-9]{16,}",
        Genuine,
    ),
    shape(
        "stripe-key",
        r"(?-u:\b)[srp]k_(?:live|test|prod)_",
        r"(?-u:\b)[srp]k_(?:live|test|prod)_[A-Za-z0-9]{16,}(?-u:\b)",
        Random,
    ),
    shape("webhook-signing-secret", r"(?-u:\b)whsec_", r"(?-u:\b)whsec_[A-Za-z0-9+/]{24,}={0,2}", Random),
    shape("google-api-key", r"(?-u:\b)AIza[A-Za-z0-9_-]", r"(?-u:\b)AIza[A-Za-z0-9_-]{35}", Random),
    shape("google-client-secret", r"GOCSPX-", r"(?-u:\b)GOCSPX-[A-Za-z0-9_-]{24,}", Random),
    shape("google-access-token", r"(?-u:\b)ya29\.", r"(?-u:\b)ya29\.[A-Za-z0-9_-]{20,}", Random),
    shape(
        "ai-service-key",
        r"(?-u:\b)sk-[A-Za-z0-9]",
        r"(?-u:\b)sk-(?:[a-z]{2,12}[0-9]{0,2}-){0,3}[A-Za-z0-9_-]{20,}",
        Random,
    ),
    shape(
        "ai-service-token",
        r"(?-u:\b)(?:gsk_|xai-|pplx-|r8_|hf_|nvapi-|csk-)[A-Za-z0-9]",
        r"(?-u:\b)(?:gsk_|xai-|pplx-|r8_|hf_|nvapi-|csk-)[A-Za-z0-9_-]{30,}",
        Random,
    ),
    shape(
        "package-registry-token",
        r"(?-u:\b)(?:npm_|pypi-|cio|rubygems_|dckr_pat_)[A-Za-z0-9]",
        r"(?-u:\b)(?:npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,}|cio[A-Za-z0-9]{32}|rubygems_[0-9a-f]{48}|dckr_pat_[A-Za-z0-9_-]{20,})(?-u:\b)",
        Random,
    ),
    shape(
        "mail-service-key",
        r"(?-u:\b)(?:SG\.|key-[0-9a-f]{4})",
        r"(?-u:\b)(?:SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,}|key-[0-9a-f]{32}(?-u:\b))",
        Random,
    ),
    shape(
        "telegram-bot-token",
        r"(?-u:\b)[0-9]{8,10}:AA",
        r"(?-u:\b)[0-9]{8,10}:AA[A-Za-z0-9_-]{33}",
        Random,
    ),
    shape(
        "cloud-token",
        r"(?-u:\b)(?:do[opr]_v1_|hvs\.|dapi[0-9a-f]|shp(?:at|ca|pa|ss)_|lin_api_|ATATT3|ntn_|sbp_|fly_|dop_|figd_)",
        r"(?-u:\b)(?:do[opr]_v1_[0-9a-f]{64}|hvs\.[A-Za-z0-9_-]{24,}|dapi[0-9a-f]{32}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|lin_api_[A-Za-z0-9]{32,}|ATATT3[A-Za-z0-9_=-]{50,}|ntn_[A-Za-z0-9]{40,}|sbp_[0-9a-f]{40}|figd_[A-Za-z0-9_-]{36,})",
        Random,
    ),
];

/// The set `older`: what earlier servers of this protocol looked for. It finds every mention of a secret, and so also
/// much that is none.
pub(super) const OLDER: &[Shape] = &[
    shape(
        "mention",
        r"(?i-u:api[_-]?key|secret|token|password)",
        r"(?i-u:api[_-]?key|secret|token|password)",
        Always,
    ),
    shape("bearer-token", r"(?i-u:bearer\s)", r"(?i-u:bearer\s{1,3})[A-Za-z0-9._~+/-]+={0,2}", Always),
    shape("stripe-key", r"(?-u:)[sp]k_(?:live|test)_", r"[sp]k_(?:live|test)_[A-Za-z0-9]{16,}", Always),
];

#[cfg(test)]
#[path = "secrets/tests.rs"]
mod tests;
