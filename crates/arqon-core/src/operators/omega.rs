//! The omega lane: a place for experiments. Substrates (what is tried out) are registered, and emit signals that go to a lab
//! channel, apart from everything else. Off unless the configuration turns it on.
//!
//! Invariant: what a substrate emits is told in the lab channel before it is kept here, and goes nowhere else. Substrates
//! survive a restart; of the events the newest of each tenant are kept in memory.

use super::damaged;
use crate::bus::{Bus, Publish, lock};
use crate::codec::{number, put, read_number, take, text};
use crate::env::Env;
use crate::hash::Map;
use crate::port::{DocKey, Durability, Expect, Records, Scan, Write};
use crate::{Address, Code, Ctx, Error, Kind, Principal, Result, Role, Target, Tenant, Timestamp};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

const SPACE: &str = "omega";
const FORMAT: u64 = 1;
/// Who tells of events: what subscribers of the lab channel see as the sender.
const SENDER: &str = "op-omega";
/// Longest name, kind or signal, in bytes; and largest metadata or payload.
const SIZES: (usize, usize) = (128, 64 * 1024);
const PAGE: usize = 200;

/// Where the lane is, and its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OmegaSettings {
    /// The channel in which events are told.
    pub lab: Address,
    /// Events of a tenant that are kept.
    pub max_events: usize,
    /// Substrates of a tenant.
    pub max_substrates: usize,
}

/// Something that is tried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Substrate {
    pub(crate) id: String,
    pub(crate) name: Arc<str>,
    pub(crate) kind: Arc<str>,
    pub(crate) owner: Arc<str>,
    pub(crate) created_at: Timestamp,
    /// One raw JSON object.
    pub(crate) metadata: Bytes,
}

/// A signal of a substrate.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) substrate: String,
    pub(crate) signal: String,
    /// One raw JSON object.
    pub(crate) payload: Bytes,
    pub(crate) emitted_by: Arc<str>,
    pub(crate) at: Timestamp,
}

/// Which events are meant; an absent part means all.
#[derive(Debug, Default)]
pub(crate) struct Which {
    pub(crate) substrate: Option<String>,
    pub(crate) signal: Option<String>,
}

impl Which {
    fn means(&self, event: &Event) -> bool {
        self.substrate.as_ref().is_none_or(|id| *id == event.substrate)
            && self.signal.as_ref().is_none_or(|signal| *signal == event.signal)
    }
}

/// See the module.
pub(crate) struct Omega {
    env: Env,
    records: Arc<dyn Records>,
    settings: OnceLock<OmegaSettings>,
    events: Mutex<Map<Tenant, VecDeque<Arc<Event>>>>,
    /// One registration at a time, so that the bound holds.
    registering: futures_util::lock::Mutex<()>,
}

impl Omega {
    pub(crate) fn new(env: Env, records: Arc<dyn Records>) -> Omega {
        let (settings, events, registering) = Default::default();
        Omega { env, records, settings, events, registering }
    }

    /// Turns the lane on; once.
    pub(crate) fn turn_on(&self, settings: OmegaSettings) {
        let _it_is_on_already = self.settings.set(settings);
    }

    /// What is set, if it is on.
    pub(crate) fn settings(&self) -> Option<&OmegaSettings> {
        self.settings.get()
    }

    fn on(&self) -> Result<&OmegaSettings> {
        self.settings().ok_or_else(|| {
            Error::new(Code::Unavailable, "the omega lane is off")
                .with_reason("FEATURE_DISABLED")
                .with_hint("the server's operator may set `omega.enabled`")
        })
    }

    fn events(&self) -> MutexGuard<'_, Map<Tenant, VecDeque<Arc<Event>>>> {
        lock(&self.events)
    }

    /// Registers a substrate.
    pub(crate) async fn register(
        &self,
        ctx: &Ctx,
        (name, kind): (String, String),
        metadata: Bytes,
    ) -> Result<Substrate> {
        let settings = self.on()?;
        check("name", &name)?;
        check("kind", &kind)?;
        check_size("metadata", &metadata)?;
        let _one = self.registering.lock().await;
        if self.substrates(ctx).await?.len() >= settings.max_substrates {
            let what = format!("limit reached: the tenant has {} substrates", settings.max_substrates);
            return Err(Error::new(Code::Invalid, what).with_reason("TOO_MANY_SUBSTRATES"));
        }
        let substrate = Substrate {
            id: format!("omega_{:012x}", self.env.random.next_u64() >> 16),
            name: name.into(),
            kind: kind.into(),
            owner: ctx.principal.subject.clone(),
            created_at: self.env.clock.now(),
            metadata,
        };
        let (key, data) = (key(ctx, &substrate.id), substrate.encode());
        let write = Write::Put { key, expect: Expect::Absent, data, indexes: Vec::new(), expires_at: None };
        self.records.commit(vec![write], Durability::Synced, self.env.clock.now()).await?;
        Ok(substrate)
    }

    /// The substrates of the caller's tenant, by id.
    pub(crate) async fn substrates(&self, ctx: &Ctx) -> Result<Vec<Substrate>> {
        let (mut list, mut cursor) = (Vec::new(), None);
        loop {
            let (tenant, now) = (ctx.tenant().clone(), self.env.clock.now());
            let prefix = String::new();
            let page = self
                .records
                .scan(Scan { space: SPACE, tenant, index: None, prefix, cursor, limit: PAGE, now })
                .await?;
            for found in page.items {
                let substrate = Substrate::decode(&found.id, found.doc.data);
                list.push(substrate.ok_or_else(|| damaged(&format!("substrate `{}`", found.id)))?);
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(list);
            }
        }
    }

    /// Forgets a substrate and its events; answers how many.
    pub(crate) async fn unregister(&self, ctx: &Ctx, id: &str) -> Result<usize> {
        self.on()?;
        self.find(ctx, id).await?;
        let write = Write::Delete { key: key(ctx, id), expect: Expect::Any };
        self.records.commit(vec![write], Durability::Synced, self.env.clock.now()).await?;
        let which = Which { substrate: Some(id.to_owned()), signal: None };
        Ok(self.clear(ctx, &which)?.0)
    }

    /// Tells of a signal in the lab channel, and keeps it.
    pub(crate) async fn emit(
        &self,
        bus: &Bus,
        ctx: &Ctx,
        (substrate, signal): (String, String),
        payload: Bytes,
    ) -> Result<Arc<Event>> {
        let settings = self.on()?;
        check("signal", &signal)?;
        check_size("payload", &payload)?;
        self.find(ctx, &substrate).await?;
        let id = format!("omega_evt_{:012x}", self.env.random.next_u64() >> 16);
        let (emitted_by, at) = (ctx.principal.subject.clone(), self.env.clock.now());
        let event = Arc::new(Event { id, substrate, signal, payload, emitted_by, at });
        let mut publish = Publish::new(Target::Channel(settings.lab.clone()), event.told());
        publish.kind = Kind::Telemetry;
        let told = bus.publish(&teller(ctx), vec![publish]).await;
        told.into_iter().collect::<Result<Vec<_>>>()?;
        let mut events = self.events();
        let kept = events.entry(ctx.tenant().clone()).or_default();
        kept.push_back(event.clone());
        while kept.len() > settings.max_events {
            kept.pop_front();
        }
        Ok(event)
    }

    /// The last events, oldest first.
    pub(crate) fn list(&self, ctx: &Ctx, which: &Which, limit: usize) -> Result<Vec<Arc<Event>>> {
        self.on()?;
        let events = self.events();
        let kept = events.get(ctx.tenant());
        let newest = kept.into_iter().flatten().rev().filter(|event| which.means(event)).take(limit);
        let mut list: Vec<Arc<Event>> = newest.cloned().collect();
        list.reverse();
        Ok(list)
    }

    /// Forgets events; answers how many, and how many are left.
    pub(crate) fn clear(&self, ctx: &Ctx, which: &Which) -> Result<(usize, usize)> {
        self.on()?;
        let mut events = self.events();
        let Some(kept) = events.get_mut(ctx.tenant()) else { return Ok((0, 0)) };
        let before = kept.len();
        kept.retain(|event| !which.means(event));
        Ok((before - kept.len(), kept.len()))
    }

    /// Events kept of the caller's tenant.
    pub(crate) fn count(&self, ctx: &Ctx) -> usize {
        self.events().get(ctx.tenant()).map_or(0, VecDeque::len)
    }

    async fn find(&self, ctx: &Ctx, id: &str) -> Result<()> {
        let found = self.records.get(&key(ctx, id), self.env.clock.now()).await?;
        found.map(drop).ok_or_else(|| {
            Error::new(Code::NotFound, format!("there is no substrate `{id}`"))
                .with_reason("SUBSTRATE_NOT_FOUND")
                .with_field("args.substrate_id")
                .with_hint("`op.omega.list_substrates` shows those that exist")
        })
    }
}

fn key(ctx: &Ctx, id: &str) -> DocKey {
    DocKey { space: SPACE, tenant: ctx.tenant().clone(), id: id.to_owned() }
}

fn check(name: &str, text: &str) -> Result<()> {
    if (1..=SIZES.0).contains(&text.len()) {
        return Ok(());
    }
    Err(Error::invalid(format!("args.{name}"), format!("expected 1 to {} bytes", SIZES.0)))
}

fn check_size(name: &str, raw: &Bytes) -> Result<()> {
    if raw.len() <= SIZES.1 {
        return Ok(());
    }
    Err(Error::new(Code::TooLarge, format!("{} bytes; at most {}", raw.len(), SIZES.1))
        .with_field(format!("args.{name}")))
}

/// The lane itself writes to its channel, whoever asked.
fn teller(ctx: &Ctx) -> Ctx {
    let principal = Principal {
        subject: SENDER.into(),
        tenant: ctx.tenant().clone(),
        role: Role::System,
        publish: None,
        subscribe: None,
        expires_at: None,
    };
    Ctx::new(Arc::new(principal))
}

impl Event {
    /// As it is told: a JSON object.
    fn told(&self) -> Bytes {
        let time = jiff::Timestamp::from_microsecond(i64::try_from(self.at.0).unwrap_or(i64::MAX));
        let time = time.map(|at| at.to_string()).unwrap_or_default();
        let mut out = br#"{"omega_event":{"event_id":"#.to_vec();
        json_text(&mut out, &self.id);
        let texts = [
            ("substrate_id", self.substrate.as_str()),
            ("signal", &self.signal),
            ("emitted_by", &self.emitted_by),
            ("timestamp", &time),
        ];
        for (name, text) in texts {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            json_text(&mut out, text);
        }
        out.extend_from_slice(b",\"payload\":");
        out.extend_from_slice(&self.payload);
        out.extend_from_slice(b"}}");
        out.into()
    }
}

fn json_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

impl Substrate {
    fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(96 + self.metadata.len());
        number(&mut out, FORMAT);
        for text in [&self.name, &self.kind, &self.owner] {
            put(&mut out, text.as_bytes());
        }
        number(&mut out, self.created_at.0);
        put(&mut out, &self.metadata);
        out.into()
    }

    fn decode(id: &str, mut data: Bytes) -> Option<Substrate> {
        let input = &mut data;
        if read_number(input).ok()? != FORMAT {
            return None;
        }
        let (name, kind, owner) = (text(input).ok()?, text(input).ok()?, text(input).ok()?);
        let created_at = Timestamp(read_number(input).ok()?);
        let metadata = take(input).ok()?;
        Some(Substrate { id: id.to_owned(), name, kind, owner, created_at, metadata })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn substrate() -> Substrate {
        Substrate {
            id: "substrate_1".to_owned(),
            name: "loop".into(),
            kind: "agent".into(),
            owner: "me".into(),
            created_at: Timestamp(7),
            metadata: Bytes::from_static(b"{\"a\":1}"),
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        assert_eq!(Substrate::decode("substrate_1", substrate().encode()), Some(substrate()));
    }

    #[test]
    fn what_is_told_is_json_whatever_the_names_are() {
        let event = Event {
            id: "omega_1".to_owned(),
            substrate: "s".to_owned(),
            signal: "a\"b\\c\n\u{1}ü".to_owned(),
            payload: Bytes::from_static(b"{\"n\":1}"),
            emitted_by: "me".into(),
            at: Timestamp(1_795_262_400_000_000),
        };
        let expected = "{\"omega_event\":{\"event_id\":\"omega_1\",\"substrate_id\":\"s\",\"signal\":\"a\\\"b\\\\c\\u000a\\u0001ü\",\"emitted_by\":\"me\",\"timestamp\":\"2026-11-21T12:00:00Z\",\"payload\":{\"n\":1}}}";
        assert_eq!(std::str::from_utf8(&event.told()).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Substrate::decode("x", bytes.into());
        }
    }
}
