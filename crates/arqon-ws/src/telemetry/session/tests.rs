//! The session over a stream that is no socket.

use super::*;
use crate::door::Settings;
use crate::telemetry::TelemetryDoor;
use arqon_core::bus::{Bus, ConnectInfo, Parts, Settings as BusSettings};
use arqon_core::env::{Clock, Env};
use arqon_core::limits::Limits;
use arqon_core::port::{Grant, TokenIssuer};
use arqon_core::{Ctx, Principal, Role, Tenant};
use arqon_store_contract::{ManualClock, SeededRandom, TaskSpawner};
use arqon_store_memory::{MemoryLog, MemoryRecords};
use arqon_wire::older::telemetry::Speaker;
use std::io;
use std::sync::atomic::AtomicUsize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

/// Asks without end, and takes no answer.
struct Deaf {
    asks: Vec<u8>,
    read: usize,
}

impl AsyncRead for Deaf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = to.remaining().min(self.asks.len());
        to.put_slice(&self.asks[..n]);
        self.asks.rotate_left(n);
        self.read += n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

struct NoTokens;
impl TokenIssuer for NoTokens {
    fn issue(&self, _: &Grant) -> arqon_core::Result<String> {
        unreachable!("nobody asks for a token here")
    }
}

async fn port() -> Arc<Port> {
    let random = Arc::new(SeededRandom::new(7));
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let spawner = Arc::new(TaskSpawner::default());
    let parts = Parts {
        env: Env { clock: clock.clone(), random: random.clone(), spawner },
        log: Arc::new(MemoryLog::new(clock, random)),
        records: Arc::new(MemoryRecords::new()),
        tokens: Arc::new(NoTokens),
        settings: BusSettings { version: "test", limits: Limits::default(), policies: Vec::new() },
    };
    let door = TelemetryDoor {
        bus: Bus::start(parts).await.unwrap(),
        authorize: Arc::new(|_| unreachable!("the stream is past its handshake")),
        settings: Settings::default(),
        max_connections: 1,
        events: EventSet::all(),
        speaker: Speaker { host: "test".into(), port: 1, version: "test" },
        shutdown: CancellationToken::new(),
    };
    Arc::new(Port { door, open: AtomicUsize::new(0) })
}

fn connection(port: &Port) -> Connection {
    let principal = Principal {
        subject: "deaf".into(),
        tenant: Tenant::default(),
        role: Role::Moderator,
        publish: None,
        subscribe: None,
        expires_at: None,
    };
    port.door.bus.connect(Ctx::new(Arc::new(principal)), ConnectInfo::default()).unwrap()
}

/// A frame of a client, under a mask of zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

#[tokio::test]
async fn whoever_asks_without_end_and_takes_no_answer_costs_a_bounded_amount() {
    let port = port().await;
    for asks in [frame(opcode::PING, b"are you there?"), frame(opcode::TEXT, br#"{"type":"subscribe"}"#)] {
        let seat = Seat::take(&port).expect("there is a seat");
        let socket = Deaf { asks: asks.repeat(100), read: 0 };
        let mut session = TelemetrySession::new(socket, (port.clone(), seat), connection(&port));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for _ in 0..200 {
            assert!(Pin::new(&mut session).poll(&mut cx).is_pending());
        }
        let (read, waits) = (session.socket.read, session.output.pending());
        assert!(waits < 2 * HIGH, "{waits} bytes wait after {read} bytes of questions");
        assert!(waits >= HIGH && session.vitals.paused, "it was asked until it could take no more");
    }
}

#[tokio::test]
async fn whoever_is_refused_takes_no_seat_and_is_told_why() {
    let port = port().await;
    let taken = Seat::take(&port);
    assert!(taken.is_some() && Seat::take(&port).is_none());
    drop(taken);
    let long = "é".repeat(200);
    let socket = Deaf { asks: frame(opcode::PING, b""), read: 0 };
    let session = TelemetrySession::refused(socket, port.clone(), (4501, &long));
    assert!(session.output.pending() <= 2 + 125, "a close frame is a short one");
    assert!(Seat::take(&port).is_some(), "the seat is free while the goodbye is under way");
}
