//! Request and reply: questions with a private reply inbox each, one answer, a time-out.
//!
//! Invariant: a reply inbox exists exactly as long as its asker remembers the question. One asker's questions share one
//! queue of answers, one waker and one timer, so that a question costs none of its own.

use super::{Bus, Publish, Shared, lock};
use crate::hash::Map;
use crate::record::Epoch;
use crate::{
    Address, Code, Ctx, Error, Message, MessageId, Outcome, Position, Record, Result, RoomKey, RoomName,
    Target, Tenant,
};
use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

/// Where the answers for one asker arrive, each with the number of its question.
#[derive(Default)]
struct Inbox {
    answers: Mutex<VecDeque<(u64, Arc<Record>)>>,
    waker: AtomicWaker,
}

/// A question that waits for its answer.
pub(super) struct Waiter {
    tenant: Tenant,
    inbox: Arc<Inbox>,
    question: u64,
}

impl Waiter {
    fn give(self, record: Arc<Record>) {
        let is_first = {
            let mut answers = lock(&self.inbox.answers);
            answers.push_back((self.question, record));
            answers.len() == 1
        };
        // The asker takes all that there is, so the others need not wake it.
        if is_first {
            self.inbox.waker.wake();
        }
    }
}

/// Questions of this node that wait for an answer, by their reply inbox.
#[derive(Default)]
pub(super) struct Replies {
    waiting: Mutex<Map<RoomName, Waiter>>,
}

impl Replies {
    /// The question that has this reply inbox. It is given to one answer only.
    pub(super) fn take(&self, tenant: &Tenant, name: &RoomName) -> Option<Waiter> {
        let mut waiting = lock(&self.waiting);
        if waiting.get(name)?.tenant != *tenant {
            return None;
        }
        waiting.remove(name)
    }

    fn forget<'a>(&self, names: impl Iterator<Item = &'a RoomName>) {
        let mut waiting = lock(&self.waiting);
        names.for_each(|name| drop(waiting.remove(name)));
    }
}

struct Open<T> {
    tag: T,
    name: RoomName,
    target: Target,
    timeout: Duration,
    until: Duration,
}

/// One asker's questions that are under way, each with a tag that comes back with its answer. Dropping it forgets them.
pub struct Questions<T> {
    shared: Arc<Shared>,
    tenant: Tenant,
    inbox: Arc<Inbox>,
    open: Map<u64, Open<T>>,
    last: u64,
    /// What is to be told: an answer, or that the time is over.
    ready: VecDeque<(u64, Option<Arc<Record>>)>,
    /// When to look for questions whose time is over. A deadline that comes later starts no new timer.
    alarm: Option<(Duration, BoxFuture<'static, ()>)>,
}

impl<T> Questions<T> {
    /// How many wait for an answer.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes a question on: answers with its number, and with the message that the caller must publish now.
    pub fn ask(&mut self, publish: Publish, timeout: Duration, tag: T) -> (u64, Publish) {
        let env = &self.shared.env;
        let (id, random) = (self.shared.ids.next(), env.random.next_u64());
        let name = RoomName::reply(id, random);
        self.last += 1;
        let question = self.last;
        let waiter = Waiter { tenant: self.tenant.clone(), inbox: self.inbox.clone(), question };
        lock(&self.shared.replies.waiting).insert(name.clone(), waiter);

        let mut publish = publish;
        let id = publish.id.get_or_insert(MessageId::Ulid(id)).to_string();
        let extras = publish.extras.get_or_insert_default();
        extras.reply_to = Some(name.as_str().into());
        extras.correlation_id.get_or_insert_with(|| id.into());
        let until = env.clock.monotonic().saturating_add(timeout);
        if self.alarm.as_ref().is_none_or(|(at, _)| until < *at) {
            self.alarm = Some((until, env.clock.sleep(timeout)));
        }
        let target = publish.target.clone();
        self.open.insert(question, Open { tag, name, target, timeout, until });
        (question, publish)
    }

    /// Takes a question back whose message was refused.
    pub fn refused(&mut self, question: u64) -> Option<T> {
        let open = self.open.remove(&question)?;
        self.shared.replies.forget(std::iter::once(&open.name));
        Some(open.tag)
    }

    /// The next answer, or the error of a question whose time is over. To be called until there is none.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Option<(T, Result<Arc<Record>>)> {
        loop {
            if self.ready.is_empty() {
                self.inbox.waker.register(cx.waker());
                let answers = std::mem::take(&mut *lock(&self.inbox.answers));
                self.ready.extend(answers.into_iter().map(|(question, record)| (question, Some(record))));
            }
            if self.ready.is_empty() {
                self.poll_alarm(cx);
            }
            let (question, record) = self.ready.pop_front()?;
            let Some(open) = self.open.remove(&question) else { continue };
            let result = record.ok_or_else(|| {
                self.shared.replies.forget(std::iter::once(&open.name));
                self.shared.no_answer(&self.tenant, &open.target, open.timeout)
            });
            return Some((open.tag, result));
        }
    }

    /// Puts those whose time is over among what is to be told, and sets the alarm for the next one.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) {
        while let Some((_, alarm)) = &mut self.alarm {
            if alarm.as_mut().poll(cx).is_pending() {
                return;
            }
            let now = self.shared.env.clock.monotonic();
            let mut over: Vec<u64> =
                self.open.iter().filter(|(_, o)| o.until <= now).map(|(n, _)| *n).collect();
            over.sort_unstable();
            self.ready.extend(over.into_iter().map(|question| (question, None)));
            let next = self.open.values().map(|o| o.until).filter(|until| *until > now).min();
            self.alarm = next.map(|until| (until, self.shared.env.clock.sleep(until - now)));
        }
    }
}

impl<T> Drop for Questions<T> {
    fn drop(&mut self) {
        self.shared.replies.forget(self.open.values().map(|open| &open.name));
    }
}

impl Bus {
    /// For an asker who has many questions under way.
    pub fn questions<T>(&self, ctx: &Ctx) -> Questions<T> {
        Questions {
            shared: self.shared.clone(),
            tenant: ctx.tenant().clone(),
            inbox: Arc::default(),
            open: Map::default(),
            last: 0,
            ready: VecDeque::new(),
            alarm: None,
        }
    }

    /// Publishes a question and waits for its answer.
    pub async fn request(&self, ctx: &Ctx, publish: Publish, timeout: Duration) -> Result<Arc<Record>> {
        self.check_timeout(timeout)?;
        let mut questions = self.questions(ctx);
        let (_, publish) = questions.ask(publish, timeout, ());
        let stored = self.publish(ctx, vec![publish]).await.pop();
        stored.unwrap_or_else(|| Err(Error::new(Code::Internal, "no receipt")))?;
        std::future::poll_fn(|cx| match questions.poll(cx) {
            Some(((), result)) => Poll::Ready(result),
            None => Poll::Pending,
        })
        .await
    }

    /// Refuses to wait for no time, or for longer than is allowed.
    pub(crate) fn check_timeout(&self, timeout: Duration) -> Result<()> {
        let max = self.shared.settings.limits.request_timeout;
        if timeout.is_zero() || timeout > max {
            let text = format!("expected 1 to {} ms", max.as_millis());
            return Err(Error::invalid("args.timeout_ms", text));
        }
        Ok(())
    }
}

impl Shared {
    fn no_answer(&self, tenant: &Tenant, target: &Target, timeout: Duration) -> Error {
        let address = match target {
            Target::Channel(address) => Some(address.clone()),
            Target::Inbox(agent) => Some(Address::inbox(agent)),
            Target::Skill(_) | Target::Everyone => None,
        };
        let listeners = address.map(|Address { room, channel }| {
            let room = self.rooms.find(&RoomKey::new(tenant.clone(), room));
            room.map_or(0, |room| room.listeners(&channel))
        });
        let who = match listeners {
            Some(0) => "; nobody is subscribed to it".to_owned(),
            Some(n) => format!("; {n} subscribed to it"),
            None => String::new(),
        };
        let text = format!("no answer from `{target}` within {} ms{who}", timeout.as_millis());
        Error::new(Code::Timeout, text)
            .with_outcome(Outcome::Unknown)
            .with_hint("start a replier (`arqon reply`), or allow more time")
    }

    /// Delivers an answer to the request that waits for it, if one does.
    pub(super) fn answer(&self, ctx: &Ctx, waiter: Option<Waiter>, message: Message) -> Position {
        let Some(waiter) = waiter else {
            self.counters.expired.fetch_add(1, Relaxed);
            return Position::new(Epoch::memory(0), 0);
        };
        let key = RoomKey::new(ctx.tenant().clone(), message.address.room.clone());
        let position = Position::new(Epoch::memory(self.ids.next_at(message.stored_at) as u64), 1);
        waiter.give(Arc::new(Record::new(Arc::new(key), position, Arc::new(message))));
        position
    }
}
