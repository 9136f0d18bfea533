//! SC-001: thousands of connections at once, all of them alive; and how long connecting takes.

use crate::ground::{Ground, Row, Times};
use arqon_bench::clock::now;
use arqon_testkit::thin::{Reached, Thin, raise_file_limit};
use futures_util::stream::{self, StreamExt};
use std::time::Duration;

/// How many connect at the same time.
const AT_ONCE: usize = 50;
const SECOND: Duration = Duration::from_secs(1);

pub async fn measure(ground: &Ground) -> Vec<Row> {
    let count = ground.size(5000, 200);
    let files = raise_file_limit();
    assert!(files > count as u64 + 600, "only {files} files may be open: raise `ulimit -Hn`");
    let (site, bus) = ground.start("");
    let (url, token) = (site.url(), site.token());
    let connecting = (0..count).map(|_| async {
        let begin = now();
        let reached = Thin::connect(&url, &token).await.expect("the server listens");
        let Reached::Open(mut thin) = reached else { panic!("a connection was refused") };
        thin.text_with("\"welcome\"").await.expect("a welcome");
        (thin, begin.elapsed())
    });
    let opened: Vec<(Thin, Duration)> = stream::iter(connecting).buffer_unordered(AT_ONCE).collect().await;
    let mut times = Times::default();
    let mut open: Vec<Thin> = Vec::with_capacity(count);
    for (thin, took) in opened {
        times.note(took);
        open.push(thin);
    }
    let subscribe = r#"{"type":"command","id":"s","command":"subscribe","args":{"pattern":"news:*"}}"#;
    for thin in &mut open {
        thin.send(subscribe).await.expect("it is open");
    }
    for thin in &mut open {
        thin.text_with(r#""request_id":"s""#).await.expect("an answer");
    }
    let begin = now();
    open[0].send(r#"{"type":"message","to":"news:main","payload":{"n":1}}"#).await.expect("it is open");
    for thin in &mut open {
        thin.text_with(r#""payload":{"n":1}"#).await.expect("each hears the message");
    }
    let heard = begin.elapsed();
    drop(open);
    assert!(bus.stop().success(), "the server ends in order");
    vec![
        Row {
            id: "SC-001",
            criterion: "connections at once on one node",
            target: "5,000",
            measured: format!(
                "{count} open, each heard one message; the last of them after {:.0} ms",
                heard.as_secs_f64() * 1e3
            ),
            how: "WebSockets to one process, all subscribed to one channel".to_owned(),
            is_met: ground.is_quick || count >= 5000,
            is_timed: false,
        },
        Row {
            id: "contract: connect",
            criterion: "connecting",
            target: "< 1 s",
            measured: times.shown(),
            how: format!(
                "TCP, handshake and welcome of the {count} connections of SC-001, {AT_ONCE} at a time"
            ),
            is_met: times.at(1.0) < SECOND,
            is_timed: true,
        },
    ]
}
