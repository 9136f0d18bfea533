//! The load generator against the real binary: every load, in both forms, small; and `arqon bench` as scripts see it.

use arqon_bench::arqon::{Class, Local};
use arqon_bench::drive;
use arqon_bench::load::{Form, Load, Pace, Plan};
use arqon_bench::run::Run;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

fn run(load: Load, pace: Pace, form: Form, payload: usize) -> Run {
    let folder = TempDir::new().expect("a temporary folder");
    let plan = Plan {
        load,
        pace,
        payload,
        warm_up: Duration::from_millis(50),
        length: Duration::from_millis(200),
        patience: Duration::from_secs(60),
        form,
        profile: None,
    };
    let class = Class::Durable;
    let system = Local { binary: env!("CARGO_BIN_EXE_arqon").into(), class, config: String::new() };
    drive::bench(&system, folder.path(), &plan).unwrap_or_else(|e| panic!("{load} {form:?}: {e:#}"))
}

#[test]
fn every_load_is_measured_and_checked_in_both_forms() {
    let loads = [
        Load::FanOut { subscribers: 5 },
        Load::RequestReply { outstanding: 8 },
        Load::Confirmed { publishers: 3, in_flight: 16 },
        Load::DurableSubscription { batch: 1 },
        Load::DurableSubscription { batch: 64 },
        Load::Replay { records: 2_000 },
        Load::StartUp { records: 500 },
        Load::Idle { connections: 20 },
        Load::Rooms { rooms: 20 },
        Load::Connections { connections: 20 },
        Load::LogGrowth { records: 2_000 },
    ];
    for (load, form) in loads.into_iter().flat_map(|load| [(load, Form::Json), (load, Form::Proto)]) {
        let run = run(load, Pace::Max, form, 256);
        assert!(run.count > 0 && run.checked > 0, "{run:?}");
        let is_start = matches!(load, Load::StartUp { .. });
        assert!(is_start || run.server_cpu_per_million.is_some(), "{run:?}");
        let text = serde_json::to_string(&run).expect("a run is JSON");
        let read: Run = serde_json::from_str(&text).expect("a run is read as it was written");
        assert_eq!((read.load, read.count), (run.load, run.count));
    }
}

#[test]
fn payloads_of_every_size_find_their_numbers() {
    for payload in [27, 64, 100, 4096, 70_000, 262_144] {
        for form in [Form::Json, Form::Proto] {
            assert!(run(Load::Confirmed { publishers: 1, in_flight: 4 }, Pace::Max, form, payload).count > 0);
            assert!(run(Load::RequestReply { outstanding: 2 }, Pace::Rate(50.0), form, payload).count > 0);
        }
    }
}

fn arqon(args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arqon"));
    for name in ["ARQON_URL", "ARQON_TOKEN"] {
        command.env_remove(name);
    }
    let output = command.args(args).output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_run_is_one_line_of_json_or_a_readable_table() {
    let folder = TempDir::new().expect("a temporary folder");
    let folder = folder.path().to_str().expect("it is UTF-8");
    let common = ["--duration", "200ms", "--folder", folder];
    let (code, out, err) =
        arqon(&[&["bench", "confirmed", "--in-flight", "8", "--json"], &common[..]].concat());
    assert_eq!(code, Some(0), "{err}");
    let run: Run = serde_json::from_str(out.trim()).expect("one line of JSON and nothing else");
    assert_eq!((run.load, run.pace.as_str()), (Load::Confirmed { publishers: 1, in_flight: 8 }, "max"));
    let (code, out, err) =
        arqon(&[&["bench", "request-reply", "--rate", "200", "--payload", "1k"], &common[..]].concat());
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("payload 1024 B, open loop at 200 messages/s"), "{out}");
    assert!(out.contains("(from the intended moment)") && out.contains("none lost"), "{out}");
    assert_eq!(std::fs::read_dir(folder).expect("it is there").count(), 0, "the scratch folder is gone");
}

#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().to_str().expect("it is UTF-8");
    let mut command = Command::new(env!("CARGO_BIN_EXE_arqon"));
    command.args(["bench", "confirmed", "--duration", "10m", "--folder", path]).env_remove("ARQON_URL");
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    // The first record: the load has begun.
    let log = || {
        let scratch = std::fs::read_dir(path).ok()?.next()?.ok()?.path();
        Some(std::fs::read_to_string(scratch.join("arqon.log")).ok()?.contains("ready"))
    };
    arqon_testkit::wait::until("the server", Duration::from_secs(60), || log().filter(|ready| *ready));
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it can be signalled");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert_eq!(std::fs::read_dir(path).expect("it is there").count(), 0, "the scratch folder is gone");
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    for (args, says) in [
        (&["bench", "replay", "--subscribers", "3"][..], "--subscribers is for fan-out, not for replay"),
        (&["bench", "idle", "--rate", "half"], "idle has no schedule"),
        (&["bench", "fan-out", "--subscribers", "0"], "must be at least 1"),
        (&["bench", "fan-out", "--payload", "3"], "expected bytes"),
        (&["bench", "fan-out", "--url", "https://localhost:1"], "not TLS"),
    ] {
        let (code, out, err) = arqon(args);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
}
