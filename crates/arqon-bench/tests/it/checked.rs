//! The loads against a server that lies: each way to lose, repeat or reorder must void a run, and only those.

use crate::liar::{Liar, Lie};
use arqon_bench::drive;
use arqon_bench::load::{Form, Load, Pace, Plan};
use arqon_bench::run::Run;

use std::time::Duration;

const FAN_OUT: Load = Load::FanOut { subscribers: 3 };
const REQUEST_REPLY: Load = Load::RequestReply { outstanding: 8 };
const CONFIRMED: Load = Load::Confirmed { publishers: 2, in_flight: 16 };
const DURABLE: Load = Load::DurableSubscription { batch: 8 };
const REPLAY: Load = Load::Replay { records: 500 };

fn bench(load: Load, pace: Pace, lie: Lie, patience: Duration) -> anyhow::Result<Run> {
    let plan = Plan {
        load,
        pace,
        payload: 64,
        warm_up: Duration::from_millis(20),
        length: Duration::from_millis(300),
        patience,
        form: Form::Json,
        profile: None,
    };
    drive::bench(&Liar(lie), &std::env::temp_dir(), &plan)
}

#[test]
fn an_honest_server_is_measured() {
    let patience = Duration::from_secs(30);
    for load in [FAN_OUT, REQUEST_REPLY, CONFIRMED, DURABLE, REPLAY, Load::Rooms { rooms: 5 }] {
        let run = bench(load, Pace::Max, Lie::None, patience).unwrap_or_else(|e| panic!("{load}: {e:#}"));
        assert!(run.count > 0 && run.checked >= run.count, "{load}: {run:?}");
        assert!(run.intended_rate.is_none());
    }
}

#[test]
fn on_a_schedule_latency_counts_from_the_intended_moment() {
    for load in [FAN_OUT, REQUEST_REPLY, CONFIRMED] {
        let run = bench(load, Pace::Rate(2000.0), Lie::None, Duration::from_secs(30)).unwrap();
        let latency = run.latency.expect("an open loop has latencies");
        assert_eq!((latency.from.as_str(), run.intended_rate), ("intended", Some(2000.0)), "{load}");
    }
    // The server stops for 100 ms of the 300. A sender who waits would have noticed once; a schedule notices at every message that
    // was due meanwhile.
    let stopped = bench(CONFIRMED, Pace::Rate(2000.0), Lie::Stop, Duration::from_secs(30)).unwrap();
    let latency = stopped.latency.expect("an open loop has latencies");
    assert!(latency.max_us >= 90_000, "{latency:?}");
    let slow = latency.curve.iter().find(|(quantile, _)| *quantile == 0.9).expect("it is on the curve").1;
    assert!(slow >= 30_000, "many of those that were due must have waited: {latency:?}");
}

#[test]
fn a_schedule_that_cannot_be_kept_is_no_result() {
    let error = bench(CONFIRMED, Pace::Rate(1e8), Lie::None, Duration::from_millis(200));
    let error = format!("{:#}", error.expect_err("nobody is that fast"));
    assert!(error.contains("choose a lower rate"), "{error}");
}

#[test]
fn every_lie_voids_the_run() {
    let cases = [
        (FAN_OUT, Lie::Lose, "expected message 100 and got 101"),
        (FAN_OUT, Lie::Repeat, "expected message 101 and got 100"),
        (FAN_OUT, Lie::LoseTheRest, "was lost"),
        (REQUEST_REPLY, Lie::Lose, "was lost"),
        (REQUEST_REPLY, Lie::Repeat, "question 100 was answered twice"),
        (CONFIRMED, Lie::Lose, "offset 101 was confirmed after 99"),
        (CONFIRMED, Lie::Repeat, "offset 100 was confirmed after 100"),
        (CONFIRMED, Lie::LoseTheRest, "was lost"),
        (CONFIRMED, Lie::Overcount, "offset 101 was confirmed after 101"),
        (DURABLE, Lie::Lose, "expected record 100 and got 101"),
        (DURABLE, Lie::Repeat, "expected record 101 and got 100"),
        (DURABLE, Lie::ForgetAcknowledgements, "was acknowledged and came again"),
        (REPLAY, Lie::Lose, "expected record 100 and got 101"),
        (REPLAY, Lie::Repeat, "expected record 101 and got 100"),
        (REPLAY, Lie::LoseTheRest, "nothing for"),
    ];
    for (load, lie, said) in cases {
        let error = bench(load, Pace::Max, lie, Duration::from_millis(500));
        let error = match error {
            Err(error) => format!("{error:#}"),
            Ok(run) => panic!("{load} with {lie:?} was believed: {run:?}"),
        };
        assert!(error.contains(said), "{load} with {lie:?}: {error}");
    }
}

#[test]
fn what_has_no_schedule_says_so() {
    let error = bench(REPLAY, Pace::Half, Lie::None, Duration::from_secs(1)).expect_err("replay has none");
    assert!(error.to_string().contains("no schedule"), "{error}");
}
