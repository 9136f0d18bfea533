//! Request and reply: questions with a private reply inbox each, one answer, a time-out.
//!
//! Invariant: a reply inbox exists exactly as long as its asker remembers the question. One asker's questions share one
//! queue of answers, one waker and one timer, so that a question costs none of its own.

use super::{Bus, Publish, Shared, lock};
use crate::hash::Map;
use crate::ids::encode_ulid;
use crate::{
    Address, Code, Ctx, Error, Message, MessageId, Outcome, Position, Record, Result, RoomKey, RoomName,
    Target, Tenant, Timestamp,
};
use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use std::borrow::Borrow;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

/// An asker that waits for nothing keeps room for so many answers; what a burst took beyond that is given back.
const ANSWERS_KEPT: usize = 128;

/// What came for a question. Nobody else gets it, so it is shared with nobody.
#[derive(Debug)]
pub struct Answer {
    /// The message.
    pub message: Message,
    /// Where it stands in the question's private inbox.
    pub position: Position,
}

impl Answer {
    /// The same as a record.
    pub fn into_record(self, tenant: &Tenant) -> Arc<Record> {
        let key = RoomKey::new(tenant.clone(), self.message.address.room.clone());
        Arc::new(Record::new(Arc::new(key), self.position, Arc::new(self.message)))
    }
}

/// The moment of a batch of questions, on both clocks: read once for all of them.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    now: Timestamp,
    monotonic: Duration,
}

/// Where the answers for one asker arrive, each with the number of its question.
struct Inbox {
    tenant: Tenant,
    answers: Mutex<VecDeque<(u64, Answer)>>,
    waker: AtomicWaker,
}

/// A question whose answer is just coming; it waits for no other one.
pub(super) struct Taken {
    /// Its reply inbox.
    pub(super) room: RoomName,
    /// Its asker, and its number there.
    pub(super) place: (u64, u64),
}

/// Answers of one batch on their way. Those for one asker in a row are handed over together, so that it is woken once.
#[derive(Default)]
pub(super) struct Given {
    asker: u64,
    answers: Vec<(u64, Answer)>,
}

impl Given {
    #[inline]
    pub(super) fn add(&mut self, to: &Replies, (asker, question): (u64, u64), answer: Answer) {
        if self.asker != asker {
            self.hand_over(to);
            self.asker = asker;
        }
        self.answers.push((question, answer));
    }

    pub(super) fn hand_over(&mut self, to: &Replies) {
        if self.answers.is_empty() {
            return;
        }
        // An asker that is gone is told nothing.
        let Some(inbox) = lock(&to.waiting).askers.get(&self.asker).cloned() else {
            return self.answers.clear();
        };
        let was_empty = {
            let mut answers = lock(&inbox.answers);
            let was_empty = answers.is_empty();
            answers.extend(self.answers.drain(..));
            was_empty
        };
        // The asker takes all that there is, so whoever finds some there need not wake it.
        if was_empty {
            inbox.waker.wake();
        }
    }
}

/// The name of a reply inbox, found by what stands behind its `@`: that is what the address of an answer holds.
#[derive(PartialEq, Eq)]
struct Name(RoomName);

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        behind_at(&self.0)
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        behind_at(&self.0).hash(state);
    }
}

fn behind_at(name: &RoomName) -> &str {
    let text = name.as_str();
    text.strip_prefix('@').unwrap_or(text)
}

/// The name of the reply inbox that a target means, without its `@`.
fn reply_name(target: &Target) -> Option<&str> {
    match target {
        Target::Inbox(agent) if agent.is_reply() => Some(agent.as_str()),
        Target::Channel(address) if address.room.is_reply() => Some(behind_at(&address.room)),
        _ => None,
    }
}

/// Questions of this node that wait for an answer.
#[derive(Default)]
pub(super) struct Replies {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// The asker and the number of each question, by its reply inbox.
    questions: Map<Name, (u64, u64)>,
    askers: Map<u64, Arc<Inbox>>,
    last: u64,
}

impl Waiting {
    /// The question that has this reply inbox. It is given to one answer only.
    fn take(&mut self, tenant: &Tenant, name: &str) -> Option<Taken> {
        let (name, place) = self.questions.remove_entry(name)?;
        if self.askers.get(&place.0)?.tenant != *tenant {
            self.questions.insert(name, place);
            return None;
        }
        Some(Taken { room: name.0, place })
    }
}

impl Replies {
    pub(super) fn count(&self) -> usize {
        lock(&self.waiting).questions.len()
    }

    /// The questions that wait in the reply inboxes which the messages of a batch are sent to, of those messages that may
    /// pass; nothing if none of them is an answer.
    pub(super) fn take_all(
        &self,
        tenant: &Tenant,
        batch: &[Publish],
        may_pass: impl Fn(usize, &Publish) -> bool,
    ) -> Vec<Option<Taken>> {
        if batch.iter().all(|publish| reply_name(&publish.target).is_none()) {
            return Vec::new();
        }
        let mut waiting = lock(&self.waiting);
        let mut take = |(i, publish): (usize, &Publish)| {
            let name = reply_name(&publish.target)?;
            if may_pass(i, publish) { waiting.take(tenant, name) } else { None }
        };
        batch.iter().enumerate().map(&mut take).collect()
    }

    fn enter(&self, inbox: Inbox) -> (u64, Arc<Inbox>) {
        let inbox = Arc::new(inbox);
        let mut waiting = lock(&self.waiting);
        waiting.last += 1;
        let asker = waiting.last;
        waiting.askers.insert(asker, inbox.clone());
        (asker, inbox)
    }

    fn forget(&self, names: impl Iterator<Item = (u128, u64)>) {
        let mut waiting = lock(&self.waiting);
        for (id, random) in names {
            waiting.questions.remove(behind_at(&RoomName::reply(id, random)));
        }
    }

    fn leave(&self, asker: u64) {
        lock(&self.waiting).askers.remove(&asker);
    }
}

struct Open<T> {
    tag: T,
    /// What its reply inbox is named after.
    name: (u128, u64),
    target: Arc<Target>,
    timeout: Duration,
    until: Duration,
}

/// One asker's questions that are under way, each with a tag that comes back with its answer. Dropping it forgets them.
pub struct Questions<T> {
    shared: Arc<Shared>,
    asker: u64,
    inbox: Arc<Inbox>,
    open: Map<u64, Open<T>>,
    last: u64,
    /// Asked, but not announced yet.
    asked: Vec<(Name, u64)>,
    /// Where the last question went, shared by those that go there too.
    target: Option<Arc<Target>>,
    /// Answers that are to be told.
    ready: VecDeque<(u64, Answer)>,
    /// Questions whose time is over, which is to be told.
    over: VecDeque<u64>,
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

    /// Takes a question on: answers with its number, and with the message that the caller must publish after the next
    /// [`Questions::announce`].
    #[inline]
    pub fn ask(&mut self, publish: Publish, timeout: Duration, tag: T, at: Moment) -> (u64, Publish) {
        let env = &self.shared.env;
        let (drawn, random) = (self.shared.ids.next_at(at.now), env.random.next_u64());
        let name = RoomName::reply(drawn, random);
        self.last += 1;
        let question = self.last;

        let mut publish = publish;
        let id = publish.id.get_or_insert(MessageId::Ulid(drawn));
        let extras = publish.extras.get_or_insert_default();
        extras.reply_to = Some(name.shared());
        if extras.correlation_id.is_none() {
            extras.correlation_id = Some(text_of(id));
        }
        let until = at.monotonic.saturating_add(timeout);
        if self.alarm.as_ref().is_none_or(|(first, _)| until < *first) {
            self.alarm = Some((until, env.clock.sleep(timeout)));
        }
        let target = match &self.target {
            Some(last) if **last == publish.target => last.clone(),
            _ => self.target.insert(Arc::new(publish.target.clone())).clone(),
        };
        self.asked.push((Name(name), question));
        self.open.insert(question, Open { tag, name: (drawn, random), target, timeout, until });
        (question, publish)
    }

    /// From now on answers to all that was asked find their way. To be called before the questions are published.
    pub fn announce(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let asker = self.asker;
        let asked = self.asked.drain(..).map(|(name, question)| (name, (asker, question)));
        lock(&self.shared.replies.waiting).questions.extend(asked);
    }

    /// Takes a question back whose message was refused.
    pub fn refused(&mut self, question: u64) -> Option<T> {
        self.announce();
        let open = self.open.remove(&question)?;
        self.shared.replies.forget(std::iter::once(open.name));
        Some(open.tag)
    }

    /// The next answer, or the error of a question whose time is over. To be called until there is none.
    #[inline]
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Option<(T, Result<Answer>)> {
        if self.ready.is_empty() {
            self.fetch(cx);
        }
        while let Some((question, answer)) = self.ready.pop_front() {
            if let Some(open) = self.open.remove(&question) {
                return Some((open.tag, Ok(answer)));
            }
        }
        self.poll_alarm(cx);
        while let Some(question) = self.over.pop_front() {
            if let Some(open) = self.open.remove(&question) {
                self.shared.replies.forget(std::iter::once(open.name));
                let error = self.shared.no_answer(&self.inbox.tenant, &open.target, open.timeout);
                return Some((open.tag, Err(error)));
            }
        }
        None
    }

    /// Takes all answers that are there.
    fn fetch(&mut self, cx: &mut Context<'_>) {
        if self.ready.capacity() > ANSWERS_KEPT {
            self.ready = VecDeque::new();
        }
        self.inbox.waker.register(cx.waker());
        std::mem::swap(&mut self.ready, &mut *lock(&self.inbox.answers));
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
            self.over.extend(over);
            let next = self.open.values().map(|o| o.until).filter(|until| *until > now).min();
            self.alarm = next.map(|until| (until, self.shared.env.clock.sleep(until - now)));
        }
    }
}

/// The text of an id, to be shared.
fn text_of(id: &MessageId) -> Arc<str> {
    let MessageId::Ulid(value) = id else { return id.to_string().into() };
    let mut text = *b"arq_00000000000000000000000000";
    text[4..].copy_from_slice(&encode_ulid(*value));
    std::str::from_utf8(&text).expect("the alphabet is ASCII").into()
}

impl<T> Drop for Questions<T> {
    fn drop(&mut self) {
        self.shared.replies.forget(self.open.values().map(|open| open.name));
        self.shared.replies.leave(self.asker);
    }
}

impl Bus {
    /// For an asker who has many questions under way.
    pub fn questions<T>(&self, ctx: &Ctx) -> Questions<T> {
        let (tenant, answers, waker) = (ctx.tenant().clone(), Mutex::default(), AtomicWaker::new());
        let (asker, inbox) = self.shared.replies.enter(Inbox { tenant, answers, waker });
        Questions {
            shared: self.shared.clone(),
            asker,
            inbox,
            open: Map::default(),
            last: 0,
            asked: Vec::new(),
            target: None,
            ready: VecDeque::new(),
            over: VecDeque::new(),
            alarm: None,
        }
    }

    /// This moment, for questions that are asked now.
    pub fn moment(&self) -> Moment {
        let clock = &self.shared.env.clock;
        Moment { now: clock.now(), monotonic: clock.monotonic() }
    }

    /// Publishes a question and waits for its answer.
    pub async fn request(&self, ctx: &Ctx, publish: Publish, timeout: Duration) -> Result<Arc<Record>> {
        self.check_timeout(timeout)?;
        let mut questions = self.questions(ctx);
        let (_, publish) = questions.ask(publish, timeout, (), self.moment());
        questions.announce();
        let stored = self.publish(ctx, vec![publish]).await.pop();
        stored.unwrap_or_else(|| Err(Error::new(Code::Internal, "no receipt")))?;
        std::future::poll_fn(|cx| match questions.poll(cx) {
            Some(((), result)) => Poll::Ready(result.map(|answer| answer.into_record(ctx.tenant()))),
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
}
