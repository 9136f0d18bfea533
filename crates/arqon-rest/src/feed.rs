//! One subscription for the time of one request: what event streams and polls have in common.
//!
//! A plain feed goes on from a cursor. A durable one goes on after what was acknowledged, and the cursor that a reader
//! hands back acknowledges everything up to it.

use crate::cursor::{self, Cursor};
use crate::rest::Rest;
use arqon_core::bus::{ConnectInfo, Connection, From, Subscribe, SubscribeOptions};
use arqon_core::value::Args;
use arqon_core::{Ctx, Error, Pattern, Position, Record, Result, RoomName};
use arqon_wire::cloudevents::write_event;
use arqon_wire::json::delivery;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a reader asks for.
pub(crate) struct Wish {
    pub(crate) pattern: Pattern,
    pub(crate) from: From,
    pub(crate) durable: Option<String>,
    pub(crate) format: Format,
}

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// As envelopes.
    Envelope,
    /// As CloudEvents in JSON.
    CloudEvents,
}

impl Format {
    fn read(args: &mut Args) -> Result<Format> {
        match args.text("format")?.as_deref() {
            None | Some("envelope") => Ok(Format::Envelope),
            Some("cloudevents") => Ok(Format::CloudEvents),
            Some(_) => Err(Error::invalid("args.format", "expected `envelope` or `cloudevents`")),
        }
    }

    /// Appends a message.
    pub(crate) fn write(self, out: &mut Vec<u8>, record: &Record, attempt: u32) {
        match self {
            Format::Envelope => {
                out.push(b'{');
                if attempt > 0 {
                    out.extend_from_slice(format!("\"attempt\":{attempt},").as_bytes());
                }
                out.extend_from_slice(delivery(record));
            }
            Format::CloudEvents => write_event(out, record, attempt),
        }
    }
}

impl Wish {
    /// Reads `pattern`, `from`, `durable` and `format`; `reached` is the cursor of a reader that comes back.
    pub(crate) fn read(args: &mut Args, reached: Option<&str>) -> Result<Wish> {
        let pattern =
            Pattern::parse(&args.need_text("pattern")?).map_err(|e| e.with_field("args.pattern"))?;
        let given = args.text("from")?;
        let from = match reached.or(given.as_deref()) {
            Some(text) => cursor::parse(text)?,
            None => From::Latest,
        };
        Ok(Wish { pattern, from, durable: args.text("durable")?, format: Format::read(args)? })
    }
}

/// A subscription and where its reader has come to.
pub(crate) struct Feed {
    pub(crate) connection: Connection,
    pub(crate) cursor: Cursor,
    pub(crate) durable: bool,
    pub(crate) format: Format,
    id: Arc<str>,
}

impl Feed {
    /// Opens a connection and subscribes.
    pub(crate) async fn open(
        rest: &Rest,
        ctx: &Ctx,
        wish: Wish,
        transport: &'static str,
        peer: Option<SocketAddr>,
    ) -> Result<Feed> {
        let info = ConnectInfo { peer: peer.map(|p| p.to_string()), transport, ..ConnectInfo::default() };
        let connection = rest.bus.connect(ctx.clone(), info)?;
        let Wish { pattern, from, durable, format } = wish;
        let options = SubscribeOptions::default();
        let request = Subscribe { pattern: pattern.clone(), from: from.clone(), durable, options };
        let begun = connection.subscribe(&connection.ctx(), request).await?;
        let cursor = Cursor::new(&pattern, &from, &begun.positions);
        let feed = Feed { connection, cursor, durable: begun.durable.is_some(), format, id: begun.id };
        if feed.durable {
            feed.acknowledge_reached(&pattern, &from).await?;
        }
        Ok(feed)
    }

    /// What a returning reader has reached is done.
    async fn acknowledge_reached(&self, pattern: &Pattern, from: &From) -> Result<()> {
        for (room, at) in cursor::positions(pattern, from) {
            self.connection.acknowledge(&self.id, Some(room), (&[], Some(at)), false).await?;
        }
        Ok(())
    }

    /// These deliveries of one room are done.
    pub(crate) async fn acknowledge(&self, room: RoomName, positions: &[Position]) -> Result<()> {
        self.connection.acknowledge(&self.id, Some(room), (positions, None), false).await.map(|_| ())
    }
}
