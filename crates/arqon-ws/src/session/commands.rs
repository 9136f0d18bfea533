//! Commands under way. Those that change the connection run one after the other; the others side by side.
//!
//! Invariant: a long command (a request that waits for its answer) never holds up another, and the commands that
//! depend on each other (subscribe, acknowledge, …) take effect in the order in which they were sent.

use arqon_core::bus::{Bus, Connection};
use arqon_core::value::Value;
use arqon_core::{Ctx, Result, operations};
use arqon_wire::{Command, Form};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::VecDeque;
use std::task::{Context, Poll};

/// Commands side by side before reading pauses.
const FREE: usize = 64;
/// Commands in a row before reading pauses.
const ORDERED: usize = 256;

/// What became of a command.
pub(crate) struct Answer {
    pub(crate) id: Option<Box<str>>,
    pub(crate) form: Form,
    pub(crate) name: Box<str>,
    pub(crate) result: Result<Value>,
}

pub(super) type Work = BoxFuture<'static, Answer>;

struct Ordered {
    work: Work,
    /// Deliveries wait until the answer has told the subscription's id.
    subscribes: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Commands {
    ordered: VecDeque<Ordered>,
    free: Option<Box<FuturesUnordered<Work>>>,
}

impl Commands {
    pub(crate) fn is_full(&self) -> bool {
        self.ordered.len() >= ORDERED || self.free.as_ref().is_some_and(|free| free.len() >= FREE)
    }

    /// Whether one that changes the connection is under way.
    pub(crate) fn is_changing(&self) -> bool {
        !self.ordered.is_empty()
    }

    /// Whether a subscription is just beginning.
    pub(crate) fn is_subscribing(&self) -> bool {
        self.ordered.front().is_some_and(|front| front.subscribes)
    }

    /// Takes a command on. It begins to run at the next [`Commands::poll`].
    pub(crate) fn start(
        &mut self,
        bus: &Bus,
        ctx: &Ctx,
        connection: &Connection,
        (form, command): (Form, Command),
    ) {
        let Command { id, name, args } = command;
        let (bus, connection, mut ctx) = (bus.clone(), connection.clone(), ctx.clone());
        let changes = operations::find(&name).is_some_and(|operation| operation.needs_connection);
        let subscribes = &*name == "subscribe";
        let work = Box::pin(async move {
            if changes {
                // An earlier command may have registered an agent.
                ctx = connection.ctx();
            }
            ctx.request_id = id.as_deref().map(Into::into);
            let result = bus.call(&ctx, Some(&connection), &name, args).await;
            Answer { id, form, name, result }
        });
        if changes {
            self.start_in_order(work, subscribes);
        } else {
            self.free.get_or_insert_default().push(work);
        }
    }

    /// Takes on what must wait for the commands before it; `subscribes`: no delivery may come before its answer.
    pub(super) fn start_in_order(&mut self, work: Work, subscribes: bool) {
        self.ordered.push_back(Ordered { work, subscribes });
    }

    /// The next answer, if there is one.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Answer> {
        if let Some(front) = self.ordered.front_mut()
            && let Poll::Ready(answer) = front.work.as_mut().poll(cx)
        {
            self.ordered.pop_front();
            if self.ordered.is_empty() {
                // An idle connection holds no queue.
                self.ordered = VecDeque::new();
            }
            return Some(answer);
        }
        let free = self.free.as_mut()?;
        match free.poll_next_unpin(cx) {
            Poll::Ready(Some(answer)) => Some(answer),
            Poll::Ready(None) => {
                self.free = None;
                None
            }
            Poll::Pending => None,
        }
    }
}
