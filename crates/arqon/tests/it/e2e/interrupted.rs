//! A demo that is told to end: nothing of it is left behind.

use super::{LONG, site};
use arqon_testkit::wait::until;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::Stdio;

#[test]
fn a_demo_that_is_told_to_end_takes_its_processes_and_its_folder_with_it() {
    let site = site();
    let mut demo = site.command(&["demo", "--json"]);
    demo.env("TMPDIR", site.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut demo = demo.spawn().unwrap();
    let mut said = String::new();
    BufReader::new(demo.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    let begin: serde_json::Value = serde_json::from_str(&said).unwrap();
    let folder = std::path::PathBuf::from(begin["folder"].as_str().unwrap());
    let address = begin["address"].as_str().unwrap();
    assert!(folder.starts_with(site.path()) && folder.is_dir(), "{said}");
    TcpStream::connect(address).unwrap();

    let pid = Pid::from_raw(i32::try_from(demo.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(1));
    assert!(!folder.exists(), "{} is still there", folder.display());
    until("the bus is gone", LONG, || TcpStream::connect(address).is_err().then_some(()));
}
