//! The torture itself: a short run of all faults that are possible here, a bus that must be seen to break its promise,
//! and an early end by hand.

use super::{seed, site};
use arqon_testkit::process::Site;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// `arqon torture --json` in the site's folder.
fn torture(site: &Site, args: &[&str]) -> Command {
    let mut command = site.command(&["torture", "--json", "--dir", "."]);
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The lines with that name.
fn events(output: &[u8], name: &str) -> Vec<Value> {
    let lines = String::from_utf8_lossy(output);
    let all = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
    all.filter(|event| event["event"] == name).collect()
}

#[test]
fn nothing_confirmed_is_lost_in_silence_whatever_is_done() {
    let site = site();
    let seed = seed(7).to_string();
    let args = ["--rounds", "3", "--round", "6s", "--seed", &seed, "--report", "report.html"];
    let output = torture(&site, &args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let verdict = &events(&output.stdout, "verdict")[0];
    assert_eq!(output.status.code(), Some(0), "{verdict:#}\n{said}");
    assert_eq!((&verdict["good"], &verdict["lost"]), (&true.into(), &0.into()), "{verdict:#}");
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    // How many depends on the machine; that there were some of each does not.
    for what in ["confirmed", "delivered", "asked", "answered"] {
        assert!(count(&verdict[what]) > 0, "{what}: {verdict:#}");
    }

    // Each fault was done, or it was said why not.
    let begin = &events(&output.stdout, "begin")[0];
    let left_out: Vec<&Value> =
        begin["left_out"].as_array().unwrap().iter().map(|one| &one["fault"]).collect();
    let faults = &verdict["faults"];
    assert!(count(&faults["truncate"]) + count(&faults["flip"]) > 0, "{faults}");
    assert!(count(&faults["full"]) > 0 || left_out.iter().any(|fault| **fault == "full"), "{begin}");
    assert!(count(&faults["kill"]) + count(&faults["stop"]) + count(&faults["cut"]) > 0, "{faults}");

    // The report stands by itself; the scratch folder is gone.
    let report = fs::read_to_string(site.path().join("report.html")).unwrap();
    assert!(report.contains("<svg") && report.contains("Nothing confirmed was lost"), "{report}");
    assert!(!report.contains("src=") && !report.contains("href="), "it needs nothing else");
    assert!(!fs::exists(begin["folder"].as_str().unwrap()).unwrap());
}

#[test]
fn a_bus_that_forgets_is_found_out_with_evidence() {
    let site = site();
    let args = ["--rounds", "1", "--round", "3s", "--seed", "1", "--faults", "kill", "--engine", "memory:"];
    let output = torture(&site, &[&args[..], &["--report", "report.html"]].concat()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let verdict = &events(&output.stdout, "verdict")[0];
    assert_eq!(output.status.code(), Some(5), "{verdict:#}\n{said}");
    assert!(verdict["lost"].as_u64() > Some(0), "{verdict:#}");
    // Standard error says what to do: where everything is, and how to do it again.
    assert!(said.contains("promises were broken") && said.contains("--seed 1 --faults kill"), "{said}");
    let round = &events(&output.stdout, "judged")[0];
    let notes = std::path::Path::new(round["folder"].as_str().unwrap()).join("notes");
    assert!(site.path().join(&notes).join("pub-0.txt").exists(), "{round}");
    let report = fs::read_to_string(site.path().join("report.html")).unwrap();
    assert!(report.contains("neither delivered to this reader nor named in a gap"), "{report}");
}

#[test]
fn an_early_end_by_hand_still_judges() {
    let site = site();
    let mut child = torture(&site, &["--for", "5m", "--round", "5m", "--faults", "cut"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut seen = lines.by_ref().take_while(|line| !line.contains("\"event\":\"fault\""));
    assert!(seen.by_ref().any(|line| line.contains("\"event\":\"round\"")));
    let _until_a_fault_was_done = seen.count();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let rest: Vec<String> = lines.collect();
    let verdict: Value = serde_json::from_str(rest.last().unwrap()).unwrap();
    assert_eq!((&verdict["event"], &verdict["good"]), (&"verdict".into(), &true.into()), "{rest:#?}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
