//! SC-003: nothing confirmed is lost when the process is killed, as `arqon torture` judges it.

use crate::ground::{Ground, Row};
use arqon_testkit::process::Site;
use serde_json::Value;

pub fn measure(ground: &Ground) -> Row {
    let (rounds, length) = if ground.is_quick { ("1", "2s") } else { ("4", "8s") };
    let site = Site::new_in(&ground.folder, &ground.arqon);
    let mut command = site.command(&["torture", "--json", "--dir", ".", "--faults", "kill", "--seed", "1"]);
    let output =
        command.args(["--rounds", rounds, "--round", length]).output().expect("the binary can be run");
    let lines = String::from_utf8_lossy(&output.stdout);
    let events = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let verdict = events.into_iter().find(|event| event["event"] == "verdict");
    let verdict =
        verdict.unwrap_or_else(|| panic!("no verdict: {}", String::from_utf8_lossy(&output.stderr)));
    let count = |name: &str| verdict[name].as_u64().unwrap_or(u64::MAX);
    let kills = verdict["faults"]["kill"].as_u64().unwrap_or(0);
    Row {
        id: "SC-003",
        criterion: "nothing confirmed is lost",
        target: "0 lost",
        measured: format!("{} lost of {} confirmed", count("lost"), count("confirmed")),
        how: format!(
            "`arqon torture --faults kill`: {kills} times `kill -9` under load, judged from the clients' notes"
        ),
        is_met: output.status.success() && count("lost") == 0 && kills > 0,
        is_timed: false,
    }
}
