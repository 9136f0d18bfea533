//! What was published and is not confirmed yet, in order, numbered so that sending it again stores it once.
//!
//! Invariant: the numbers of what is unconfirmed span less than [`WINDOW_MAX`], which is how far back a server
//! recognises a producer's numbers; so a resend is always recognised, and never refused as too old.

use super::Backoff;
use arqon_core::MessageId;
use std::collections::VecDeque;
use std::time::Duration;

/// How far back a server recognises a producer's numbers.
pub const WINDOW_MAX: u64 = 1_024;

struct Entry<F, T> {
    sequence: u64,
    id: MessageId,
    frame: F,
    ticket: T,
    /// Its place among all that was given to connections, when it was given to one last.
    turn: u64,
}

/// What became of a message that the server would not take now.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<T> {
    /// It is kept and sent again.
    Kept,
    /// It has been tried for long enough: tell the application.
    GivenUp(T),
    /// It is not in the outbox (answered before).
    Unknown,
}

/// The outbox of one producer. `F` is an encoded frame; `T` is whatever the owner wants back with the answer.
pub struct Outbox<F, T> {
    next: u64,
    entries: VecDeque<Entry<F, T>>,
    /// How many entries, from the front, were given to the present connection.
    sent: usize,
    turns: u64,
    retry_for: Duration,
    backoff: Backoff,
    /// When the present series of refusals began.
    failing_since: Option<Duration>,
    /// Nothing is sent before this moment.
    hold: Option<Duration>,
    /// Something was given up since the series began.
    gave_up: bool,
    series: u64,
}

impl<F: Clone, T> Outbox<F, T> {
    /// An empty outbox that keeps trying to send what a server refuses for a while, for as long as `retry_for`.
    pub fn new(retry_for: Duration) -> Self {
        Outbox {
            next: 1,
            entries: VecDeque::new(),
            sent: 0,
            turns: 0,
            retry_for,
            backoff: Backoff::default(),
            failing_since: None,
            hold: None,
            gave_up: false,
            series: 0,
        }
    }

    /// The series that the next message belongs to. A server holds back what follows a message that it refused, in case
    /// that comes again; so after one was given up, what is sent next counts under another producer's name.
    pub fn series(&mut self) -> u64 {
        if self.gave_up && self.entries.is_empty() {
            self.gave_up = false;
            self.series += 1;
            self.failing_since = None;
        }
        self.series
    }

    /// Whether another message fits into the window.
    pub fn has_room(&self) -> bool {
        self.entries.front().is_none_or(|first| self.next - first.sequence < WINDOW_MAX)
    }

    /// Whether everything is confirmed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many messages wait for their confirm.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a message; `encode` gets its number. Call only while [`Outbox::has_room`].
    pub fn push(&mut self, id: MessageId, ticket: T, encode: impl FnOnce(u64) -> F) {
        debug_assert!(self.has_room());
        let sequence = self.next;
        self.next += 1;
        self.entries.push_back(Entry { sequence, id, frame: encode(sequence), ticket, turn: 0 });
    }

    /// The next frame for the present connection, in order.
    pub fn next_frame(&mut self, now: Duration) -> Option<F> {
        if self.hold.is_some_and(|until| now < until) {
            return None;
        }
        self.hold = None;
        let entry = self.entries.get_mut(self.sent)?;
        self.sent += 1;
        self.turns += 1;
        entry.turn = self.turns;
        Some(entry.frame.clone())
    }

    /// When to ask for frames again, while a refusal holds them back.
    pub fn wake_at(&self) -> Option<Duration> {
        self.hold.filter(|_| self.sent < self.entries.len())
    }

    fn find(&self, id: &MessageId) -> Option<usize> {
        // Answers come nearly always in order, so this is nearly always the first.
        self.entries.iter().position(|entry| entry.id == *id)
    }

    fn remove(&mut self, index: usize) -> Option<T> {
        let entry = self.entries.remove(index)?;
        if index < self.sent {
            self.sent -= 1;
        }
        Some(entry.ticket)
    }

    /// The server's final answer about a message, good or bad; gives its ticket back.
    pub fn answered(&mut self, id: &MessageId) -> Option<T> {
        let index = self.find(id)?;
        self.failing_since = None;
        self.backoff.reset();
        self.remove(index)
    }

    /// The server's good answer about a message and those that were sent behind it, `count` in all; gives their ids and
    /// tickets back. It never answers for one that was not sent, or not right behind the one before.
    pub fn answered_run(&mut self, id: &MessageId, count: u64) -> impl Iterator<Item = (MessageId, T)> {
        let first = self.find(id).unwrap_or(0);
        let known = self.entries.get(first).filter(|entry| entry.id == *id).map(|entry| entry.turn);
        let follows = |(i, entry): &(usize, &Entry<F, T>)| {
            known.is_some_and(|from| entry.turn == from + *i as u64) && first + i < self.sent.max(first + 1)
        };
        let most = usize::try_from(count).unwrap_or(usize::MAX);
        let found = self.entries.iter().skip(first).take(most).enumerate().take_while(follows).count();
        if found > 0 {
            self.failing_since = None;
            self.backoff.reset();
        }
        self.sent -= found.min(self.sent.saturating_sub(first));
        self.entries.drain(first..first + found).map(|entry| (entry.id, entry.ticket))
    }

    /// The server would not take this message now, but may later. It and all after it are sent again, in order, after
    /// a pause; `after` is the pause that the server asked for.
    pub fn refused(
        &mut self,
        id: &MessageId,
        now: Duration,
        after: Option<Duration>,
        random: u64,
    ) -> Verdict<T> {
        let Some(index) = self.find(id) else { return Verdict::Unknown };
        let since = *self.failing_since.get_or_insert(now);
        if now.saturating_sub(since) >= self.retry_for {
            self.gave_up = true;
            return self.remove(index).map_or(Verdict::Unknown, Verdict::GivenUp);
        }
        // One pause for all that were under way together, however many of them are refused.
        if self.hold.is_none() {
            let pause = self.backoff.next(random);
            self.hold = Some(now + after.map_or(pause, |a| a.max(pause)));
        }
        self.resend_from(index);
        Verdict::Kept
    }

    /// Entries from `index` on are to be sent again. Those after it may be stored already: the server knows them by
    /// their numbers, and order is kept.
    fn resend_from(&mut self, index: usize) {
        self.sent = self.sent.min(index);
    }

    /// The connection is gone: everything unconfirmed is sent again on the next one.
    pub fn lost(&mut self) {
        self.sent = 0;
        self.hold = None;
    }

    /// Gives every ticket back: the client is closed for good.
    pub fn close(&mut self) -> impl Iterator<Item = T> {
        self.sent = 0;
        std::mem::take(&mut self.entries).into_iter().map(|entry| entry.ticket)
    }
}

#[cfg(test)]
mod tests;
