//! The loads, each written once for all systems, and what one run of them comes to.
//!
//! Invariant: one thread, so that what the generator takes of the machine is known: at most one core.

mod books;
mod confirmed;
mod fan_out;
mod idle;
mod log;
mod meter;
mod request_reply;

use crate::load::{Load, Pace, Plan};
use crate::run::{Latency, Measured, Run};
use crate::system::{Running, System};
use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

/// A read takes at most this much.
const ROOM: usize = 256 * 1024;
/// Where there are many connections: their buffers must fit into the cache.
const SMALL_ROOM: usize = 32 * 1024;
/// After a failure, how long an interrupt may take to reach us.
const HEARING: Duration = Duration::from_millis(50);
/// More connections than this are many.
const MANY: u32 = 64;

/// Starts a system in `folder`, measures it once, and ends it.
pub fn bench(system: &dyn System, folder: &Path, plan: &Plan) -> Result<Run> {
    ensure!(system.can(plan.load), "{} does not have the load {}", system.name(), plan.load);
    ensure!(
        plan.pace == Pace::Max || plan.load.can_be_paced(),
        "the load {} has no schedule; it is measured at its highest rate only",
        plan.load.kind()
    );
    let kind = plan.load.kind();
    ensure!(plan.profile.is_none() || plan.load.can_be_profiled(), "the load {kind} has no profile");
    ensure!(
        plan.payload >= crate::template::SMALLEST,
        "a payload has at least {} bytes: a number in a JSON object",
        crate::template::SMALLEST
    );
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anything is started that would have to be ended.
    let mut interrupts = {
        let _inside = runtime.enter();
        [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?]
    };
    let mut running = system.start(folder, plan)?;
    let measured = runtime.block_on(async {
        let measured = tokio::select! {
            measured = paced(&mut *running, plan) => measured,
            // The system ends and its folder goes as at any other end.
            () = any(&mut interrupts) => return Err(anyhow!("interrupted")),
        };
        // An interrupt at a terminal reaches the system too, which may end before we hear of it.
        let was_interrupted = measured.is_err() && timeout(HEARING, any(&mut interrupts)).await.is_ok();
        if was_interrupted { Err(anyhow!("interrupted")) } else { measured }
    });
    let (measured, paces) = measured.with_context(|| format!("{}, {}", system.name(), plan.load))?;
    Ok(result(system, &*running, plan, &measured, paces))
}

/// Returns when somebody asks this process to end.
async fn any([interrupt, terminate]: &mut [Signal; 2]) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// As many open files as the system lets: thousands of connections need them, here and in the server, which inherits it.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // If it cannot be raised, connecting says so when the limit is reached.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// The intended rate and the highest rate that it was derived from.
type Paces = (Option<f64>, Option<f64>);

async fn paced(system: &mut dyn Running, plan: &Plan) -> Result<(Measured, Paces)> {
    match plan.pace {
        Pace::Max => Ok((once(system, plan, None).await?, (None, None))),
        Pace::Rate(rate) => Ok((once(system, plan, Some(rate)).await?, (Some(rate), None))),
        Pace::Half => {
            let half = Plan { length: plan.length / 2, profile: None, ..plan.clone() };
            let max = once(system, &half, None).await?.rate();
            // A message of fan-out is as many deliveries as there are subscribers.
            let messages = match plan.load {
                Load::FanOut { subscribers } => max / f64::from(subscribers),
                _ => max,
            };
            let rate = messages / 2.0;
            Ok((once(system, plan, Some(rate)).await?, (Some(rate), Some(messages))))
        }
    }
}

async fn once(system: &mut dyn Running, plan: &Plan, rate: Option<f64>) -> Result<Measured> {
    match plan.load {
        Load::FanOut { subscribers } => fan_out::run(system, plan, subscribers, 0, rate).await,
        Load::Connections { connections } => {
            fan_out::run(system, plan, 1, connections.saturating_sub(2), rate).await
        }
        Load::RequestReply { outstanding } => request_reply::run(system, plan, outstanding, rate).await,
        Load::Confirmed { publishers, in_flight } => {
            confirmed::run(system, plan, (publishers, in_flight), rate).await
        }
        Load::Rooms { rooms } => confirmed::round(system, plan, rooms, 256).await,
        Load::DurableSubscription { batch } => log::durable_subscription(system, plan, batch).await,
        Load::Replay { records } => log::replay(system, plan, records).await,
        Load::StartUp { records } => log::start_up(system, plan, records).await,
        Load::LogGrowth { records } => log::growth(system, plan, records).await,
        Load::Idle { connections } => idle::run(system, connections).await,
    }
}

/// How large the buffer of one of so many connections is.
fn room(plan: &Plan, connections: u32) -> usize {
    let room = if connections > MANY { SMALL_ROOM } else { ROOM };
    room.max(plan.payload + 8 * 1024)
}

/// Readers read for ever; one that ends before the work is done has failed.
fn early<T>(ended: Result<()>) -> Result<T> {
    ended?;
    bail!("a reader ended before the work was done")
}

fn result(system: &dyn System, running: &dyn Running, plan: &Plan, measured: &Measured, paces: Paces) -> Run {
    let seconds = measured.time.max(Duration::from_nanos(1)).as_secs_f64();
    let (intended_rate, max_rate) = paces;
    let from = if intended_rate.is_some() { "intended" } else { "sent" };
    Run {
        system: system.name().to_owned(),
        version: running.version(),
        settings: running.settings(),
        load: plan.load,
        pace: plan.pace.to_string(),
        form: plan.form,
        payload: plan.payload,
        unit: plan.load.unit().to_owned(),
        count: measured.count,
        seconds,
        rate: measured.rate(),
        bytes_per_second: measured.rate() * plan.payload as f64,
        server_cpu_per_million: measured.server_cpu(),
        generator_cpu_per_million: measured.usage.load / (measured.count.max(1) as f64) * 1e6,
        generator_cores: measured.usage.load / seconds,
        others_cores: measured.usage.others().map(|others| others / seconds),
        intended_rate,
        max_rate,
        latency: measured.latency.as_ref().and_then(|histogram| Latency::new(from, histogram)),
        checked: measured.checked,
        figures: measured.figures.clone(),
        points: measured.points.clone(),
    }
}
