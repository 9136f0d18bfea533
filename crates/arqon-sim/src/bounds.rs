//! The law of bounds: what the bus holds in memory, by its own figures, held to its settings all the time, and to nothing
//! at all once everything is over.
//!
//! Invariant: looking takes no part in the run; it changes neither its order nor its dice.

use crate::actors::{Plan, Role};
use crate::judge::Judge;
use crate::plan::RunPlan;
use crate::server::Machine;
use crate::world::World;
use arqon_core::bus::Holdings;
use std::time::Duration;

/// How often the figures are looked at.
const BEAT: Duration = Duration::from_millis(100);
/// What the largest record of a run weighs, in bytes: the last one that a queue takes may pass its bound by so much.
const LARGEST: usize = 16 << 10;

/// What a run allows.
pub(crate) struct Bounds {
    queue: (usize, usize),
    cast: Vec<Plan>,
}

impl Bounds {
    pub fn new(plan: &RunPlan) -> Self {
        let limits = &plan.server.limits;
        Bounds { queue: (limits.queue_records, limits.queue_bytes + LARGEST), cast: plan.cast.clone() }
    }

    /// Looks for as long as the run lasts.
    pub async fn watch(self, (world, machine, judge): (World, Machine, Judge)) {
        loop {
            world.sleep(BEAT).await;
            let Some(held) = machine.holdings() else { continue };
            if let Some(text) = self.passed(&held) {
                judge.accuse("bounds", text);
            }
        }
    }

    /// What is above its bound.
    fn passed(&self, held: &Holdings) -> Option<String> {
        let (records, bytes) = self.queue;
        if let Some(queue) = held.queues.iter().find(|queue| queue.0 > records || queue.1 > bytes) {
            return Some(format!("{} records with {} bytes wait for one subscription", queue.0, queue.1));
        }
        let asked =
            self.cast.iter().map(|plan| if let Role::Ask(questions) = plan.role { questions } else { 0 });
        if held.questions as u64 > asked.sum() {
            return Some(format!("{} questions are open, more than anybody asks", held.questions));
        }
        held.durable.iter().find_map(|durable| {
            let credit = self.credit(durable.tenant.as_str(), &durable.name)?;
            let text =
                || format!("{} has {} deliveries out, with a credit of {credit}", durable.name, durable.out);
            (durable.out > credit).then(text)
        })
    }

    fn credit(&self, tenant: &str, wanted: &str) -> Option<usize> {
        self.cast.iter().filter(|plan| plan.tenant == tenant).find_map(|plan| match &plan.role {
            Role::Work { name, credit, .. } if name == wanted => Some(*credit as usize),
            _ => None,
        })
    }
}

/// What is still held though everything was delivered, acknowledged and answered.
pub(crate) fn left_over(held: &Holdings) -> Option<String> {
    if let Some(queue) = held.queues.iter().find(|queue| queue.0 > 0 || queue.1 > 0) {
        return Some(format!(
            "{} records with {} bytes wait for a subscription that has all",
            queue.0, queue.1
        ));
    }
    if held.questions > 0 {
        return Some(format!("{} questions are open that nobody waits for", held.questions));
    }
    let durable = held.durable.iter().find(|durable| durable.out > 0 || durable.ahead > 0)?;
    let (name, out, ahead) = (&durable.name, durable.out, durable.ahead);
    Some(format!("{name} has {out} deliveries out and {ahead} acknowledged ahead, and all is acknowledged"))
}
