//! One rule as it is kept, and how it does. Layout: format 2, then the fields in the order of the struct, numbers as LEB128
//! and texts with their length. Format 1 had no old secrets at its end.

use crate::bus::lock;
use crate::codec::{number, put, read_number, take, text};
use crate::port::{OldSecret, Receiver};
use crate::{Ctx, Pattern, Principal, Role, Tenant, Timestamp};
use bytes::Bytes;
use futures_channel::oneshot;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

const FORMAT: u64 = 2;
/// Old secrets that hold at once.
pub(super) const OLD_SECRETS_MAX: usize = 4;
/// Who reads for rules: what lists of connections show.
const SENDER: &str = "op-webhook";

/// Which rule of which tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RuleKey {
    pub(crate) tenant: Tenant,
    pub(crate) id: Arc<str>,
}

impl RuleKey {
    /// From a document's id.
    pub(super) fn read(id: &str) -> Option<RuleKey> {
        let (tenant, id) = id.split_once('/')?;
        Some(RuleKey { tenant: Tenant::parse(tenant).ok()?, id: id.into() })
    }
}

/// What is posted where.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    pub(crate) key: RuleKey,
    /// Who made it.
    pub(crate) owner: Arc<str>,
    pub(crate) pattern: Pattern,
    pub(crate) receiver: Arc<Receiver>,
    /// Tries before a message is given up.
    pub(crate) tries: u32,
    pub(crate) created_at: Timestamp,
}

impl Rule {
    /// The durable name under which it reads. No caller can subscribe by it, since it is no name of theirs.
    pub(super) fn durable_name(&self) -> String {
        format!("~{}", self.key.id)
    }

    /// As whom it reads: the right was asked for when the rule was made; the token of then may have ended since.
    pub(super) fn ctx(&self) -> Ctx {
        let principal = Principal {
            subject: self.owner.clone(),
            tenant: self.key.tenant.clone(),
            role: Role::System,
            publish: None,
            subscribe: None,
            expires_at: None,
        };
        Ctx { sender: SENDER.into(), ..Ctx::new(Arc::new(principal)) }
    }

    pub(super) fn encode(&self) -> Bytes {
        let receiver = &self.receiver;
        let mut out = Vec::with_capacity(256);
        number(&mut out, FORMAT);
        put(&mut out, self.owner.as_bytes());
        put(&mut out, self.pattern.as_str().as_bytes());
        put(&mut out, receiver.url.as_bytes());
        number(&mut out, receiver.headers.len() as u64);
        for (name, value) in &receiver.headers {
            put(&mut out, name.as_bytes());
            put(&mut out, value.as_bytes());
        }
        put(&mut out, &receiver.secret);
        number(&mut out, u64::try_from(receiver.timeout.as_micros()).unwrap_or(u64::MAX));
        number(&mut out, u64::from(self.tries));
        number(&mut out, self.created_at.0);
        number(&mut out, receiver.old_secrets.len() as u64);
        for old in &receiver.old_secrets {
            put(&mut out, &old.secret);
            number(&mut out, old.until.0);
        }
        out.into()
    }

    pub(super) fn decode(key: &RuleKey, mut data: Bytes) -> Option<Rule> {
        let input = &mut data;
        let format = read_number(input).ok()?;
        if !(1..=FORMAT).contains(&format) {
            return None;
        }
        let owner = text(input).ok()?;
        let pattern = Pattern::parse(&text(input).ok()?).ok()?;
        let url = text(input).ok()?;
        let count = read_number(input).ok()?;
        let headers = (0..count).map(|_| Some((text(input).ok()?, text(input).ok()?)));
        let headers = headers.collect::<Option<Vec<_>>>()?;
        let secret = take(input).ok()?;
        let timeout = Duration::from_micros(read_number(input).ok()?);
        let tries = u32::try_from(read_number(input).ok()?).ok()?;
        let created_at = Timestamp(read_number(input).ok()?);
        let count = if format == 1 { 0 } else { read_number(input).ok()? };
        let old =
            |_| Some(OldSecret { secret: take(input).ok()?, until: Timestamp(read_number(input).ok()?) });
        let old_secrets = (0..count).map(old).collect::<Option<Vec<_>>>()?;
        let receiver = Arc::new(Receiver { url, headers, secret, old_secrets, timeout });
        Some(Rule { key: key.clone(), owner, pattern, receiver, tries, created_at })
    }
}

/// How a rule has done since the server was started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    pub(crate) delivered: u64,
    pub(crate) given_up: u64,
    pub(crate) last_delivered_at: Option<Timestamp>,
    /// Tries of the message that it is at, if they failed.
    pub(crate) failures: u32,
    /// Why the last try failed; nothing after a success.
    pub(crate) problem: Option<String>,
    pub(crate) next_try_at: Option<Timestamp>,
}

/// A rule in force.
pub(crate) struct Standing {
    pub(crate) rule: Rule,
    /// The receiver with the secrets of now, and the version of the document that says so.
    receiver: Mutex<(u64, Arc<Receiver>)>,
    progress: Mutex<Progress>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
}

impl Standing {
    pub(super) fn new(rule: Rule) -> Standing {
        let receiver = Mutex::new((0, rule.receiver.clone()));
        Standing { rule, receiver, progress: Mutex::default(), stop: Mutex::default() }
    }

    /// The receiver, with the secrets of now.
    pub(crate) fn receiver(&self) -> Arc<Receiver> {
        lock(&self.receiver).1.clone()
    }

    /// Goes on with other secrets, unless those of a later version are there.
    pub(super) fn replace_receiver(&self, version: u64, receiver: Arc<Receiver>) {
        let mut current = lock(&self.receiver);
        if version > current.0 {
            *current = (version, receiver);
        }
    }

    /// The secret as receivers configure it.
    pub(crate) fn secret_text(&self) -> String {
        format!("whsec_{}", base64(&self.receiver().secret))
    }

    pub(crate) fn progress(&self) -> Progress {
        self.change().clone()
    }

    pub(super) fn change(&self) -> MutexGuard<'_, Progress> {
        lock(&self.progress)
    }

    /// Ends its courier, wherever it stands.
    pub(super) fn stop(&self) {
        drop(lock(&self.stop).take());
    }

    /// Resolves when it is to end.
    pub(super) fn stopped(&self) -> oneshot::Receiver<()> {
        let (stop, stopped) = oneshot::channel();
        *lock(&self.stop) = Some(stop);
        stopped
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule() -> Rule {
        let headers = vec![("x-team".into(), "a".into()), ("authorization".into(), "Bearer b".into())];
        let receiver = Receiver {
            url: "https://example.com/in?x=1".into(),
            headers,
            secret: Bytes::from_static(&[0, 255, 7, 9]),
            old_secrets: vec![OldSecret { secret: Bytes::from_static(&[4, 0]), until: Timestamp(99) }],
            timeout: Duration::from_millis(2500),
        };
        Rule {
            key: RuleKey { tenant: Tenant::default(), id: "webhook_1".into() },
            owner: "me".into(),
            pattern: Pattern::parse("repo:**").unwrap(),
            receiver: Arc::new(receiver),
            tries: 12,
            created_at: Timestamp(77),
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let rule = rule();
        assert_eq!(Rule::decode(&rule.key, rule.encode()), Some(rule));
    }

    #[test]
    fn a_rule_of_the_format_before_is_read() {
        let mut rule = rule();
        Arc::make_mut(&mut rule.receiver).old_secrets.clear();
        let mut data = rule.encode().to_vec();
        // The number of old secrets stands at the end.
        assert_eq!((data[0], data.pop()), (2, Some(0)));
        data[0] = 1;
        assert_eq!(Rule::decode(&rule.key, data.into()), Some(rule));
    }

    #[test]
    fn base64_of_known_texts() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("\u{0}~?", "AH4/"),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn what_is_logged_of_a_rule_shows_no_secret() {
        let shown = format!("{:?}", rule());
        assert!(!shown.contains("Bearer") && !shown.contains("255"), "{shown}");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100), at in 0usize..40, with in any::<u8>()) {
            let key = rule().key;
            let _ = Rule::decode(&key, bytes.into());
            let mut harmed = rule().encode().to_vec();
            harmed[at] = with;
            let _ = Rule::decode(&key, harmed.into());
        }
    }
}
