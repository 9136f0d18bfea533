//! Request and reply: a question with a private reply inbox, one answer, a time-out.

use super::{Bus, Publish, Receipt, Shared, lock};
use crate::hash::Map;
use crate::record::Epoch;
use crate::{Code, Ctx, Error, Message, Position, Record, Result, RoomKey, RoomName};
use futures_util::future::{Either, select};
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Waiter = futures_channel::oneshot::Sender<Arc<Record>>;

/// Questions of this node that wait for an answer, by their reply inbox.
#[derive(Default)]
pub(super) struct Replies {
    waiting: Mutex<Map<RoomKey, Waiter>>,
}

/// Takes its inbox away again, however the request ends.
struct Seat<'a>(&'a Replies, RoomKey);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        lock(&self.0.waiting).remove(&self.1);
    }
}

impl Bus {
    /// Publishes a question and waits for its answer.
    pub async fn request(&self, ctx: &Ctx, publish: Publish, timeout: Duration) -> Result<Arc<Record>> {
        let shared = &self.shared;
        let max = shared.settings.limits.request_timeout;
        if timeout.is_zero() || timeout > max {
            let text = format!("expected 1 to {} ms", max.as_millis());
            return Err(Error::invalid("args.timeout_ms", text));
        }
        let random = shared.env.random.next_u64();
        let name = RoomName::parse(&format!("@reply.{:032x}{random:016x}", shared.ids.next()))?;
        let key = RoomKey::new(ctx.tenant().clone(), name.clone());
        let (sender, answer) = futures_channel::oneshot::channel();
        lock(&shared.replies.waiting).insert(key.clone(), sender);
        let _seat = Seat(&shared.replies, key);

        let mut publish = publish;
        let address = publish.target.to_string();
        let id = publish.id.get_or_insert_with(|| shared.ids.message_id()).to_string();
        let extras = publish.extras.get_or_insert_default();
        extras.reply_to = Some(name.as_str().into());
        extras.correlation_id.get_or_insert_with(|| id.into());
        let stored = self.publish(ctx, vec![publish]).await.pop();
        let receipt = stored.unwrap_or_else(|| Err(Error::new(Code::Internal, "no receipt")))?;

        match select(answer, pin!(shared.env.clock.sleep(timeout))).await {
            Either::Left((Ok(record), _)) => Ok(record),
            _ => Err(shared.no_answer(ctx, &address, &receipt, timeout)),
        }
    }
}

impl Shared {
    fn no_answer(&self, ctx: &Ctx, address: &str, receipt: &Receipt, timeout: Duration) -> Error {
        let key = RoomKey::new(ctx.tenant().clone(), receipt.room.clone());
        let listeners = self.rooms.find(&key).map_or(0, |room| room.listeners(&receipt.channel));
        let who = match listeners {
            0 => "nobody is subscribed to it".to_owned(),
            n => format!("{n} subscribed to it"),
        };
        Error::new(
            Code::Timeout,
            format!("no answer from `{address}` within {} ms; {who}", timeout.as_millis()),
        )
        .with_outcome(crate::Outcome::Unknown)
        .with_hint("start a replier (`arqon reply`), or allow more time")
    }

    /// Delivers an answer to the request that waits here for it, if one does.
    pub(super) fn answer(&self, ctx: &Ctx, message: Arc<Message>) -> Position {
        let key = RoomKey::new(ctx.tenant().clone(), message.address.room.clone());
        let Some(waiter) = lock(&self.replies.waiting).remove(&key) else {
            self.counters.expired.fetch_add(1, Relaxed);
            return Position::new(Epoch::memory(0), 0);
        };
        let position = Position::new(Epoch::memory(self.ids.next() as u64), 1);
        // The asker may have just given up; then there is nobody to tell.
        let _ = waiter.send(Arc::new(Record::new(Arc::new(key), position, message)));
        position
    }
}
