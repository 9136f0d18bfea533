//! Operators over the real binary: what they answered is there after `kill -9`, and a job's messages come once each.

use super::{LONG, site};
use serde_json::{Value, json};

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn what_the_store_has_said_is_kept_outlives_a_kill() {
    let site = site();
    let bus = site.start();
    assert_eq!(site.run(&["store", "set", "plan", r#"{"z":1,"a":[1.0]}"#]), "plan is at version 1\n");
    site.run(&["store", "set", "plan", "a word", "--expect", "1"]);
    site.run(&["store", "set", "brief", "1", "--ttl", "1h", "--namespace", "@owner"]);
    site.run(&["store", "set", "gone", "1"]);
    site.run(&["store", "delete", "gone"]);
    bus.kill();
    let bus = site.start();
    assert_eq!(site.run(&["store", "get", "plan"]), "\"a word\"\n");
    assert_eq!(site.run(&["store", "get", "plan", "--text"]), "a word\n");
    let found = json_of(&site.run(&["store", "get", "plan", "--json"]));
    assert_eq!((&found["version"], &found["found"]), (&json!(2), &json!(true)));
    let list = json_of(&site.run(&["store", "list", "--json"]));
    assert_eq!(list["keys"], json!(["plan"]));
    let own = json_of(&site.run(&["store", "list", "--namespace", "@owner", "--json"]));
    assert!(own["entries"][0]["expires_at"].is_string(), "{own}");
    let versions = json_of(&site.run(&["store", "history", "plan", "--json"]));
    let values: Vec<&Value> = versions["versions"].as_array().unwrap().iter().map(|v| &v["value"]).collect();
    assert_eq!(values, [&json!("a word"), &json!({ "z": 1, "a": [1.0] })]);

    let late = site.command(&["store", "set", "plan", "2", "--expect", "1", "--json"]).output().unwrap();
    let error = json_of(&String::from_utf8(late.stderr).unwrap());
    assert_eq!((late.status.code(), &error["error"]["code"]), (Some(1), &json!("CONFLICT")));
    let none = site.command(&["store", "get", "gone"]).output().unwrap();
    assert_eq!((none.status.code(), none.stdout.len()), (Some(1), 0));
    bus.stop();
}

#[test]
fn a_job_sends_each_message_once_through_kills_at_any_moment() {
    const COUNT: usize = 40;
    let site = site();
    let bus = site.start();
    let count = COUNT.to_string();
    let mut reader =
        site.client("reader", &["sub", "tick:*", "--from", "earliest", "--json", "--count", &count]);
    let add = ["cron", "add", "tick:tock", r#"{"n":1}"#, "--every", "150ms", "--missed", "all", "--id", "j"];
    site.run(&[&add[..], &["--count", &count]].concat());
    bus.kill();
    let mut bus = site.start();
    for lines in [4, 9, 15, 22] {
        reader.wait_for_lines(lines, LONG);
        bus.kill();
        bus = site.start();
    }
    reader.wait_for_lines(COUNT, LONG);
    let seen: Vec<Value> = reader.output().lines().map(json_of).collect();
    let numbers: Vec<u64> = seen.iter().map(|m| m["metadata"]["iteration"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=COUNT as u64).collect::<Vec<_>>());
    assert!(seen.iter().all(|m| m["sender"] == "op-cron" && m["metadata"]["cron_job_id"] == "j"));
    reader.finish(LONG);
    assert_eq!(site.run(&["history", "tick:tock", "--limit", "1000", "--json"]).lines().count(), COUNT);
    bus.stop();
}

#[test]
fn jobs_are_listed_held_and_cancelled() {
    let site = site();
    let bus = site.start();
    let zoned = ["--cron", "0 9 * * mon-fri", "--zone", "Europe/Berlin", "--id", "morning"];
    site.run(&[&["cron", "add", "team:standup", "good morning"], &zoned[..]].concat());
    site.run(&["cron", "pause", "morning"]);
    let job = json_of(&site.run(&["cron", "show", "morning"]));
    assert_eq!((&job["paused"], &job["payload"]), (&json!(true), &json!({ "text": "good morning" })));
    let list = site.run(&["cron", "list"]);
    assert!(list.contains("0 9 * * mon-fri Europe/Berlin") && list.contains("held"), "{list}");
    site.run(&["cron", "resume", "morning"]);
    assert_eq!(site.run(&["cron", "cancel", "morning"]), "cancelled morning\n");
    let none = site.command(&["cron", "cancel", "morning"]).output().unwrap();
    let said = String::from_utf8(none.stderr).unwrap();
    assert!(said.contains("there is no job `morning`") && said.contains("`arqon cron list`"), "{said}");
    assert!(site.run(&["cron", "list"]).starts_with("no jobs"));
    bus.stop();
}

#[test]
fn a_policy_changed_by_command_outlives_a_kill_and_is_taken_back_by_command() {
    let site = site();
    let bus = site.start();
    site.run(&["inspect", "reload", "enabled=true", "mode=enforce", "block_on_probable_secret=true"]);
    let leak = format!("use AKIA{} please", "Z7QX2LMN4PRS5TUV");
    let refused = site.command(&["pub", "repo:main", &leak]).output().unwrap();
    assert!(!refused.status.success());
    bus.kill();
    let bus = site.start();
    let refused = site.command(&["pub", "repo:main", &leak]).output().unwrap();
    assert!(!refused.status.success(), "the policy was forgotten");
    let policy = json_of(&site.run(&["inspect", "get", "--json"]));
    assert_eq!(policy["reloaded"], json!(["block_on_probable_secret", "enabled", "mode"]));
    assert!(site.run(&["inspect", "get"]).contains("reload"));
    let wrong = site.command(&["inspect", "reload", "secret_patterns=(open"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    site.run(&["inspect", "reload", "--reset"]);
    let policy = json_of(&site.run(&["inspect", "get", "--json"]));
    assert_eq!((&policy["enabled"], &policy["reloaded"]), (&json!(false), &json!([])));
    site.run(&["pub", "repo:main", &leak]);
    bus.stop();
}
