//! `arqon channels` over the real binary: what was made is there after `kill -9`, what was deleted is not.

use super::site;
use serde_json::{Value, json};

#[test]
fn channels_are_made_described_and_deleted_and_a_kill_forgets_none() {
    let site = site();
    let bus = site.start();
    let create = ["channels", "create", "science:explore", "--description", "open questions"];
    assert_eq!(site.run(&create), "made science:explore\n");
    site.run(&["channels", "create", "science:share"]);
    site.run(&["pub", "science:share", "x"]);
    assert_eq!(site.run(&["channels", "delete", "science:share"]), "deleted science:share\n");
    bus.kill();
    let bus = site.start();
    let info = site.run(&["channels", "info", "science:explore"]);
    assert!(info.contains("open questions") && info.contains(" by owner"), "{info}");
    let list: Value = serde_json::from_str(&site.run(&["channels", "science", "--json"])).unwrap();
    assert_eq!((&list["total_channels"], &list["channels"][0]["name"]), (&json!(1), &json!("explore")));
    let again = site.command(&[&create[..], &["--json"]].concat()).output().unwrap();
    let error: Value = serde_json::from_slice(&again.stderr).unwrap();
    assert_eq!((again.status.code(), &error["error"]["code"]), (Some(1), &json!("ALREADY_EXISTS")));
    let gone = site.command(&["channels", "info", "science:share"]).output().unwrap();
    assert_eq!(gone.status.code(), Some(1), "{}", String::from_utf8_lossy(&gone.stderr));
    bus.stop();
}
