//! One run, from a seed to a verdict.
//!
//! Invariant: the same seed and scale give the same run, to the byte.

use crate::actors::{Cast, Phase, Stage, Visitor};
use crate::bounds::Bounds;
use crate::dice::Dice;
use crate::director::Director;
use crate::faults::Faults;
use crate::judge::{Judge, Violation};
use crate::net::Net;
use crate::plan::{RunPlan, Scale};
use crate::server::Machine;
use crate::world::World;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// What became of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The first promise that was broken.
    pub violation: Option<Violation>,
    /// Faults that the seed drew.
    pub faults: Faults,
    /// Equal for equal runs.
    pub fingerprint: u64,
    /// The trace, if it was to be kept.
    pub lines: Vec<String>,
    /// Messages sent and confirmed; deliveries.
    pub counts: (usize, usize, usize),
    /// Starts of the server.
    pub starts: u32,
    /// Simulated time.
    pub time: Duration,
    /// Steps.
    pub polls: u64,
}

/// The seed of all hash maps, so that they are walked in the same order in every run.
const HASHING: u64 = 0x0a47_0c0d;

/// A run that takes longer than this (in its own time) will not end by itself.
const LONGEST: Duration = Duration::from_secs(2 * 3600);

/// Runs a seed. `keep` keeps the trace.
pub fn run(seed: u64, scale: &Scale, keep: bool) -> Outcome {
    arqon_core::hash::fix(HASHING);
    let plan = RunPlan::new(seed, scale);
    let mut dice = Dice::new(seed ^ 0x1234_5678_9abc_def0);
    let world = World::new(dice.fork(), keep);
    let net = Net::new(world.clone(), dice.fork(), plan.latency);
    let machine = Machine::new(world.clone(), net.clone(), &mut dice, plan.server.clone());
    let judge = Judge::new(world.clone(), plan.trimmed.clone());
    world.note(|| format!("seed {seed}: {plan:?}"));
    let phase = Phase::default();
    let stage = Stage { world: world.clone(), net, judge: judge.clone(), faults: plan.faults, phase };
    let tenants: BTreeSet<&str> = plan.cast.iter().map(|plan| &*plan.tenant).collect();
    let visitors = tenants.iter().map(|tenant| Visitor::new(&stage, tenant, dice.fork())).collect();
    let cast = plan.cast.iter().cloned().map(Cast::new).collect();
    let faults = plan.faults;
    let watched = (world.clone(), machine.clone(), judge.clone());
    world.spawn(world.process(), Bounds::new(&plan).watch(watched));
    let director = Director { stage, machine: machine.clone(), plan, dice: dice.fork(), cast, visitors };
    let over = Arc::new(AtomicBool::new(false));
    let (process, said) = (world.process(), over.clone());
    world.spawn(process, async move {
        director.direct().await;
        said.store(true, Relaxed);
    });
    let ended = world.run(&mut || {
        machine.reap();
        if world.now() > LONGEST {
            judge.accuse("progress", "the run does not come to an end".to_owned());
        }
        over.load(Relaxed) || judge.violation().is_some()
    });
    if !ended {
        judge.accuse("progress", "nothing can happen any more, and the run is not over".to_owned());
    }
    let violation = judge.violation();
    world.note(|| format!("verdict: {violation:?}"));
    let outcome = Outcome {
        violation,
        faults,
        fingerprint: world.fingerprint(),
        lines: world.lines(),
        counts: judge.counts(),
        starts: machine.starts(),
        time: world.now(),
        polls: world.polls(),
    };
    world.end();
    outcome
}
