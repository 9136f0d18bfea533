//! A client of the older protocol in plain Python, in both of its JSON dialects and in protobuf, over the real binary.

use super::foreign::run;
use super::site;

#[test]
fn an_older_client_works_unmodified() {
    let site = site();
    let bus = site.start();
    run("older.py", &site, &bus);
    // What it said is there for the command line too.
    let seen = site.run(&["sub", "science:explore", "--from", "earliest", "--count", "3", "--json"]);
    assert_eq!(seen.lines().count(), 3, "{seen}");
    assert!(bus.stop().success(), "a stop by SIGTERM ends well");
}
