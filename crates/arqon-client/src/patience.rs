//! Waiting with an end, on the client's own clock.
//!
//! Invariant: no wait of a client is measured by another clock than the one that it was made with.

use arqon_core::env::Clock;
use futures_util::future::{Either, select};
use std::pin::pin;
use std::time::Duration;

/// The result of `work`, or `None` once `limit` is over.
pub(crate) async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    match select(pin!(work), clock.sleep(limit)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}
