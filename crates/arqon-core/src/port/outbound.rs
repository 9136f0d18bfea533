//! `Outbound`: posts messages to receivers outside, on behalf of webhooks.

use crate::{Delivery, Result, Timestamp};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Where messages are posted to.
#[derive(Clone, PartialEq, Eq)]
pub struct Receiver {
    /// An `http` or `https` URL.
    pub url: Arc<str>,
    /// More headers of each request, by name.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// What requests are signed with.
    pub secret: Bytes,
    /// Those before it, with which they are signed as well for a while.
    pub old_secrets: Vec<OldSecret>,
    /// How long one try may take, from looking up the name to the answer.
    pub timeout: Duration,
}

/// A secret that another has replaced.
#[derive(Clone, PartialEq, Eq)]
pub struct OldSecret {
    /// The secret.
    pub secret: Bytes,
    /// From then on it signs nothing.
    pub until: Timestamp,
}

impl Receiver {
    /// The secrets that a request of this moment is signed with, the newest first.
    pub fn secrets_at(&self, at: Timestamp) -> impl Iterator<Item = &Bytes> {
        let old = self.old_secrets.iter().filter(move |old| old.until > at);
        std::iter::once(&self.secret).chain(old.map(|old| &old.secret))
    }
}

/// Shows no secret, and no header, which may hold one.
impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receiver { url, timeout, .. } = self;
        f.debug_struct("Receiver").field("url", url).field("timeout", timeout).finish_non_exhaustive()
    }
}

/// One try.
#[derive(Debug, Clone)]
pub struct Post {
    /// Where to.
    pub receiver: Arc<Receiver>,
    /// The rule that wants it.
    pub rule: Arc<str>,
    /// The same at every try of the same delivery, and different for any other.
    pub id: Arc<str>,
    /// When this try is made.
    pub at: Timestamp,
    /// The message, or the statement that some are gone.
    pub delivery: Delivery,
}

/// Why a try failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostError {
    /// A sentence that the rule's owner is shown.
    pub message: String,
    /// How long the receiver wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl PostError {
    /// With a sentence.
    pub fn new(message: impl Into<String>) -> Self {
        PostError { message: message.into(), retry_after: None }
    }
}

/// Posts, and judges where to.
pub trait Outbound: Send + Sync + 'static {
    /// Refuses a receiver that could never be called: a URL or a header that is none, an address that may not be reached
    /// from here. A name that cannot be looked up at the moment is no reason: every try looks it up anew.
    fn admit(&self, receiver: Arc<Receiver>) -> BoxFuture<'static, Result<()>>;

    /// Makes one try; resolves well within the receiver's timeout and the wait for other posts to end. `Ok` only if the
    /// receiver has answered that it has it (2xx). After an error it may have it nevertheless.
    fn post(&self, post: Post) -> BoxFuture<'static, Result<(), PostError>>;
}
