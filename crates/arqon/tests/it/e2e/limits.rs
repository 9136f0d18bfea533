//! Limits of size, shown over the real binary: connections, rooms and channels by the ten thousand.
//!
//! Invariant: what is counted was heard on a socket or read from the kernel.

use super::site;
use arqon_client::{Client, Event, Payload};
use arqon_testkit::process::Bus;
use arqon_testkit::thin::{Reached, Thin, raise_file_limit};
use futures_util::stream::{self, StreamExt};
use std::time::Duration;

/// A machine under load takes its time.
const LONG: Duration = Duration::from_secs(120);

fn memory_kib(bus: &Bus) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", bus.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

async fn connect(url: &str, token: &str) -> Reached {
    Thin::connect(url, token).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_connections_at_once_and_one_more_is_told_why_not() {
    let files = raise_file_limit();
    // Each needs a file here and one in the server, whose limit is the same.
    let count = 10_000;
    assert!(
        files >= count as u64 + 600,
        "only {files} files may be open: raise `ulimit -Hn` to 10600 or more"
    );
    let mut site = site();
    let config = site.path().join("limits.toml");
    std::fs::write(
        &config,
        format!("[limits]\nconnections = {count}\n[ws]\nping_interval_seconds = \"1h\"\n"),
    )
    .unwrap();
    site.serve_with(&["--config", config.to_str().unwrap()]);
    let bus = site.start();
    let (url, token) = (site.url(), site.token());
    let before = memory_kib(&bus);
    let opened: Vec<Reached> =
        stream::iter(0..count).map(|_| connect(&url, &token)).buffer_unordered(100).collect().await;
    let mut open: Vec<Thin> = opened
        .into_iter()
        .map(|reached| match reached {
            Reached::Open(thin) => thin,
            Reached::Refused(answer) => panic!("{answer}"),
        })
        .collect();
    let after = memory_kib(&bus);
    println!("{count} connections; {:.1} KiB each", (after - before) as f64 / count as f64);

    let Reached::Refused(answer) = connect(&url, &token).await else { panic!("one too many was let in") };
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after"), "{answer}");
    assert!(answer.contains("limits.connections"), "it says what to do: {answer}");

    // All of them work: each subscribes, and one message reaches all.
    let subscribe = r#"{"type":"command","id":"s","command":"subscribe","args":{"pattern":"news:*"}}"#;
    for thin in &mut open {
        thin.send(subscribe).await.unwrap();
    }
    for thin in &mut open {
        thin.text_with(r#""request_id":"s""#).await.unwrap();
    }
    open[0].send(r#"{"type":"message","to":"news:main","payload":{"n":1}}"#).await.unwrap();
    let mut heard = 0;
    for thin in &mut open[1..] {
        tokio::time::timeout(LONG, thin.text_with(r#""payload":{"n":1}"#)).await.unwrap().unwrap();
        heard += 1;
    }
    assert_eq!(heard, count - 1);
    drop(open);
    assert!(bus.stop().success());
}

/// How much of the full size is done; all of it with `ARQON_TEST_FULL=1`.
fn part(full: usize) -> usize {
    if std::env::var_os("ARQON_TEST_FULL").is_some() { full } else { full / 10 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_and_channels_by_the_thousand_are_counted_and_survive_a_restart() {
    let (rooms, each) = (part(10_000), 10);
    let site = site();
    let bus = site.start();
    let client = Client::builder(&site.url()).token(site.token()).connect().await.unwrap();
    let mut all = client.subscribe("*:*").await.unwrap();
    let before = memory_kib(&bus);
    let mut heard = 0;
    let publisher = client.publisher(1000);
    for n in 0..rooms * each {
        let address = format!("room-{}:c{}", n % rooms, n / rooms);
        let pending = publisher.send(publisher.message(&address, Payload::text("x"))).await.unwrap();
        drop(pending);
        while let Some(event) = all.try_next() {
            assert!(matches!(event.unwrap(), Event::Message(_)), "nothing is missing");
            heard += 1;
        }
    }
    client.flush().await.unwrap();
    while heard < rooms * each {
        let event = tokio::time::timeout(LONG, all.next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(event, Event::Message(_)), "nothing is missing");
        heard += 1;
    }
    let after = memory_kib(&bus);
    let taken = after - before;
    println!("{rooms} rooms of {each} channels: {:.2} KiB a room", taken as f64 / rooms as f64);
    // Buffers of the log, and about twice what is documented for each room.
    assert!(taken < 40 * 1024 + 16 * rooms as u64, "{rooms} rooms take {taken} KiB");
    client.close().await.unwrap();
    bus.kill();

    let bus = site.start();
    println!("after a restart: {:.2} KiB a room", memory_kib(&bus) as f64 / rooms as f64);
    let client = Client::builder(&site.url()).token(site.token()).connect().await.unwrap();
    let mut all = client.subscribe("*:*").from_earliest().await.unwrap();
    let mut seen = vec![0u32; rooms];
    for _ in 0..rooms * each {
        let event = tokio::time::timeout(LONG, all.next()).await.unwrap().unwrap().unwrap();
        let Event::Message(message) = event else { panic!("nothing is missing: {event:?}") };
        let room = message.address().room.as_str().trim_start_matches("room-").parse::<usize>().unwrap();
        seen[room] += 1;
    }
    assert!(seen.iter().all(|n| *n == each as u32), "each channel's message is there once");
    client.close().await.unwrap();
    assert!(bus.stop().success());
}
