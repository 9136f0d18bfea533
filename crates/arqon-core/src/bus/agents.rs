//! Which agents are online on this node, and what they can do; enough for inboxes and `@skill/NAME`.

use super::lock;
use crate::address::is_segment;
use crate::hash::Map;
use crate::{AgentId, Code, Ctx, Error, Result, Role, Tenant};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

#[derive(Default)]
pub(super) struct Agents {
    tenants: Mutex<Map<Tenant, Online>>,
}

#[derive(Default)]
struct Online {
    /// Agent → the connections that registered it.
    connections: Map<AgentId, Vec<u64>>,
    /// Skill → agents, the one whose turn it is in front.
    skills: Map<String, VecDeque<AgentId>>,
    /// Where messages that may be sent again went, and in which order they came.
    picked: Map<(Box<str>, Once), AgentId>,
    order: VecDeque<(Box<str>, Once)>,
}

/// What a sender says so that a message is stored once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Once {
    Key(Arc<str>),
    Producer(Arc<str>, u64),
}

/// Messages to skills whose agent is remembered: many times what clients have under way when a connection is lost.
const PICKED_MAX: usize = 16_384;

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

    /// The next agent with the skill; turns go round. What is sent again goes to the agent that it went to before, whose
    /// inbox knows it as a duplicate, even where that agent is offline by now.
    pub(super) fn pick(&self, tenant: &Tenant, skill: &str, once: Option<Once>) -> Option<AgentId> {
        let mut tenants = lock(&self.tenants);
        let online = tenants.get_mut(tenant)?;
        let once = once.map(|once| (Box::<str>::from(skill), once));
        if let Some(agent) = once.as_ref().and_then(|once| online.picked.get(once)) {
            return Some(agent.clone());
        }
        let queue = online.skills.get_mut(skill)?;
        queue.rotate_left(1);
        let agent = queue.back().cloned()?;
        if let Some(once) = once {
            online.remember(once, agent.clone());
        }
        Some(agent)
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
    fn remember(&mut self, once: (Box<str>, Once), agent: AgentId) {
        if self.order.len() >= PICKED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.picked.remove(&oldest);
        }
        self.order.push_back(once.clone());
        self.picked.insert(once, agent);
    }

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
    /// An agent registers itself, under the name that its door gave it, too; an admin may stand in for any.
    pub(super) fn require_agent(&self, agent: &AgentId) -> Result<()> {
        let own = [&self.principal.subject, &self.sender].into_iter().any(|name| **name == *agent.as_str());
        if own || self.principal.role >= Role::Admin {
            return Ok(());
        }
        let text = format!("`{}` may not register as agent `{agent}`", self.principal.subject);
        Err(Error::new(Code::Forbidden, text).with_hint(format!("use a token whose subject is `{agent}`")))
    }
}
