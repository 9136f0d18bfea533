//! Readers of the command line's output that go away: the work goes on.

use super::site;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

#[test]
fn publishing_goes_on_when_nobody_reads_the_receipts() {
    let site = site();
    let _bus = site.start();
    let mut publisher = site.command(&["pub", "repo:main", "-", "--json"]);
    let mut publisher = publisher.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = publisher.stdin.take().unwrap();
    let mut output = BufReader::new(publisher.stdout.take().unwrap());
    writeln!(input, "first").unwrap();
    output.read_line(&mut String::new()).unwrap();
    drop(output);
    let lines = (0..5_000).fold(String::new(), |mut all, n| {
        writeln!(all, "line {n}").unwrap();
        all
    });
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    assert_eq!(publisher.wait().unwrap().code(), Some(0));
    let rooms: serde_json::Value = serde_json::from_str(&site.run(&["channels", "--json"])).unwrap();
    assert_eq!(rooms["rooms"][0]["records"], 5_001, "{rooms}");
}
