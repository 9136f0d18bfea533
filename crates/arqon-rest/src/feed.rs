//! One subscription for the time of one request: what event streams and polls have in common.
//!
//! A plain feed goes on from a cursor. A durable one goes on after what was acknowledged, and the cursor that a reader
//! hands back acknowledges everything up to it.

use crate::cursor::{self, Cursor};
use crate::rest::Rest;
use arqon_core::bus::{ConnectInfo, Connection, From, Subscribe, SubscribeOptions};
use arqon_core::value::Args;
use arqon_core::{Ctx, Pattern, Position, Result, RoomName};
use std::net::SocketAddr;
use std::sync::Arc;

/// What a reader asks for.
pub(crate) struct Wish {
    pub(crate) pattern: Pattern,
    pub(crate) from: From,
    pub(crate) durable: Option<String>,
}

impl Wish {
    /// Reads `pattern`, `from` and `durable`; `reached` is the cursor of a reader that comes back.
    pub(crate) fn read(args: &mut Args, reached: Option<&str>) -> Result<Wish> {
        let pattern =
            Pattern::parse(&args.need_text("pattern")?).map_err(|e| e.with_field("args.pattern"))?;
        let given = args.text("from")?;
        let from = match reached.or(given.as_deref()) {
            Some(text) => cursor::parse(text)?,
            None => From::Latest,
        };
        Ok(Wish { pattern, from, durable: args.text("durable")? })
    }
}

/// A subscription and where its reader has come to.
pub(crate) struct Feed {
    pub(crate) connection: Connection,
    pub(crate) cursor: Cursor,
    pub(crate) durable: bool,
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
        let Wish { pattern, from, durable } = wish;
        let options = SubscribeOptions::default();
        let request = Subscribe { pattern: pattern.clone(), from: from.clone(), durable, options };
        let begun = connection.subscribe(&connection.ctx(), request).await?;
        let cursor = Cursor::new(&pattern, &from, &begun.positions);
        let feed = Feed { connection, cursor, durable: begun.durable.is_some(), id: begun.id };
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
