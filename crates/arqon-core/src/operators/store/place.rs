//! Where a value is: a namespace and a key; and who may read and write there.
//!
//! Invariant: a namespace holds neither `/` nor control characters, so that a document's id has one reading.

use crate::address::is_segment;
use crate::{Address, ChannelName, Code, Ctx, Error, Pattern, Result, Role, RoomName, Tenant};
use std::sync::Arc;

/// Longest key, in bytes.
pub(crate) const KEY_MAX: usize = 256;

/// A namespace: one to seven segments joined by `:`, or `@NAME`, which is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Namespace(String);

impl Namespace {
    /// Reads a name.
    pub(crate) fn parse(text: &str) -> Result<Namespace> {
        let fine = match text.strip_prefix('@') {
            Some(name) => is_segment(name),
            None => ChannelName::parse(text).is_ok(),
        };
        if fine {
            return Ok(Namespace(text.to_owned()));
        }
        Err(Error::invalid(
            "args.namespace",
            "expected one to seven names joined by `:` (letters, digits, `. _ -`), or `@NAME`",
        ))
    }

    /// The one that is meant where none is said: all of a tenant share it.
    pub(crate) fn of_tenant(tenant: &Tenant) -> Namespace {
        match tenant.as_str() {
            "default" => Namespace("default".to_owned()),
            name => Namespace(format!("tenant:{name}")),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where one value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) namespace: Namespace,
    pub(crate) key: String,
}

impl Place {
    /// Refuses keys that are none.
    pub(crate) fn new(namespace: Namespace, key: String) -> Result<Place> {
        if key.is_empty() || key.len() > KEY_MAX || key.chars().any(char::is_control) {
            let what = format!("expected 1 to {KEY_MAX} bytes without control characters");
            return Err(Error::invalid("args.key", what));
        }
        Ok(Place { namespace, key })
    }
}

pub(super) fn may_read(ctx: &Ctx, namespace: &Namespace) -> Result<()> {
    reaches(ctx, namespace, &ctx.principal.subscribe, "read")
}

pub(super) fn may_write(ctx: &Ctx, namespace: &Namespace) -> Result<()> {
    reaches(ctx, namespace, &ctx.principal.publish, "write to")
}

/// `@NAME` is open to its own and to admins. A token that is bound to patterns reaches the other namespaces by them, as
/// if each were the channel `store:NAMESPACE`.
fn reaches(ctx: &Ctx, namespace: &Namespace, patterns: &Option<Arc<[Pattern]>>, verb: &str) -> Result<()> {
    let fine = match (namespace.0.strip_prefix('@'), patterns) {
        (Some(owner), _) => *ctx.principal.subject == *owner || ctx.principal.role >= Role::Admin,
        (None, None) => true,
        (None, Some(patterns)) => {
            let address =
                Address { room: RoomName::parse("store")?, channel: ChannelName::parse(&namespace.0)? };
            patterns.iter().any(|p| p.matches(&address.room, &address.channel))
        }
    };
    if fine {
        return Ok(());
    }
    Err(Error::new(Code::Forbidden, format!("you may not {verb} the namespace `{}`", namespace.0))
        .with_reason("NAMESPACE_CLOSED")
        .with_hint(
            "`@NAME` is open to NAME only; a token with patterns needs one that covers `store:NAMESPACE`",
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys() {
        for name in ["default", "tenant:acme", "@planner", "a.b-c_d"] {
            assert_eq!(Namespace::parse(name).unwrap().as_str(), name);
        }
        for name in ["", "@", "@a:b", "a/b", "a b", "a:", "a\u{1f}"] {
            assert_eq!(Namespace::parse(name).unwrap_err().field(), Some("args.namespace"), "{name:?}");
        }
        let place = |key: &str| Place::new(Namespace::of_tenant(&Tenant::default()), key.to_owned());
        for key in ["a", "a/b", "größe", "with space"] {
            assert_eq!(place(key).unwrap().key, key);
        }
        for key in ["", "a\nb", "a\u{1f}", &"x".repeat(KEY_MAX + 1)] {
            assert_eq!(place(key).unwrap_err().field(), Some("args.key"), "{key:?}");
        }
        assert_eq!(Namespace::of_tenant(&Tenant::parse("acme").unwrap()).as_str(), "tenant:acme");
    }
}
