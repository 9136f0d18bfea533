//! Content inspection, as keys; and a policy by itself, as `arqon inspect test` takes it.

use super::load::{Origin, Problem};
use super::nearest::nearest;
use super::setting::{ByteSize, Section, choice, section};
use arqon_core::inspect::{Fallback, InspectionPolicy, Inspector, Mode, SecretSet};
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

choice! {
    /// What becomes of what is found.
    pub enum InspectionMode {
        /// It is counted and told.
        Monitor = "monitor",
        /// It is blocked where the policy says so.
        Enforce = "enforce",
    }
}

choice! {
    /// What happens to a message that cannot be inspected.
    pub enum InspectionFallback {
        /// It goes on.
        Allow = "allow",
        /// In the mode `enforce` it is blocked.
        Block = "block",
    }
}

choice! {
    /// Which known shapes of secrets are looked for.
    pub enum InspectionSecrets {
        /// Keys and tokens of common services, private keys, credentials in addresses, assignments.
        Known = "known",
        /// The short list of earlier servers of this protocol.
        Older = "older",
        /// None but the operator's own.
        None = "none",
    }
}

section! {
    /// Content inspection: secrets and other things that should not travel are found before a message is routed or
    /// stored. docs/inspection.md says how to bring it in.
    pub struct InspectionConfig {
        /// Whether messages are inspected. Off: what travels is the senders' business until an operator says otherwise.
        pub enabled: bool = false;
        /// `monitor` blocks nothing and alters nothing (unless `transport_redaction` is set); `enforce` does what the
        /// policy says. Monitor first: see what would happen before it does.
        pub mode: InspectionMode = InspectionMode::Monitor;
        /// What happens to a message that cannot be inspected (its text is no UTF-8 or no JSON). `allow`: a fault of
        /// ours should not stop a fleet.
        pub default_decision: InspectionFallback = InspectionFallback::Allow;
        /// Addresses that are inspected, such as `repo:*`; `*` stands for any text, none means all.
        pub scope_include: Vec<String> = Vec::new();
        /// Addresses that are not inspected; they win over `scope_include`.
        pub scope_exclude: Vec<String> = Vec::new();
        /// How much of a message is looked at. 64 KiB bounds the time that one message may cost; what is longer is said to
        /// be inspected in part. Up to 256 KiB is advised.
        pub max_inspect_bytes: ByteSize = ByteSize(64 << 10);
        /// Most patterns of one's own, together; at most 64, since every message is read for each.
        pub max_patterns: usize = 32;
        /// Larger payloads are refused (`enforce`) or told (`monitor`). 256 KiB: above it content belongs in a store.
        pub max_payload_bytes: ByteSize = ByteSize(256 << 10);
        /// Whether a message with a probable secret is blocked. Off: first see how often that would happen.
        pub block_on_probable_secret: bool = false;
        /// Which shapes of secrets are looked for: `known` (keys and tokens of common services, private keys, JWTs,
        /// credentials in addresses, assignments), `older` (every mention of a password or token, as earlier servers did),
        /// `none`.
        pub secret_set: InspectionSecrets = InspectionSecrets::Known;
        /// Secrets of one's own, as regular expressions (linear time: no look-around, no back-references).
        pub secret_patterns: Vec<String> = Vec::new();
        /// Names of members whose values are redacted wherever they stand, in any case; `*` stands for any text.
        pub redaction_paths: Vec<String> = ["password", "token", "secret"].map(str::to_owned).to_vec();
        /// How many levels deep such names are looked for. 10: what is deeper is data, and secrets are found at any depth.
        pub redaction_depth: usize = 10;
        /// What is redacted in any text, as regular expressions.
        pub redaction_patterns: Vec<String> = Vec::new();
        /// Whether messages are stored and delivered in their redacted form, in both modes. Off: what is delivered is what
        /// was sent.
        pub transport_redaction: bool = false;
        /// Addresses of which logs and events show nothing made from the payload, not even where something was found.
        pub never_log_payload_for: Vec<String> = Vec::new();
        /// Whether verdicts are logged (decision, reason, flags; never the payload).
        pub metadata_to_logs: bool = true;
        /// Whether verdicts are events (`casil_decision`).
        pub metadata_to_telemetry: bool = true;
        /// Whether a message carries its verdict as `metadata.casil`. Off: it makes each message larger.
        pub metadata_to_envelope: bool = false;
    }
}

impl InspectionConfig {
    /// As the core takes it.
    pub fn to_policy(&self) -> InspectionPolicy {
        InspectionPolicy {
            enabled: self.enabled,
            mode: match self.mode {
                InspectionMode::Monitor => Mode::Monitor,
                InspectionMode::Enforce => Mode::Enforce,
            },
            default_decision: match self.default_decision {
                InspectionFallback::Allow => Fallback::Allow,
                InspectionFallback::Block => Fallback::Block,
            },
            scope_include: self.scope_include.clone(),
            scope_exclude: self.scope_exclude.clone(),
            max_inspect_bytes: self.max_inspect_bytes.as_usize(),
            max_patterns: self.max_patterns,
            max_payload_bytes: self.max_payload_bytes.as_usize(),
            block_on_probable_secret: self.block_on_probable_secret,
            secret_set: match self.secret_set {
                InspectionSecrets::Known => SecretSet::Known,
                InspectionSecrets::Older => SecretSet::Older,
                InspectionSecrets::None => SecretSet::None,
            },
            secret_patterns: self.secret_patterns.clone(),
            redaction_paths: self.redaction_paths.clone(),
            redaction_depth: self.redaction_depth,
            redaction_patterns: self.redaction_patterns.clone(),
            transport_redaction: self.transport_redaction,
            never_log_payload_for: self.never_log_payload_for.clone(),
            metadata_to_logs: self.metadata_to_logs,
            metadata_to_telemetry: self.metadata_to_telemetry,
            metadata_to_envelope: self.metadata_to_envelope,
        }
    }

    /// Reads a policy by itself: a TOML file with the keys of `[inspection]`, or a server's whole configuration, of which
    /// only that section counts. Everything that is wrong is answered at once.
    ///
    /// # Errors
    /// What is wrong, each with its key.
    pub fn read(path: &Path, text: &str) -> Result<InspectionConfig, Vec<Problem>> {
        let origin = Origin::File(path.to_path_buf());
        let mut config = InspectionConfig::default();
        config.set_all(&keys(&origin, text)?, &origin)?;
        let wrong = Inspector::check(&config.to_policy());
        let problems: Vec<Problem> =
            wrong.into_iter().map(|p| Problem::new(p.key, origin.clone(), p.message)).collect();
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    /// The keys that a file like that sets, and over them those of `pairs` (name and text, as in the environment), by the
    /// names and with the values of `op.casil.reload`. Whether they go together is for the server to say.
    ///
    /// # Errors
    /// What is wrong, each with its key.
    pub fn changes(
        file: Option<(&Path, &str)>,
        pairs: &[(String, String)],
    ) -> Result<BTreeMap<String, arqon_core::value::Value>, Vec<Problem>> {
        let mut config = InspectionConfig::default();
        let mut named = Vec::new();
        if let Some((path, text)) = file {
            let origin = Origin::File(path.to_path_buf());
            let table = keys(&origin, text)?;
            config.set_all(&table, &origin)?;
            named.extend(table.into_iter().map(|(name, _)| name));
        }
        let text = |(name, text): &(String, String)| (name.clone(), Value::String(text.clone()));
        config.set_all(&pairs.iter().map(text).collect(), &Origin::Flag)?;
        named.extend(pairs.iter().map(|(name, _)| name.clone()));
        let wrong = Inspector::check(&config.to_policy());
        // What is not named is the server's to judge; so is what goes together with it.
        let own = wrong.into_iter().filter(|p| p.key.contains('['));
        let problems: Vec<Problem> = own.map(|p| Problem::new(p.key, Origin::Flag, p.message)).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut members = config.to_policy().members();
        members.retain(|name, _| named.contains(name));
        Ok(members)
    }

    fn set_all(&mut self, table: &Table, origin: &Origin) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        for (name, value) in table {
            match self.set(name, value) {
                Some(Ok(())) => {}
                Some(Err(message)) => problems.push(Problem::new(name, origin.clone(), message)),
                None => problems.push(unknown(self, name, origin)),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// The keys of a policy's file, or of that section of a server's.
fn keys(origin: &Origin, text: &str) -> Result<Table, Vec<Problem>> {
    let mut table = text.parse::<Table>().map_err(|e| {
        vec![Problem::new("", origin.clone(), format!("is not valid TOML: {}", e.to_string().trim_end()))]
    })?;
    Ok(match table.remove("inspection") {
        Some(Value::Table(inner)) => inner,
        Some(other) => {
            table.insert("inspection".to_owned(), other);
            table
        }
        None => table,
    })
}

fn unknown(config: &InspectionConfig, name: &str, origin: &Origin) -> Problem {
    let problem = Problem::new(name, origin.clone(), "there is no such key");
    let keys = config.keys();
    match nearest(name, keys.iter().map(|key| key.name)) {
        Some(name) => problem.with_hint(format!("did you mean `{name}`?")),
        None => problem.with_hint("docs/inspection.md lists all keys"),
    }
}
