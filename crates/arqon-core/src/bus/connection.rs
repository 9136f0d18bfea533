//! One caller's live connection: its subscriptions, and the mailbox in which they announce that something waits.
//!
//! Invariant: dropping the future of [`Connection::next`] loses nothing; a connection that is gone gives back its
//! subscriptions, its durable names and its agent.

use super::events::{self, EventType};
use super::metrics::Census;
use super::subscribe::{Subscribe, Subscribed};
use super::subscription::{Subscription, Turn};
use super::{Bus, Shared, lock};
use crate::hash::Map;
use crate::port::{Page, StoreError};
use crate::{AgentId, Code, Ctx, Delivery, Error, Priority, Result, Tenant};
use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

/// What a connection says of itself at the start.
#[derive(Debug, Clone, Default)]
pub struct ConnectInfo {
    /// The agent behind it.
    pub agent: Option<AgentId>,
    /// What the agent can do, for `@skill/NAME`.
    pub skills: Vec<String>,
    /// The other end, for people.
    pub peer: Option<String>,
    /// `websocket`, `sse`, …
    pub transport: &'static str,
    /// What it says that it is.
    pub client_type: Option<ClientType>,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientType {
    /// A person.
    Human,
    /// An agent; what it does is told as `agent_activity`.
    AiAgent,
    /// Something that looks on.
    Dashboard,
    /// A program that is no agent.
    Service,
}

impl ClientType {
    /// All of them.
    pub const ALL: [ClientType; 4] =
        [ClientType::Human, ClientType::AiAgent, ClientType::Dashboard, ClientType::Service];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            ClientType::Human => "human",
            ClientType::AiAgent => "ai-agent",
            ClientType::Dashboard => "dashboard",
            ClientType::Service => "service",
        }
    }

    /// Reads a word.
    pub fn parse(text: &str) -> Result<ClientType> {
        ClientType::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            Error::invalid("client_type", "expected `human`, `ai-agent`, `dashboard` or `service`")
        })
    }
}

/// Something for the caller.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Which subscription it belongs to.
    pub subscription: Arc<str>,
    /// What.
    pub item: Item,
}

/// A delivery, or the end of a subscription.
#[derive(Debug, Clone)]
pub enum Item {
    /// A record or a gap.
    Delivery(Delivery),
    /// The subscription has ended; the error says why and whether to come back.
    Ended(Error),
}

/// Where subscriptions announce themselves, most urgent first.
#[derive(Default)]
pub(super) struct Mailbox {
    ready: Mutex<[VecDeque<Arc<Subscription>>; 4]>,
    waker: AtomicWaker,
    closed: AtomicBool,
}

impl Mailbox {
    pub(super) fn put(&self, subscription: Arc<Subscription>, urgency: Priority) {
        lock(&self.ready)[urgency as usize].push_back(subscription);
        self.waker.wake();
    }

    fn take(&self) -> Option<Arc<Subscription>> {
        lock(&self.ready).iter_mut().find_map(VecDeque::pop_front)
    }
}

/// A read of the log on behalf of a subscription that is behind.
struct Pump {
    subscription: Arc<Subscription>,
    attachment: usize,
    work: BoxFuture<'static, Result<Page, StoreError>>,
}

/// What a WebSocket calls its transport; metrics count those apart.
const WEBSOCKET: &str = "websocket";
/// What calls itself so posts to a receiver and counts its tries itself.
pub(crate) const COURIER: &str = "webhook";

/// How long to wait before reading again after the log refused: long enough not to spin while a disk is away.
const READ_RETRY: Duration = Duration::from_millis(500);

/// Turns of subscriptions in one poll: a search through a long history must not keep a thread for itself.
const TURNS_MAX: usize = 64;

#[derive(Default)]
struct Pumps {
    current: Option<Pump>,
    waiting: VecDeque<(Arc<Subscription>, usize, crate::port::Read)>,
}

/// See the module. Cheap to clone; the last clone gives everything back.
#[derive(Clone)]
pub struct Connection {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    id: u64,
    /// By the clock that never goes back.
    opened: Duration,
    shared: Arc<Shared>,
    pub(super) info: ConnectInfo,
    /// Whether it is the connection of a named agent.
    pub(super) is_registered: AtomicBool,
    /// Whether it was told that it is there, so that its end is told too.
    is_told: AtomicBool,
    mailbox: Arc<Mailbox>,
    ctx: Mutex<Ctx>,
    pub(super) subscriptions: Mutex<Map<Arc<str>, Arc<Subscription>>>,
    names: AtomicU64,
    pumps: Mutex<Pumps>,
}

/// The open connections of this node.
#[derive(Default)]
pub(super) struct Connections {
    next: AtomicU64,
    open: Mutex<Map<u64, Weak<Inner>>>,
    subscriptions: AtomicUsize,
}

impl Connections {
    pub(super) fn subscriptions(&self) -> usize {
        self.subscriptions.load(Ordering::Relaxed)
    }
    /// Live subscriptions of a tenant's connections.
    pub(super) fn subscriptions_of(&self, tenant: &Tenant) -> usize {
        let open = self.open_now();
        let of_tenant = open.iter().filter(|inner| lock(&inner.ctx).tenant() == tenant);
        of_tenant.map(|inner| lock(&inner.subscriptions).len()).sum()
    }
    pub(super) fn find(&self, id: u64) -> Option<Arc<Inner>> {
        lock(&self.open).get(&id).and_then(Weak::upgrade)
    }
    pub(super) fn open_now(&self) -> Vec<Arc<Inner>> {
        lock(&self.open).values().filter_map(Weak::upgrade).collect()
    }
    pub(super) fn close_all(&self) {
        let open = self.open_now();
        open.into_iter().for_each(|inner| Connection { inner }.close());
    }
    /// Open connections: number, subject, agent or subject, transport, peer.
    pub(super) fn list(&self) -> Vec<(u64, Ctx, ConnectInfo)> {
        let open = self.open_now();
        open.iter().map(|inner| (inner.id, lock(&inner.ctx).clone(), inner.info.clone())).collect()
    }
}

impl Bus {
    /// Opens a connection for a caller.
    pub fn connect(&self, ctx: Ctx, info: ConnectInfo) -> Result<Connection> {
        let shared = &self.shared;
        shared.refuse_when_draining()?;
        ctx.check_fresh(shared.env.clock.now())?;
        let limit = shared.settings.limits.connections;
        let id = shared.connections.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut ctx = ctx;
        ctx.connection = id;
        let (agent, skills) = (info.agent.clone(), info.skills.clone());
        let inner = Arc::new(Inner {
            id,
            opened: shared.env.clock.monotonic(),
            shared: shared.clone(),
            info,
            is_registered: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            mailbox: Arc::default(),
            ctx: Mutex::new(ctx),
            subscriptions: Mutex::default(),
            names: AtomicU64::new(0),
            pumps: Mutex::default(),
        });
        {
            let mut open = lock(&shared.connections.open);
            if open.len() >= limit {
                return Err(Error::new(Code::Exhausted, format!("{limit} connections are open already"))
                    .with_hint("raise `limits.connections`, or add a node"));
            }
            open.insert(id, Arc::downgrade(&inner));
        }
        let connection = Connection { inner };
        if connection.inner.is_websocket() {
            shared.counters.websockets.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(agent) = agent {
            connection.register(agent, skills)?;
        }
        let ctx = connection.ctx();
        connection.inner.is_told.store(true, Ordering::Relaxed);
        shared.tell_opened(&ctx, &connection.inner);
        Ok(connection)
    }
}

impl Connection {
    /// The number of this connection on this node.
    pub fn id(&self) -> u64 {
        self.inner.id
    }

    /// The context for calls through this connection.
    pub fn ctx(&self) -> Ctx {
        lock(&self.inner.ctx).clone()
    }

    /// Whether it was closed from this side.
    pub fn is_closed(&self) -> bool {
        self.inner.mailbox.closed.load(Ordering::SeqCst)
    }

    /// Makes this the connection of an agent: messages carry its name, and `@skill` finds it.
    pub fn register(&self, agent: AgentId, skills: Vec<String>) -> Result<()> {
        let mut ctx = lock(&self.inner.ctx);
        ctx.require_agent(&agent)?;
        self.inner.shared.agents.register(ctx.tenant(), &agent, skills, self.inner.id)?;
        if self.is_closed() {
            // Closing has forgotten the agent already, or has not seen it yet.
            self.inner.shared.agents.forget(ctx.tenant(), self.inner.id);
            return Err(Error::new(Code::ShuttingDown, "the connection was closed"));
        }
        ctx.sender = agent.as_str().into();
        self.inner.is_registered.store(true, Ordering::Relaxed);
        self.inner.shared.tell_activity_of(&self.inner, &ctx, "registered");
        Ok(())
    }

    /// Begins a subscription.
    pub async fn subscribe(&self, ctx: &Ctx, request: Subscribe) -> Result<Subscribed> {
        self.inner.shared.subscribe(self, ctx, request).await
    }

    /// Begins a subscription of the bus itself, under a durable name that no caller can write. Asks for no right.
    pub(crate) async fn subscribe_inside(&self, ctx: &Ctx, request: Subscribe) -> Result<Subscribed> {
        self.inner.shared.begin(self, ctx, request).await
    }

    /// Ends a subscription; a durable one keeps its place.
    pub fn unsubscribe(&self, id: &str) -> Result<()> {
        let subscription = lock(&self.inner.subscriptions).remove(id);
        let subscription = subscription.ok_or_else(|| no_subscription(id))?;
        self.inner.let_go(&subscription);
        Ok(())
    }

    /// Appends at least one and at most `max` items to `out`, waiting while there is nothing. Dropping the future
    /// loses nothing. One caller at a time.
    pub async fn next(&self, out: &mut Vec<Outgoing>, max: usize) -> Result<()> {
        std::future::poll_fn(|cx| self.poll_next(cx, out, max)).await
    }

    /// The same as a poll.
    pub fn poll_next(&self, cx: &mut Context<'_>, out: &mut Vec<Outgoing>, max: usize) -> Poll<Result<()>> {
        let inner = &self.inner;
        inner.mailbox.waker.register(cx.waker());
        let before = out.len();
        inner.poll_pump(cx, out, max);
        let mut turns = 0;
        while out.len() - before < max {
            if turns == TURNS_MAX {
                cx.waker().wake_by_ref();
                break;
            }
            turns += 1;
            let Some(subscription) = inner.mailbox.take() else { break };
            inner.turn(&subscription, out, max - (out.len() - before), Subscription::turn);
            inner.poll_pump(cx, out, max.saturating_sub(out.len() - before));
        }
        if out.len() > before {
            return Poll::Ready(Ok(()));
        }
        if self.is_closed() {
            return Poll::Ready(Err(Error::new(Code::ShuttingDown, "the connection was closed")));
        }
        Poll::Pending
    }

    /// Takes what is in memory, without waiting; answers whether there was anything.
    pub fn try_next(&self, out: &mut Vec<Outgoing>, max: usize) -> bool {
        let before = out.len();
        while out.len() - before < max {
            let Some(subscription) = self.inner.mailbox.take() else { break };
            self.inner.turn(&subscription, out, max - (out.len() - before), Subscription::turn);
        }
        out.len() > before
    }

    /// Ends everything; `next` answers with an error from now on.
    pub fn close(&self) {
        self.inner.close();
    }

    pub(super) fn find(&self, id: &str) -> Result<Arc<Subscription>> {
        lock(&self.inner.subscriptions).get(id).cloned().ok_or_else(|| no_subscription(id))
    }

    pub(super) fn new_name(&self) -> Arc<str> {
        format!("s{}", self.inner.names.fetch_add(1, Ordering::Relaxed) + 1).into()
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.inner.mailbox
    }

    /// Adds a subscription under its id; refuses a second one of that id.
    pub(super) fn add(&self, subscription: &Arc<Subscription>) -> Result<()> {
        let limit = self.inner.shared.settings.limits.subscriptions;
        let mut list = lock(&self.inner.subscriptions);
        if self.is_closed() {
            return Err(Error::new(Code::ShuttingDown, "the connection was closed"));
        }
        if list.len() >= limit {
            return Err(Error::new(
                Code::Exhausted,
                format!("this connection has {limit} subscriptions already"),
            )
            .with_hint("use a pattern that covers several channels, or raise `limits.subscriptions`"));
        }
        if list.contains_key(&subscription.id) {
            let text = format!("this connection has a subscription `{}` already", subscription.id);
            return Err(Error::new(Code::AlreadyExists, text).with_field("args.id"));
        }
        list.insert(subscription.id.clone(), subscription.clone());
        self.inner.shared.connections.subscriptions.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn no_subscription(id: &str) -> Error {
    Error::new(Code::NotFound, format!("this connection has no subscription `{id}`"))
        .with_field("args.subscription")
        .with_hint("`subscribe` answers with the id to use here")
}

impl Inner {
    /// Reads the log for subscriptions that are behind, one read at a time.
    fn poll_pump(self: &Arc<Self>, cx: &mut Context<'_>, out: &mut Vec<Outgoing>, max: usize) {
        let limit = out.len() + max;
        while out.len() < limit {
            let Some(mut pump) = self.next_pump() else { return };
            let page = match pump.work.as_mut().poll(cx) {
                Poll::Pending => {
                    lock(&self.pumps).current = Some(pump);
                    return;
                }
                Poll::Ready(page) => page,
            };
            match page {
                Ok(page) => {
                    let (subscription, attachment) = (&pump.subscription, pump.attachment);
                    let take = |_: &Subscription, turn: &mut Turn<'_>| {
                        subscription.take_page(attachment, page, turn)
                    };
                    self.turn(subscription, out, limit - out.len(), take);
                }
                Err(e) => self.retry_later(&pump.subscription, e),
            }
        }
    }

    fn next_pump(&self) -> Option<Pump> {
        let mut pumps = lock(&self.pumps);
        if let Some(pump) = pumps.current.take() {
            return Some(pump);
        }
        let (subscription, attachment, read) = pumps.waiting.pop_front()?;
        Some(Pump { work: self.shared.log.read(read), subscription, attachment })
    }

    fn retry_later(&self, subscription: &Arc<Subscription>, error: StoreError) {
        tracing::warn!(subscription = %subscription.id, %error, "reading the log failed; trying again");
        self.shared.tell_store_error("read", &error);
        subscription.read_failed();
        let (subscription, clock) = (Arc::downgrade(subscription), self.shared.env.clock.clone());
        let task = async move {
            clock.sleep(READ_RETRY).await;
            if let Some(subscription) = subscription.upgrade() {
                subscription.announce();
            }
        };
        self.shared.env.spawner.spawn("read-retry", Box::pin(task));
    }

    /// Lets a subscription hand out what it has (`work`), and does what comes of it.
    fn turn(
        &self,
        subscription: &Arc<Subscription>,
        out: &mut Vec<Outgoing>,
        max: usize,
        work: impl FnOnce(&Subscription, &mut Turn<'_>),
    ) {
        let before = out.len();
        let mut turn = Turn::new(out, max, self.shared.env.clock.now());
        work(subscription, &mut turn);
        let Turn { expired, fell_behind, end, read, more, .. } = turn;
        self.shared.count_deliveries(&out[before..], expired, fell_behind);
        self.shared.tell_sent(|| lock(&self.ctx).clone(), &out[before..]);
        if let Some(reason) = end {
            out.push(Outgoing { subscription: subscription.id.clone(), item: Item::Ended(reason) });
            lock(&self.subscriptions).remove(&subscription.id);
            self.let_go(subscription);
            return;
        }
        if let Some((attachment, read)) = read {
            lock(&self.pumps).waiting.push_back((subscription.clone(), attachment, read));
        }
        if more {
            subscription.announce();
        }
    }

    /// A subscription is over: its rooms, and its durable name, are free.
    fn let_go(&self, subscription: &Arc<Subscription>) {
        subscription.finish();
        self.shared.rooms.forget(subscription);
        if let Some((consumer, holder)) = &subscription.consumer {
            // A server that stops is no failure of what it was handed.
            let is_stopping = self.shared.draining.load(Ordering::Relaxed);
            consumer.release(*holder, !is_stopping && self.info.transport != COURIER);
        }
        self.shared.connections.subscriptions.fetch_sub(1, Ordering::Relaxed);
    }

    fn is_websocket(&self) -> bool {
        self.info.transport == WEBSOCKET
    }

    fn close(&self) {
        if self.mailbox.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        let subscriptions = std::mem::take(&mut *lock(&self.subscriptions));
        subscriptions.values().for_each(|subscription| self.let_go(subscription));
        let ctx = lock(&self.ctx).clone();
        self.shared.agents.forget(ctx.tenant(), self.id);
        self.shared.end_memberships(&ctx);
        let was_open = lock(&self.shared.connections.open).remove(&self.id).is_some();
        if was_open && self.is_websocket() {
            let now = self.shared.env.clock.monotonic();
            self.shared.counters.connected.note(now.saturating_sub(self.opened));
        }
        if self.is_told.load(Ordering::Relaxed) {
            self.shared.end_activity(self, &ctx);
            self.shared.tell_client(EventType::ClientDisconnected, &ctx, &self.info);
        }
        self.mailbox.waker.wake();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Who is there. Walks all connections: for people and their tools, not for each message.
    pub(super) fn census(&self) -> Census {
        let open = self.connections.open_now();
        let mut census = Census { all: open.len(), ..Census::default() };
        for inner in open {
            census.websockets += usize::from(inner.is_websocket());
            let listens = lock(&inner.subscriptions).values().any(|s| events::is_listener(s));
            census.listening += usize::from(listens);
        }
        census
    }

    fn count_deliveries(&self, handed_out: &[Outgoing], expired: u64, fell_behind: u64) {
        let (mut sent, mut again, mut gaps) = (0, 0, 0);
        for outgoing in handed_out {
            match &outgoing.item {
                Item::Delivery(Delivery::Record { attempt, .. }) => {
                    sent += 1;
                    again += u64::from(*attempt > 1);
                }
                Item::Delivery(Delivery::Gap(_)) => gaps += 1,
                Item::Ended(_) => {}
            }
        }
        let counters = &self.counters;
        for (counter, n) in [
            (&counters.delivered, sent),
            (&counters.redelivered, again),
            (&counters.gaps, gaps),
            (&counters.expired, expired),
            (&counters.fell_behind, fell_behind),
        ] {
            if n > 0 {
                counter.fetch_add(n, Ordering::Relaxed);
            }
        }
    }
}
