//! SC-002 and the contract's rate: the load generator's own loads, each run checked by it.

use crate::ground::{Ground, Row};
use arqon_bench::arqon::{Class, Local};
use arqon_bench::drive;
use arqon_bench::load::{Form, Load, PATIENCE, Pace, Plan};
use arqon_bench::run::Run;
use std::time::Duration;

/// Bytes of a payload.
const PAYLOAD: usize = 256;

fn run(ground: &Ground, load: Load, pace: Pace, class: Class) -> Run {
    let system = Local { binary: ground.arqon.clone(), class, config: String::new() };
    let seconds = ground.size(5, 1) as u64;
    let plan = Plan {
        load,
        pace,
        payload: PAYLOAD,
        warm_up: Duration::from_secs(1),
        length: Duration::from_secs(seconds),
        patience: PATIENCE,
        form: Form::Json,
        profile: None,
    };
    drive::bench(&system, &ground.folder, &plan).unwrap_or_else(|error| panic!("{load}: {error:#}"))
}

fn p99(run: &Run) -> u64 {
    run.latency.as_ref().map_or(u64::MAX, |latency| latency.p99_us)
}

pub fn measure(ground: &Ground) -> Vec<Row> {
    let live = run(ground, Load::FanOut { subscribers: 10 }, Pace::Rate(1000.0), Class::Ephemeral);
    let durable = run(ground, Load::FanOut { subscribers: 1 }, Pace::Rate(5000.0), Class::Durable);
    let highest = run(ground, Load::FanOut { subscribers: 1 }, Pace::Max, Class::Ephemeral);
    let confirmed = run(ground, Load::Confirmed { publishers: 1, in_flight: 256 }, Pace::Max, Class::Durable);
    let ms = |run: &Run| p99(run) as f64 / 1e3;
    vec![
        Row {
            id: "SC-002",
            criterion: "routing, p99",
            target: "< 50 ms",
            measured: format!("{:.2} ms in memory, {:.2} ms through the disk", ms(&live), ms(&durable)),
            how: format!(
                "on a schedule, from the intended moment to the subscriber: 1,000 messages/s to 10 subscribers \
                 each, and 5,000 durable messages/s to one; {PAYLOAD} B; {} deliveries checked",
                live.checked + durable.checked
            ),
            is_met: p99(&live).max(p99(&durable)) < 50_000,
            is_timed: true,
        },
        Row {
            id: "contract: rate",
            criterion: "messages a second",
            target: "≥ 10,000",
            measured: format!("{:.0} delivered, {:.0} durable and confirmed", highest.rate, confirmed.rate),
            how: format!(
                "one publisher to one subscriber as fast as it goes; durable publishes with 256 in flight; {PAYLOAD} B; \
                 {} messages checked",
                highest.checked + confirmed.checked
            ),
            is_met: highest.rate.min(confirmed.rate) >= 10_000.0,
            is_timed: true,
        },
    ]
}
