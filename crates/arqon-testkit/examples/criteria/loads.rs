//! SC-002 and the contract's rate: the loads of `arqon bench`, in a process of the binary that is measured, so that the
//! generator is as fast as it; each run is checked by it.

use crate::ground::{Ground, Row};
use arqon_bench::run::Run;
use arqon_testkit::process::Site;

fn run(ground: &Ground, load: &[&str]) -> Run {
    let site = Site::new_in(&ground.folder, &ground.arqon);
    let seconds = if ground.is_quick { "1s" } else { "5s" };
    // Without a URL it starts a server of its own.
    let mut command = site.command(&["bench", "--json", "--folder", ".", "--duration", seconds]);
    let output = command.args(load).env_remove("ARQON_URL").output().expect("the binary can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{load:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{load:?}: {error}: {said}"))
}

fn p99(run: &Run) -> u64 {
    run.latency.as_ref().map_or(u64::MAX, |latency| latency.p99_us)
}

pub fn measure(ground: &Ground) -> Vec<Row> {
    let live = run(ground, &["fan-out", "--subscribers", "10", "--rate", "1000"]);
    let durable = run(ground, &["fan-out", "--subscribers", "1", "--rate", "5000", "--class", "durable"]);
    let highest = run(ground, &["fan-out", "--subscribers", "1"]);
    let confirmed = run(ground, &["confirmed"]);
    let ms = |run: &Run| p99(run) as f64 / 1e3;
    vec![
        Row {
            id: "SC-002",
            criterion: "routing, p99",
            target: "< 50 ms",
            measured: format!("{:.2} ms in memory, {:.2} ms through the disk", ms(&live), ms(&durable)),
            how: format!(
                "on a schedule, from the intended moment to the subscriber: 1,000 messages/s to 10 subscribers \
                 each, and 5,000 durable messages/s to one; {} B; {} deliveries checked",
                live.payload,
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
                "one publisher to one subscriber as fast as it goes; durable publishes with 256 in flight; {} B; \
                 {} messages checked",
                highest.payload,
                highest.checked + confirmed.checked
            ),
            is_met: highest.rate.min(confirmed.rate) >= 10_000.0,
            is_timed: true,
        },
    ]
}
