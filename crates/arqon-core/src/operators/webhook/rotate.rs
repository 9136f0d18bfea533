//! A new secret for a rule, with a time in which the ones before it hold as well: receivers take the new one in their own
//! time, and no message is refused meanwhile.
//!
//! Invariant: the new secret is on disk before anybody is told of it. Of two rotations at once each one's secret holds, or
//! one is told that the other came first.

use super::rule::{OLD_SECRETS_MAX, Rule, RuleKey};
use super::{Standing, Webhooks, doc_key, no_rule, require_owner};
use crate::port::{Durability, Expect, OldSecret, Receiver, Write};
use crate::{Code, Ctx, Error, Result, Timestamp};
use std::sync::Arc;
use std::time::Duration;

impl Webhooks {
    /// Gives a rule a new secret. Requests are signed with the ones before it as well for as long as `overlap`; without
    /// any they hold no more.
    pub(crate) async fn rotate(&self, ctx: &Ctx, id: &str, overlap: Duration) -> Result<Arc<Standing>> {
        let key = RuleKey { tenant: ctx.tenant().clone(), id: id.into() };
        let standing = self.rules().get(&key).cloned().ok_or_else(|| no_rule(id))?;
        require_owner(ctx, &standing.rule.owner, &format!("webhook `{id}`"))?;
        let now = self.env.clock.now();
        // Taken back a moment ago, if there is none.
        let doc = self.records.get(&doc_key(&key), now).await?.ok_or_else(|| no_rule(id))?;
        let rule = Rule::decode(&key, doc.data).ok_or_else(|| super::damaged("a webhook"))?;
        let receiver = Arc::new(Receiver {
            secret: self.draw_secret(),
            old_secrets: kept(&rule.receiver, now, overlap)?,
            ..Receiver::clone(&rule.receiver)
        });
        let rule = Rule { receiver: receiver.clone(), ..rule };
        let (key, data) = (doc_key(&key), rule.encode());
        let expect = Expect::Version(doc.version);
        let write = Write::Put { key, expect, data, indexes: Vec::new(), expires_at: None };
        let versions = self.records.commit(vec![write], Durability::Synced, now).await?;
        standing.replace_receiver(versions.first().copied().unwrap_or_default(), receiver);
        tracing::info!(rule = id, subject = %ctx.principal.subject, "a webhook has a new secret");
        Ok(standing)
    }
}

/// The secrets that hold beside the new one.
fn kept(receiver: &Receiver, now: Timestamp, overlap: Duration) -> Result<Vec<OldSecret>> {
    if overlap.is_zero() {
        return Ok(Vec::new());
    }
    let mut list: Vec<OldSecret> =
        receiver.old_secrets.iter().filter(|old| old.until > now).cloned().collect();
    list.insert(0, OldSecret { secret: receiver.secret.clone(), until: now.plus(overlap) });
    if list.len() > OLD_SECRETS_MAX {
        // Dropping the oldest would have its receiver refuse what it was promised.
        return Err(Error::new(Code::Exhausted, format!("{OLD_SECRETS_MAX} old secrets hold already"))
            .with_reason("TOO_MANY_SECRETS")
            .with_hint("wait until one ends, or end them all with `overlap_seconds` 0"));
    }
    Ok(list)
}
