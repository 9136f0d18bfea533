//! Many messages published together: one lock, one wake-up and one answer for all of them.
//!
//! Invariant: every message of a batch is answered once, in its place, whatever becomes of the client.

use crate::publish::Receipt;
use crate::{Error, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Who waits for a receipt. A permit, where there is one, is a place in a publisher's window.
pub(crate) enum Ticket {
    One { tell: oneshot::Sender<Result<Receipt>>, _permit: Option<OwnedSemaphorePermit> },
    Batch(Place),
}

impl Ticket {
    /// Gives the answer.
    pub(crate) fn tell(self, answer: Result<Receipt>) {
        match self {
            Ticket::One { tell, .. } => {
                let _ = tell.send(answer);
            }
            Ticket::Batch(place) => place.batch.answer(place.index, answer),
        }
    }
}

#[derive(Default)]
struct State {
    answers: Vec<Option<Result<Receipt>>>,
    left: usize,
    waker: Option<Waker>,
    permit: Option<OwnedSemaphorePermit>,
}

/// The answers of a batch as they come in.
#[derive(Default)]
pub(crate) struct Answers(Mutex<State>);

/// One message's place in its batch. Dropped without an answer, it answers that the client is closed.
pub(crate) struct Place {
    batch: Arc<Answers>,
    index: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.batch.answer(self.index, Err(Error::Closed));
    }
}

impl Answers {
    pub(crate) fn new(count: usize, permit: Option<OwnedSemaphorePermit>) -> Arc<Self> {
        let answers = (0..count).map(|_| None).collect();
        Arc::new(Answers(Mutex::new(State { answers, left: count, waker: None, permit })))
    }

    pub(crate) fn place(self: &Arc<Self>, index: usize) -> Place {
        Place { batch: self.clone(), index }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first answer of a message counts.
    fn answer(&self, index: usize, answer: Result<Receipt>) {
        let mut state = self.lock();
        let Some(place) = state.answers.get_mut(index).filter(|place| place.is_none()) else { return };
        *place = Some(answer);
        state.left -= 1;
        if state.left > 0 {
            return;
        }
        let (waker, permit) = (state.waker.take(), state.permit.take());
        drop(state);
        drop(permit);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The receipts to come of a batch that is on its way, in the order of its messages.
#[must_use = "only the receipts say that the messages were stored"]
pub struct PendingBatch(pub(crate) Arc<Answers>);

impl Future for PendingBatch {
    type Output = Vec<Result<Receipt>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        if state.left > 0 {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let answers = std::mem::take(&mut state.answers);
        Poll::Ready(answers.into_iter().map(|answer| answer.unwrap_or(Err(Error::Closed))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_batch_is_answered_once_all_of_it_is_and_in_order() {
        let answers = Answers::new(3, None);
        let mut pending = PendingBatch(answers.clone());
        let tickets: Vec<Ticket> = (0..3).map(|i| Ticket::Batch(answers.place(i))).collect();
        let mut tickets = tickets.into_iter();
        let late = tickets.next().unwrap();
        tickets.next().unwrap().tell(Err(Error::Protocol("x".to_owned())));
        drop(tickets);
        assert!((&mut pending).now_or_never().is_none());
        late.tell(Err(Error::Timeout(std::time::Duration::ZERO)));
        let all = pending.now_or_never().unwrap();
        assert!(matches!(all[..], [Err(Error::Timeout(_)), Err(Error::Protocol(_)), Err(Error::Closed)]));
    }

    #[test]
    fn an_empty_batch_is_answered_at_once() {
        assert_eq!(PendingBatch(Answers::new(0, None)).now_or_never().map(|all| all.len()), Some(0));
    }
}
