//! A policy by its keys: all of it as named values, and named values put over it.
//!
//! Invariant: what is not named stays as it is; what [`InspectionPolicy::members`] gives, [`InspectionPolicy::change`] takes.

use super::{Fallback, InspectionPolicy, Mode, SecretSet};
use crate::value::{Args, Value, wrong};
use crate::{Error, Result};
use std::collections::BTreeMap;

const FALLBACKS: [(&str, Fallback); 2] = [("allow", Fallback::Allow), ("block", Fallback::Block)];
const MODES: [(&str, Mode); 2] = [("monitor", Mode::Monitor), ("enforce", Mode::Enforce)];
const SETS: [(&str, SecretSet); 3] =
    [("known", SecretSet::Known), ("older", SecretSet::Older), ("none", SecretSet::None)];

impl InspectionPolicy {
    /// All keys and their values, named as in the configuration.
    pub fn members(&self) -> BTreeMap<String, Value> {
        let number = |n: usize| Value::from(n as u64);
        let members = [
            ("enabled", self.enabled.into()),
            ("mode", name_of(self.mode, &MODES)),
            ("default_decision", name_of(self.default_decision, &FALLBACKS)),
            ("scope_include", self.scope_include.clone().into()),
            ("scope_exclude", self.scope_exclude.clone().into()),
            ("max_inspect_bytes", number(self.max_inspect_bytes)),
            ("max_patterns", number(self.max_patterns)),
            ("max_payload_bytes", number(self.max_payload_bytes)),
            ("block_on_probable_secret", self.block_on_probable_secret.into()),
            ("secret_set", name_of(self.secret_set, &SETS)),
            ("secret_patterns", self.secret_patterns.clone().into()),
            ("redaction_paths", self.redaction_paths.clone().into()),
            ("redaction_depth", number(self.redaction_depth)),
            ("redaction_patterns", self.redaction_patterns.clone().into()),
            ("transport_redaction", self.transport_redaction.into()),
            ("never_log_payload_for", self.never_log_payload_for.clone().into()),
            ("metadata_to_logs", self.metadata_to_logs.into()),
            ("metadata_to_telemetry", self.metadata_to_telemetry.into()),
            ("metadata_to_envelope", self.metadata_to_envelope.into()),
        ];
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Puts those keys that are among the arguments over this policy, and takes them out. Only types are judged.
    pub(crate) fn change(&mut self, args: &mut Args) -> Result<()> {
        for (name, target) in [
            ("enabled", &mut self.enabled),
            ("block_on_probable_secret", &mut self.block_on_probable_secret),
            ("transport_redaction", &mut self.transport_redaction),
            ("metadata_to_logs", &mut self.metadata_to_logs),
            ("metadata_to_telemetry", &mut self.metadata_to_telemetry),
            ("metadata_to_envelope", &mut self.metadata_to_envelope),
        ] {
            *target = args.flag(name)?.unwrap_or(*target);
        }
        for (name, target) in [
            ("max_inspect_bytes", &mut self.max_inspect_bytes),
            ("max_patterns", &mut self.max_patterns),
            ("max_payload_bytes", &mut self.max_payload_bytes),
            ("redaction_depth", &mut self.redaction_depth),
        ] {
            if let Some(n) = args.number(name)? {
                *target = usize::try_from(n).unwrap_or(usize::MAX);
            }
        }
        for (name, target) in [
            ("scope_include", &mut self.scope_include),
            ("scope_exclude", &mut self.scope_exclude),
            ("secret_patterns", &mut self.secret_patterns),
            ("redaction_paths", &mut self.redaction_paths),
            ("redaction_patterns", &mut self.redaction_patterns),
            ("never_log_payload_for", &mut self.never_log_payload_for),
        ] {
            // One text might be meant as several: read as one, it could be a scope that nothing is in.
            if let Some(text @ Value::Text(_)) = args.get(name) {
                return Err(wrong(name, "a list", text).with_reason("BAD_POLICY"));
            }
            // An empty list is one that was given.
            let is_given = args.get(name).is_some_and(|value| *value != Value::Null);
            let list = args.texts(name)?;
            if is_given {
                *target = list;
            }
        }
        word(args, "mode", &mut self.mode, &MODES)?;
        word(args, "default_decision", &mut self.default_decision, &FALLBACKS)?;
        word(args, "secret_set", &mut self.secret_set, &SETS)
    }
}

fn word<T: Copy>(args: &mut Args, name: &str, target: &mut T, words: &[(&str, T)]) -> Result<()> {
    let Some(text) = args.text(name)? else { return Ok(()) };
    let found = words.iter().find(|(word, _)| *word == text);
    *target = found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        Error::invalid(format!("args.{name}"), format!("expected {}", known.join(" or ")))
            .with_reason("BAD_POLICY")
    })?;
    Ok(())
}

fn name_of<T: PartialEq>(value: T, words: &[(&str, T)]) -> Value {
    words.iter().find(|(_, known)| *known == value).map(|(word, _)| *word).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_taken() {
        let policy = InspectionPolicy {
            enabled: true,
            mode: Mode::Enforce,
            default_decision: Fallback::Block,
            scope_include: vec!["a:*".to_owned()],
            redaction_paths: Vec::new(),
            max_patterns: 7,
            secret_set: SecretSet::Older,
            metadata_to_envelope: true,
            ..InspectionPolicy::default()
        };
        let mut copy = InspectionPolicy::default();
        let mut args = Args::new(policy.members());
        copy.change(&mut args).unwrap();
        assert_eq!((copy, args.is_empty()), (policy, true));
    }

    #[test]
    fn a_text_is_no_list() {
        for name in ["scope_include", "scope_exclude", "redaction_paths", "never_log_payload_for"] {
            let mut args = Args::new([(name.to_owned(), "repo:*,a:b".into())].into());
            let error = InspectionPolicy::default().change(&mut args).unwrap_err();
            assert_eq!(error.message(), "expected a list, found a string");
            assert_eq!((error.field(), error.reason()), (Some(&*format!("args.{name}")), Some("BAD_POLICY")));
        }
    }
}
