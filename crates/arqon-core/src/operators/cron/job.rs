//! One job as it is kept. Layout: format 1, then the fields in the order of the struct, numbers as LEB128 and texts with
//! their length; the payload to the end.

use super::timing::{Calendar, Slot, Timing};
use crate::codec::{number, put, read_number, text};
use crate::{Error, Result, Target, Timestamp};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

const FORMAT: u64 = 1;

/// What becomes of occurrences that could not be sent in time, since the server was away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missed {
    /// The last of them is sent, the others are not.
    Once,
    /// None is sent.
    Skip,
    /// Each is sent.
    All,
}

impl Missed {
    const ALL: [Missed; 3] = [Missed::Once, Missed::Skip, Missed::All];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Missed::Once => "once",
            Missed::Skip => "skip",
            Missed::All => "all",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Missed> {
        let found = Missed::ALL.into_iter().find(|m| m.as_str() == text);
        found.ok_or_else(|| Error::invalid("args.missed", "expected `once`, `skip` or `all`"))
    }
}

/// A message to be sent, and when.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Job {
    pub(crate) id: String,
    /// Of its document.
    pub(crate) version: u64,
    /// Who made it.
    pub(crate) owner: Arc<str>,
    pub(crate) target: Target,
    pub(crate) payload: Bytes,
    pub(crate) timing: Timing,
    pub(crate) missed: Missed,
    pub(crate) created_at: Timestamp,
    /// The next occurrence.
    pub(crate) next: Slot,
    /// Messages sent.
    pub(crate) sent: u64,
    pub(crate) last_sent_at: Option<Timestamp>,
    /// Whether it is held.
    pub(crate) paused: bool,
    /// Occurrences up to this are left out: it was held then.
    pub(crate) skip_until: Option<Timestamp>,
    /// Why the last occurrence could not be sent.
    pub(crate) problem: Option<Arc<str>>,
}

impl Job {
    /// When there is something to do for it.
    pub(super) fn due(&self) -> Option<Timestamp> {
        (!self.paused).then_some(self.next.at)
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(160 + self.payload.len());
        let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        number(&mut out, FORMAT);
        put(&mut out, self.owner.as_bytes());
        put(&mut out, self.target.to_string().as_bytes());
        number(&mut out, micros(self.timing.delay));
        number(&mut out, self.timing.every.map_or(0, micros));
        number(&mut out, self.timing.count);
        let (text, zone) = self.timing.calendar.as_ref().map_or(("", ""), |c| (c.text(), c.zone()));
        put(&mut out, text.as_bytes());
        put(&mut out, zone.as_bytes());
        put(&mut out, self.missed.as_str().as_bytes());
        number(&mut out, self.created_at.0);
        number(&mut out, self.next.number);
        number(&mut out, self.next.at.0);
        number(&mut out, self.sent);
        number(&mut out, self.last_sent_at.map_or(0, |at| at.0));
        number(&mut out, u64::from(self.paused));
        number(&mut out, self.skip_until.map_or(0, |at| at.0));
        put(&mut out, self.problem.as_deref().unwrap_or_default().as_bytes());
        out.extend_from_slice(&self.payload);
        out.into()
    }

    pub(super) fn decode(id: &str, version: u64, mut data: Bytes) -> Option<Job> {
        let input = &mut data;
        if read_number(input).ok()? != FORMAT {
            return None;
        }
        let owner = text(input).ok()?;
        let target = Target::parse(&text(input).ok()?).ok()?;
        let delay = Duration::from_micros(read_number(input).ok()?);
        let every = Some(read_number(input).ok()?).filter(|n| *n > 0).map(Duration::from_micros);
        let count = read_number(input).ok()?;
        let (expression, zone) = (text(input).ok()?, text(input).ok()?);
        let calendar = match &*expression {
            "" => None,
            expression => Some(Calendar::parse(expression, &zone).ok()?),
        };
        let missed = Missed::parse(&text(input).ok()?).ok()?;
        let time = |n: u64| (n > 0).then_some(Timestamp(n));
        let created_at = Timestamp(read_number(input).ok()?);
        let next = Slot { number: read_number(input).ok()?, at: Timestamp(read_number(input).ok()?) };
        let sent = read_number(input).ok()?;
        let last_sent_at = time(read_number(input).ok()?);
        let paused = read_number(input).ok()? == 1;
        let skip_until = time(read_number(input).ok()?);
        let problem = Some(text(input).ok()?).filter(|text| !text.is_empty());
        let timing = Timing { delay, every, count, calendar };
        Some(Job {
            id: id.to_owned(),
            version,
            owner,
            target,
            payload: data,
            timing,
            missed,
            created_at,
            next,
            sent,
            last_sent_at,
            paused,
            skip_until,
            problem,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn job(paused: bool, calendar: bool) -> Job {
        let calendar = calendar.then(|| Calendar::parse("30 9 * * mon-fri", "Europe/Berlin").unwrap());
        let every = calendar.is_none().then_some(Duration::from_millis(250));
        Job {
            id: "nightly".to_owned(),
            version: 3,
            owner: "me".into(),
            target: Target::parse("repo:main").unwrap(),
            payload: Bytes::from_static(b"{\"a\":1}"),
            timing: Timing { delay: Duration::from_secs(1), every, count: 7, calendar },
            missed: Missed::All,
            created_at: Timestamp(5),
            next: Slot { number: 2, at: Timestamp(9) },
            sent: 1,
            last_sent_at: Some(Timestamp(8)),
            paused,
            skip_until: paused.then_some(Timestamp(4)),
            problem: paused.then(|| "away".into()),
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for (paused, calendar) in [(true, true), (false, false), (true, false), (false, true)] {
            let job = job(paused, calendar);
            assert_eq!(Job::decode("nightly", 3, job.encode()), Some(job));
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100), at in 0usize..60, with in any::<u8>()) {
            let _ = Job::decode("x", 1, bytes.into());
            let mut harmed = job(true, true).encode().to_vec();
            harmed[at] = with;
            let _ = Job::decode("x", 1, harmed.into());
        }
    }
}
