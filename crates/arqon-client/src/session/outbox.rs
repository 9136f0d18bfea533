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
    retry_for: Duration,
    backoff: Backoff,
    /// When the present series of refusals began.
    failing_since: Option<Duration>,
    /// Nothing is sent before this moment.
    hold: Option<Duration>,
}

impl<F: Clone, T> Outbox<F, T> {
    /// An empty outbox that keeps trying to send what a server refuses for a while, for as long as `retry_for`.
    pub fn new(retry_for: Duration) -> Self {
        Outbox {
            next: 1,
            entries: VecDeque::new(),
            sent: 0,
            retry_for,
            backoff: Backoff::default(),
            failing_since: None,
            hold: None,
        }
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
        self.entries.push_back(Entry { sequence, id, frame: encode(sequence), ticket });
    }

    /// The next frame for the present connection, in order.
    pub fn next_frame(&mut self, now: Duration) -> Option<F> {
        if self.hold.is_some_and(|until| now < until) {
            return None;
        }
        self.hold = None;
        let frame = self.entries.get(self.sent)?.frame.clone();
        self.sent += 1;
        Some(frame)
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
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);
    const PATIENCE: Duration = Duration::from_secs(60);

    fn id(n: u64) -> MessageId {
        MessageId::Ulid(u128::from(n))
    }
    fn filled(count: u64) -> Outbox<u64, u64> {
        let mut outbox = Outbox::new(PATIENCE);
        (1..=count).for_each(|n| outbox.push(id(n), n, |sequence| sequence));
        outbox
    }
    fn frames(outbox: &mut Outbox<u64, u64>, now: Duration) -> Vec<u64> {
        std::iter::from_fn(|| outbox.next_frame(now)).collect()
    }

    #[test]
    fn what_is_unconfirmed_is_sent_again_in_order_under_the_same_numbers() {
        let mut outbox = filled(4);
        assert_eq!(frames(&mut outbox, NOW), [1, 2, 3, 4]);
        assert_eq!(frames(&mut outbox, NOW), [0u64; 0]);
        assert_eq!(outbox.answered(&id(1)), Some(1));
        assert_eq!(outbox.answered(&id(3)), Some(3));
        assert_eq!(outbox.answered(&id(3)), None, "a second answer finds nothing");
        outbox.lost();
        outbox.push(id(5), 5, |sequence| sequence);
        assert_eq!(frames(&mut outbox, NOW), [2, 4, 5]);
    }

    #[test]
    fn the_window_counts_numbers_and_not_messages() {
        let mut outbox = filled(WINDOW_MAX);
        assert!(!outbox.has_room());
        // All but the oldest are confirmed: its number still bounds what may be sent.
        (2..=WINDOW_MAX).for_each(|n| assert_eq!(outbox.answered(&id(n)), Some(n)));
        assert!(!outbox.has_room());
        assert_eq!(outbox.answered(&id(1)), Some(1));
        assert!(outbox.has_room() && outbox.is_empty());
    }

    #[test]
    fn a_refusal_for_now_holds_and_then_sends_again_in_order() {
        let mut outbox = filled(3);
        assert_eq!(frames(&mut outbox, NOW), [1, 2, 3]);
        assert_eq!(outbox.answered(&id(1)), Some(1));
        assert_eq!(outbox.refused(&id(2), NOW, None, 0), Verdict::Kept);
        assert_eq!(frames(&mut outbox, NOW), [0u64; 0]);
        let wake = outbox.wake_at().unwrap();
        // The third was under way when the second was refused; its answer still counts.
        assert_eq!(outbox.answered(&id(3)), Some(3));
        assert_eq!(frames(&mut outbox, wake), [2]);
        assert_eq!(outbox.answered(&id(2)), Some(2));
        assert!(outbox.is_empty());
    }

    #[test]
    fn the_pause_that_the_server_asks_for_is_kept() {
        let mut outbox = filled(1);
        frames(&mut outbox, NOW);
        let asked = Duration::from_secs(7);
        assert_eq!(outbox.refused(&id(1), NOW, Some(asked), 0), Verdict::Kept);
        assert_eq!(outbox.wake_at(), Some(NOW + asked));
    }

    #[test]
    fn patience_ends_and_success_renews_it() {
        let mut outbox = filled(2);
        frames(&mut outbox, NOW);
        assert_eq!(outbox.refused(&id(1), NOW, None, 0), Verdict::Kept);
        assert_eq!(outbox.answered(&id(2)), Some(2));
        assert_eq!(
            outbox.refused(&id(1), NOW + PATIENCE, None, 0),
            Verdict::Kept,
            "there was a success between"
        );
        assert_eq!(outbox.refused(&id(1), NOW + PATIENCE * 2, None, 0), Verdict::GivenUp(1));
        assert_eq!(outbox.refused(&id(1), NOW + PATIENCE * 2, None, 0), Verdict::Unknown);
    }

    #[test]
    fn closing_gives_every_ticket_back() {
        let mut outbox = filled(3);
        outbox.answered(&id(2));
        assert_eq!(outbox.close().collect::<Vec<_>>(), [1, 3]);
        assert!(outbox.is_empty());
    }
}
