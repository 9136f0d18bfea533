//! The delivery policies in force: those set by command (kept per tenant), then those of the config.

use super::{Bus, lock};
use crate::codec::{number, put, read_number, text};
use crate::hash::Map;
use crate::policy::{Decision, Policies, Policy};
use crate::port::{DocKey, Durability, Expect, Retention, Scan, Write};
use crate::{Address, Class, Code, Ctx, Error, Pattern, Result, RoomName, Tenant};
use arc_swap::ArcSwap;
use bytes::Bytes;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SPACE: &str = "policies";
/// Rules of one tenant: each costs a comparison per message.
const RULES_MAX: usize = 256;

/// All tenants' rules; read on every publish, replaced whole.
pub(super) struct PolicyBook {
    config: Policies,
    tenants: ArcSwap<Map<Tenant, Policies>>,
    /// One change at a time; the versions of the documents that are in force.
    versions: Mutex<Map<Tenant, u64>>,
}

impl PolicyBook {
    pub(super) fn new(config: Policies) -> Self {
        PolicyBook { config, tenants: ArcSwap::default(), versions: Mutex::default() }
    }

    pub(super) fn decide(&self, tenant: &Tenant, address: &Address) -> Decision {
        let tenants = self.tenants.load();
        tenants.get(tenant).unwrap_or(&self.config).decide(address)
    }

    pub(super) fn retention(&self, tenant: &Tenant, room: &RoomName) -> Vec<(Pattern, Retention)> {
        self.tenants.load().get(tenant).unwrap_or(&self.config).retention(room)
    }

    pub(super) fn rules(&self, tenant: &Tenant) -> Vec<Policy> {
        self.tenants.load().get(tenant).unwrap_or(&self.config).rules().to_vec()
    }

    /// How many of a tenant's rules come from commands; they stand before those of the config.
    pub(super) fn own(&self, tenant: &Tenant) -> usize {
        self.rules(tenant).len() - self.config.rules().len()
    }

    /// Puts a version of a tenant's rules in force, unless a later one is: two that were stored one after the other may
    /// come here the other way round.
    fn set(&self, tenant: &Tenant, own: Vec<Policy>, version: u64) {
        let mut versions = lock(&self.versions);
        if versions.get(tenant).is_some_and(|newest| *newest > version) {
            return;
        }
        versions.insert(tenant.clone(), version);
        let mut tenants = Map::clone(&self.tenants.load());
        let rules = own.into_iter().chain(self.config.rules().iter().cloned()).collect();
        tenants.insert(tenant.clone(), Policies::new(rules));
        self.tenants.store(Arc::new(tenants));
    }
}

impl Bus {
    /// Reads all tenants' rules back after a start.
    pub(super) async fn load_policies(&self) -> Result<()> {
        let shared = &self.shared;
        let now = shared.env.clock.now();
        let mut cursor = None;
        loop {
            let (tenant, prefix, limit) = (Tenant::default(), String::new(), RULES_MAX);
            let scan = Scan { space: SPACE, tenant, index: None, prefix, cursor, limit, now };
            let page = shared.records.scan(scan).await?;
            for found in page.items {
                let tenant = Tenant::parse(&found.id)?;
                let version = found.doc.version;
                let rules = decode(found.doc.data)
                    .ok_or_else(|| Error::new(Code::Internal, "the stored delivery policies are damaged"))?;
                shared.policies.set(&tenant, rules, version);
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// Adds a rule before all others, or replaces the one of the same pattern in its place.
    pub(crate) async fn set_policy(&self, ctx: &Ctx, policy: Policy) -> Result<()> {
        self.change_policies(ctx, |rules| {
            match rules.iter_mut().find(|r| r.pattern == policy.pattern) {
                Some(rule) => *rule = policy,
                None => rules.insert(0, policy),
            }
            Ok(())
        })
        .await
    }

    /// Removes a rule that was set by command.
    pub(crate) async fn delete_policy(&self, ctx: &Ctx, pattern: &Pattern) -> Result<()> {
        self.change_policies(ctx, |rules| {
            let before = rules.len();
            rules.retain(|r| r.pattern != *pattern);
            if rules.len() < before {
                return Ok(());
            }
            Err(Error::new(
                Code::NotFound,
                format!("there is no rule for `{pattern}` that a command has set"),
            )
            .with_field("args.pattern")
            .with_hint("rules of the config file are changed there"))
        })
        .await
    }

    async fn change_policies(
        &self,
        ctx: &Ctx,
        change: impl FnOnce(&mut Vec<Policy>) -> Result<()>,
    ) -> Result<()> {
        let shared = &self.shared;
        let tenant = ctx.tenant();
        let now = shared.env.clock.now();
        let stored = shared.records.get(&key(tenant), now).await?;
        let expect = stored.as_ref().map_or(Expect::Absent, |doc| Expect::Version(doc.version));
        let mut rules = stored.and_then(|doc| decode(doc.data)).unwrap_or_default();
        change(&mut rules)?;
        if rules.len() > RULES_MAX {
            return Err(Error::new(Code::Exhausted, format!("{RULES_MAX} rules are set already")));
        }
        let data = encode(&rules);
        let write = Write::Put { key: key(tenant), expect, data, indexes: Vec::new(), expires_at: None };
        let versions = shared.records.commit(vec![write], Durability::Synced, now).await?;
        shared.policies.set(tenant, rules, versions.first().copied().unwrap_or_default());
        Ok(())
    }
}

fn key(tenant: &Tenant) -> DocKey {
    // All tenants' rules lie in one place, so that a start finds them without knowing the tenants.
    DocKey { space: SPACE, tenant: Tenant::default(), id: tenant.as_str().to_owned() }
}

fn encode(rules: &[Policy]) -> Bytes {
    let mut out = vec![1];
    number(&mut out, rules.len() as u64);
    for rule in rules {
        put(&mut out, rule.pattern.as_str().as_bytes());
        put(&mut out, rule.class.as_str().as_bytes());
        number(&mut out, rule.history as u64);
        let r = &rule.retention;
        // 0 stands for "no limit": a rule that keeps nothing is refused.
        number(&mut out, r.max_age.map_or(0, |d| d.as_secs()));
        number(&mut out, r.max_bytes.unwrap_or(0));
        number(&mut out, r.max_records.unwrap_or(0));
    }
    out.into()
}

fn decode(mut data: Bytes) -> Option<Vec<Policy>> {
    let input = &mut data;
    if read_number(input).ok()? != 1 {
        return None;
    }
    let count = read_number(input).ok()?;
    let some = |n: u64| (n > 0).then_some(n);
    (0..count)
        .map(|_| {
            Some(Policy {
                pattern: Pattern::parse(&text(input).ok()?).ok()?,
                class: Class::parse(&text(input).ok()?).ok()?,
                history: usize::try_from(read_number(input).ok()?).ok()?,
                retention: Retention {
                    max_age: some(read_number(input).ok()?).map(Duration::from_secs),
                    max_bytes: some(read_number(input).ok()?),
                    max_records: some(read_number(input).ok()?),
                },
            })
        })
        .collect()
}
