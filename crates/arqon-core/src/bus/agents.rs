//! Which agents are online on this node, and what they can do; enough for inboxes and `@skill/NAME`.

use super::lock;
use crate::address::is_segment;
use crate::{AgentId, Code, Ctx, Error, Result, Role, Tenant};
use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

#[derive(Default)]
pub(super) struct Agents {
    tenants: Mutex<HashMap<Tenant, Online>>,
}

#[derive(Default)]
struct Online {
    /// Agent → the connections that registered it.
    connections: HashMap<AgentId, Vec<u64>>,
    /// Skill → agents, the one whose turn it is in front.
    skills: HashMap<String, VecDeque<AgentId>>,
}

/// Skills of one agent; a bound so that one connection cannot fill the table.
const SKILLS_MAX: usize = 64;

impl Agents {
    pub(super) fn register(
        &self,
        tenant: &Tenant,
        agent: &AgentId,
        skills: Vec<String>,
        connection: u64,
    ) -> Result<()> {
        if skills.len() > SKILLS_MAX {
            return Err(Error::invalid("args.skills", format!("expected at most {SKILLS_MAX}")));
        }
        if let Some(bad) = skills.iter().find(|s| !is_segment(s)) {
            let text = format!("`{bad}` is not a name: expected 1–64 letters, digits, `.`, `_` or `-`");
            return Err(Error::invalid("args.skills", text));
        }
        let mut tenants = lock(&self.tenants);
        let online = tenants.entry(tenant.clone()).or_default();
        online.drop_connection(connection);
        online.connections.entry(agent.clone()).or_default().push(connection);
        for skill in skills {
            let queue = online.skills.entry(skill).or_default();
            if !queue.contains(agent) {
                queue.push_back(agent.clone());
            }
        }
        Ok(())
    }

    pub(super) fn forget(&self, tenant: &Tenant, connection: u64) {
        if let Some(online) = lock(&self.tenants).get_mut(tenant) {
            online.drop_connection(connection);
        }
    }

    /// The next agent with the skill; turns go round.
    pub(super) fn pick(&self, tenant: &Tenant, skill: &str) -> Option<AgentId> {
        let mut tenants = lock(&self.tenants);
        let queue = tenants.get_mut(tenant)?.skills.get_mut(skill)?;
        queue.rotate_left(1);
        queue.back().cloned()
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.tenants).values().map(|online| online.connections.len()).sum()
    }

    /// Agents of a tenant that are online, in the order of their names.
    pub(super) fn list(&self, tenant: &Tenant) -> Vec<(AgentId, Vec<String>)> {
        let tenants = lock(&self.tenants);
        let Some(online) = tenants.get(tenant) else { return Vec::new() };
        let mut list: Vec<_> = online
            .connections
            .keys()
            .map(|agent| {
                let has = online.skills.iter().filter(|(_, queue)| queue.contains(agent));
                let mut skills: Vec<String> = has.map(|(skill, _)| skill.clone()).collect();
                skills.sort();
                (agent.clone(), skills)
            })
            .collect();
        list.sort();
        list
    }
}

impl Online {
    fn drop_connection(&mut self, connection: u64) {
        self.connections.retain(|agent, connections| {
            connections.retain(|c| *c != connection);
            if connections.is_empty() {
                self.skills.retain(|_, queue| {
                    queue.retain(|a| a != agent);
                    !queue.is_empty()
                });
            }
            !connections.is_empty()
        });
    }
}

impl Ctx {
    /// An agent registers itself; an admin may stand in for any.
    pub(super) fn require_agent(&self, agent: &AgentId) -> Result<()> {
        if *agent.as_str() == *self.principal.subject || self.principal.role >= Role::Admin {
            return Ok(());
        }
        let text = format!("`{}` may not register as agent `{agent}`", self.principal.subject);
        Err(Error::new(Code::Forbidden, text).with_hint(format!("use a token whose subject is `{agent}`")))
    }
}
