//! How much inspection finds: a corpus of secrets and of look-alikes, made from a seed so that no secret is ever
//! committed. The makers know nothing of the rules.

mod lookalikes;
mod secrets;
mod wording;

use arqon_core::inspect::{Decision, InspectionPolicy, Inspector, Mode, Reason, Subject, Verdict};
use std::collections::BTreeMap;

/// SplitMix64: the same seed, the same corpus.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % bound as u64).unwrap()
    }

    pub(crate) fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    /// `length` characters of an alphabet.
    pub(crate) fn text(&mut self, alphabet: &str, length: usize) -> String {
        (0..length).map(|_| char::from(alphabet.as_bytes()[self.below(alphabet.len())])).collect()
    }
}

pub(crate) const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
pub(crate) const URL64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
pub(crate) const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
pub(crate) const HEX: &str = "0123456789abcdef";

/// One message of the corpus.
pub(crate) struct Sample {
    /// What kind of secret or look-alike it holds.
    pub(crate) kind: &'static str,
    pub(crate) payload: String,
    /// What must not be left after redaction, for secrets.
    pub(crate) secret: Option<String>,
}

const SEED: u64 = 20_261_121;
const EACH: usize = 1500;

fn inspector(mode: Mode) -> Inspector {
    let policy = InspectionPolicy {
        enabled: true,
        mode,
        block_on_probable_secret: true,
        // The names alone would redact also what is no secret.
        redaction_paths: Vec::new(),
        ..InspectionPolicy::default()
    };
    Inspector::new(&policy).unwrap()
}

fn judge(inspector: &Inspector, payload: &str) -> Verdict {
    let subject =
        Subject { room: "repo", channel: "main", payload: payload.as_bytes(), ..Subject::default() };
    inspector.inspect(&subject)
}

/// Kind by kind: how many were found of how many.
fn tally(samples: &[Sample], found: impl Fn(&Sample) -> bool) -> (usize, String) {
    let mut kinds: BTreeMap<&str, (usize, usize, String)> = BTreeMap::new();
    for sample in samples {
        let entry = kinds.entry(sample.kind).or_default();
        entry.1 += 1;
        if found(sample) {
            entry.0 += 1;
        } else {
            entry.2 = sample.payload.chars().take(300).collect();
        }
    }
    let total = kinds.values().map(|(found, ..)| found).sum();
    let lines =
        kinds.iter().map(|(kind, (found, all, other))| format!("{kind}: {found} of {all}; not: {other}"));
    (total, lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn of_the_seeded_secrets_nearly_all_are_found() {
    let samples = secrets::corpus(&mut Dice(SEED), EACH);
    assert_eq!(samples.len(), EACH);
    let inspector = inspector(Mode::Enforce);
    let (found, kinds) = tally(&samples, |s| {
        let verdict = judge(&inspector, &s.payload);
        assert_eq!(verdict, judge(&inspector, &s.payload));
        (verdict.decision, verdict.reason) == (Decision::Block, Reason::BlockedSecret)
    });
    println!("{found} of {EACH} secrets were found");
    assert!(found * 1000 >= EACH * FOUND_PER_MILLE, "{found} of {EACH} were found\n{kinds}");
}

#[test]
fn of_the_look_alikes_hardly_any_is_taken_for_a_secret() {
    let samples = lookalikes::corpus(&mut Dice(SEED), EACH);
    assert_eq!(samples.len(), EACH);
    let inspector = inspector(Mode::Enforce);
    let (found, kinds) = tally(&samples, |s| judge(&inspector, &s.payload).flags.probable_secret);
    println!("{found} of {EACH} look-alikes were taken for secrets");
    assert!(found * 1000 <= EACH * FALSE_PER_MILLE, "{found} of {EACH} were taken for secrets\n{kinds}");
}

#[test]
fn what_was_found_is_gone_after_redaction_and_the_rest_is_untouched() {
    let inspector = inspector(Mode::Monitor);
    for sample in secrets::corpus(&mut Dice(SEED + 1), 500) {
        let verdict = judge(&inspector, &sample.payload);
        let Some(redacted) = verdict.redacted.and_then(|r| r.payload) else { continue };
        let redacted = std::str::from_utf8(&redacted).unwrap();
        let secret = sample.secret.unwrap();
        assert!(!redacted.contains(&secret), "{secret} is left in {redacted}");
        let again = judge(&inspector, redacted);
        assert!(!again.flags.probable_secret, "{:?} in {redacted}", again.findings);
        let kept = redacted.split("***REDACTED***").all(|piece| sample.payload.contains(piece));
        assert!(kept, "{redacted}\nis not a part of\n{}", sample.payload);
    }
}

/// Pieces that rules and the reader of JSON care about, and some that neither expects.
const PIECES: &[&str] = &[
    "\"",
    "\\",
    "\\u00",
    "\\ud83d",
    "\\n",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    " ",
    "é",
    "😀",
    "ſ",
    "K",
    "password",
    "token",
    "secret=",
    "bearer ",
    "basic ",
    "AKIA",
    "Z7QX2LMN4PRS5TUV",
    "eyJ",
    ".",
    "-----BEGIN ",
    "PRIVATE KEY-----",
    "://",
    "a:b@",
    "--token=",
    "sk-",
    "hunter2",
    "null",
    "1",
    "\u{0}",
    "***REDACTED***",
    "passphrase: '",
    "'",
];

#[test]
fn no_text_makes_it_panic() {
    let policy = InspectionPolicy {
        enabled: true,
        max_inspect_bytes: 200,
        redaction_patterns: vec!["[é😀]+".to_owned(), "^a".to_owned()],
        redaction_paths: vec!["token".to_owned(), "*word".to_owned()],
        ..InspectionPolicy::default()
    };
    let inspector = Inspector::new(&policy).unwrap();
    let mut dice = Dice(SEED + 2);
    let mut changed = 0;
    for round in 0..20_000 {
        let count = 1 + dice.below(40);
        let text: String = (0..count).map(|_| dice.pick(PIECES)).collect();
        let payload =
            if round % 2 == 0 { text } else { wording::anywhere(&mut dice, &text.replace('\0', "")) };
        let verdict = judge(&inspector, &payload);
        let Some(redacted) = verdict.redacted.and_then(|r| r.payload) else { continue };
        changed += 1;
        assert!(std::str::from_utf8(&redacted).is_ok(), "{payload}");
        let as_metadata =
            Subject { metadata: Some(payload.as_bytes()), unknown: Some(&redacted), ..Subject::default() };
        inspector.inspect(&as_metadata);
    }
    assert!(changed > 1000, "{changed} were changed");
}

/// At least this many of a thousand secrets are found; see docs/inspection.md.
const FOUND_PER_MILLE: usize = 985;
/// At most this many of a thousand look-alikes are taken for secrets.
const FALSE_PER_MILLE: usize = 2;
