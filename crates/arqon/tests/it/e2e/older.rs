//! Clients of the older protocol in plain Python, in both of its JSON dialects and in protobuf, over the real binary: one
//! script for each part of the protocol.

use super::foreign::run;
use super::site;
use arqon_testkit::process::Site;
use std::fs;

/// A place whose server has the configuration that the scripts know.
fn configured() -> Site {
    let mut site = site();
    for name in ["arqon.toml", "provider.pem"] {
        let from = format!("{}/tests/it/e2e/older/{name}", env!("CARGO_MANIFEST_DIR"));
        fs::copy(from, site.path().join(name)).unwrap();
    }
    site.serve_with(&["--config", "arqon.toml"]);
    site
}

/// Runs a script, then `after` while the server is still there.
fn runs_and(script: &str, site: &Site, after: impl FnOnce(&Site)) {
    let bus = site.start();
    run(&format!("older/{script}"), site, &bus);
    after(site);
    assert!(bus.stop().success(), "a stop by SIGTERM ends well");
}

fn runs(script: &str, site: &Site) {
    runs_and(script, site, |_| {});
}

#[test]
fn envelopes_of_every_form_are_understood_and_refused_as_ever() {
    runs("envelopes.py", &configured());
}

#[test]
fn commands_on_rooms_and_channels_answer_as_ever() {
    runs("channels.py", &configured());
}

#[test]
fn operators_work_as_ever() {
    runs("operators.py", &configured());
}

#[test]
fn tokens_are_read_as_ever() {
    runs("access.py", &configured());
}

#[test]
fn content_is_inspected_as_ever() {
    runs("inspection.py", &configured());
}

#[test]
fn events_are_told_to_older_clients() {
    runs("events.py", &configured());
}

#[test]
fn a_stop_confirms_what_was_taken_and_tells_older_clients_to_come_back() {
    let site = configured();
    let bus = site.start();
    run("older/stopping.py", &site, &bus);
    assert!(bus.ended().success(), "the script has stopped it");
}

#[test]
fn a_server_without_a_configuration_serves_older_clients() {
    runs_and("plain.py", &site(), |site| {
        // What was said is there for the command line too.
        let seen = site.run(&["sub", "science:explore", "--from", "earliest", "--count", "3", "--json"]);
        assert_eq!(seen.lines().count(), 3, "{seen}");
    });
}
