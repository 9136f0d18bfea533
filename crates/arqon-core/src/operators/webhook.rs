//! Webhooks: what is published is posted to HTTP receivers. A rule belongs to who made it and goes on without them, over
//! restarts, until it is taken back.
//!
//! Invariant: a rule reads by a durable subscription of its own, one message after the other, and a message is acknowledged
//! only after its receiver has said that it has it, or after it was given up into the dead letters.

mod courier;
mod rotate;
mod rule;
mod work;

pub(crate) use rule::{Rule, Standing};
pub(crate) use work::Work;

use super::{damaged, is_owner, require_owner};
use crate::bus::{Bus, lock};
use crate::env::Env;
use crate::port::{DocKey, Durability, Expect, Outbound, Receiver, Records, Scan, Write};
use crate::{Code, Ctx, Error, Pattern, Result, Tenant};
use bytes::Bytes;
use courier::Courier;
use rule::RuleKey;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

const SPACE: &str = "webhooks";
/// Rules of one tenant: each holds a connection of the bus, and may hold one to its receiver.
pub(crate) const RULES_MAX: usize = 100;
const PAGE: usize = 200;
/// Bytes of a secret: as many as the signature has.
const SECRET_BYTES: usize = 32;

/// What a caller wants to be posted, and where to.
pub(crate) struct Wish {
    pub(crate) pattern: Pattern,
    pub(crate) url: String,
    pub(crate) headers: Vec<(Arc<str>, Arc<str>)>,
    pub(crate) timeout: Duration,
    /// Tries before a message is given up.
    pub(crate) tries: u32,
}

/// See the module.
pub(crate) struct Webhooks {
    env: Env,
    records: Arc<dyn Records>,
    /// Given once, when the bus stands; absent where nothing may go out.
    outbound: OnceLock<Arc<dyn Outbound>>,
    rules: Mutex<BTreeMap<RuleKey, Arc<Standing>>>,
    work: Arc<Work>,
}

impl Webhooks {
    pub(crate) fn new(env: Env, records: Arc<dyn Records>) -> Webhooks {
        Webhooks { env, records, outbound: OnceLock::new(), rules: Mutex::default(), work: Arc::default() }
    }

    /// Rules in force, of all tenants.
    pub(crate) fn count(&self) -> usize {
        self.rules().len()
    }

    /// What couriers have done.
    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    fn rules(&self) -> MutexGuard<'_, BTreeMap<RuleKey, Arc<Standing>>> {
        lock(&self.rules)
    }

    fn outbound(&self) -> Result<&Arc<dyn Outbound>> {
        self.outbound.get().ok_or_else(|| {
            Error::new(Code::Unavailable, "this server posts nothing to the outside")
                .with_reason("FEATURE_DISABLED")
        })
    }

    /// Reads the rules of all tenants back after a start, and goes on with them.
    pub(crate) async fn start(&self, bus: &Bus, outbound: Arc<dyn Outbound>) -> Result<()> {
        if self.outbound.set(outbound).is_err() {
            return Err(Error::new(Code::AlreadyExists, "webhooks were started before"));
        }
        let mut cursor = None;
        loop {
            let (tenant, now) = (Tenant::default(), self.env.clock.now());
            let scan =
                Scan { space: SPACE, tenant, index: None, prefix: String::new(), cursor, limit: PAGE, now };
            let page = self.records.scan(scan).await?;
            for found in page.items {
                let Some(key) = RuleKey::read(&found.id) else { return Err(damaged("a webhook's name")) };
                let Some(rule) = Rule::decode(&key, found.doc.data) else {
                    // The others go on.
                    tracing::error!(rule = %key.id, tenant = %key.tenant, "the stored webhook is damaged");
                    continue;
                };
                let standing = Arc::new(Standing::new(rule));
                self.rules().insert(key, standing.clone());
                self.send_out(self.courier(bus, &standing)?, None);
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// Makes a rule for what is published from now on.
    pub(crate) async fn register(&self, bus: &Bus, ctx: &Ctx, wish: Wish) -> Result<Arc<Standing>> {
        ctx.require_subscribe(&wish.pattern)?;
        if wish.pattern.as_str().starts_with('@') {
            return Err(Error::invalid("args.room", "an inbox is its agent's own; expected a room"));
        }
        let receiver = Arc::new(Receiver {
            url: wish.url.into(),
            headers: wish.headers,
            secret: self.draw_secret(),
            old_secrets: Vec::new(),
            timeout: wish.timeout,
        });
        self.outbound()?.admit(receiver.clone()).await?;
        let id = format!("wh_{:012x}", self.env.random.next_u64() >> 16);
        let key = RuleKey { tenant: ctx.tenant().clone(), id: id.into() };
        let rule = Rule {
            key: key.clone(),
            owner: ctx.principal.subject.clone(),
            pattern: wish.pattern,
            receiver,
            tries: wish.tries,
            created_at: self.env.clock.now(),
        };
        let standing = Arc::new(Standing::new(rule));
        self.reserve(&key, &standing)?;
        let begun = self.begin(bus, &standing).await;
        if begun.is_err() {
            // Nothing half-made: a rule that nobody was told of must not come to life at the next start.
            self.rules().remove(&key);
            let _it_may_not_be_there = self.forget(&key).await;
        }
        begun.map(|()| standing)
    }

    fn draw_secret(&self) -> Bytes {
        (0..SECRET_BYTES / 8).flat_map(|_| self.env.random.next_u64().to_be_bytes()).collect()
    }

    /// The caller's rules, by id; an admin's are all of the tenant.
    pub(crate) fn list(&self, ctx: &Ctx) -> Vec<Arc<Standing>> {
        let rules = self.rules();
        let of_tenant = rules.iter().filter(|(key, _)| key.tenant == *ctx.tenant());
        of_tenant.map(|(_, s)| s).filter(|s| is_owner(ctx, &s.rule.owner)).cloned().collect()
    }

    /// Takes a rule back. What it had not posted yet is not posted any more.
    pub(crate) async fn unregister(&self, bus: &Bus, ctx: &Ctx, id: &str) -> Result<()> {
        let key = RuleKey { tenant: ctx.tenant().clone(), id: id.into() };
        let standing = self.rules().get(&key).cloned().ok_or_else(|| no_rule(id))?;
        require_owner(ctx, &standing.rule.owner, &format!("webhook `{id}`"))?;
        self.forget(&key).await?;
        self.rules().remove(&key);
        standing.stop();
        match bus.delete_subscription(&standing.rule.ctx(), &standing.rule.durable_name()).await {
            Err(error) if error.code() != Code::NotFound => {
                tracing::warn!(rule = id, %error, "a webhook is gone, and its place in the log is not");
            }
            _ => {}
        }
        Ok(())
    }

    /// Stores a new rule, and begins to read for it before anybody is told of it.
    async fn begin(&self, bus: &Bus, standing: &Arc<Standing>) -> Result<()> {
        let (key, data) = (doc_key(&standing.rule.key), standing.rule.encode());
        let write = Write::Put { key, expect: Expect::Absent, data, indexes: Vec::new(), expires_at: None };
        self.records.commit(vec![write], Durability::Synced, self.env.clock.now()).await?;
        let courier = self.courier(bus, standing)?;
        let connection = courier.open().await?;
        self.send_out(courier, Some(connection));
        Ok(())
    }

    fn courier(&self, bus: &Bus, standing: &Arc<Standing>) -> Result<Courier> {
        let (env, outbound) = (self.env.clone(), self.outbound()?.clone());
        let (bus, standing, work) = (bus.clone(), standing.clone(), self.work.clone());
        Ok(Courier { env, outbound, bus, standing, work })
    }

    /// Lets a courier work until its rule is taken back or the bus closes.
    fn send_out(&self, courier: Courier, connection: Option<crate::bus::Connection>) {
        let stopped = courier.standing.stopped();
        let task = async move {
            let work = std::pin::pin!(courier.work(connection));
            futures_util::future::select(work, stopped).await;
        };
        self.env.spawner.spawn("webhook", Box::pin(task));
    }

    fn reserve(&self, key: &RuleKey, standing: &Arc<Standing>) -> Result<()> {
        let mut rules = self.rules();
        if rules.keys().filter(|k| k.tenant == key.tenant).count() >= RULES_MAX {
            return Err(Error::new(Code::Exhausted, format!("the tenant has {RULES_MAX} webhooks already"))
                .with_reason("TOO_MANY_RULES")
                .with_hint("take some back; one with a pattern may do the work of many"));
        }
        rules.insert(key.clone(), standing.clone());
        Ok(())
    }

    async fn forget(&self, key: &RuleKey) -> Result<()> {
        let write = Write::Delete { key: doc_key(key), expect: Expect::Any };
        self.records.commit(vec![write], Durability::Synced, self.env.clock.now()).await?;
        Ok(())
    }
}

/// All tenants' rules lie in one place, so that a start finds them without knowing the tenants.
fn doc_key(key: &RuleKey) -> DocKey {
    DocKey { space: SPACE, tenant: Tenant::default(), id: format!("{}/{}", key.tenant, key.id) }
}

fn no_rule(id: &str) -> Error {
    Error::new(Code::NotFound, format!("there is no webhook `{id}`"))
        .with_reason("RULE_NOT_FOUND")
        .with_field("args.rule_id")
        .with_hint("`op.webhook.list` shows those that exist")
}
