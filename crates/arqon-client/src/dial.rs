//! How a client reaches its server when it is not by the network: over streams that somebody else makes.
//!
//! Invariant: a dialled stream has its WebSocket handshake behind it; everything after that is as on any other.

use futures_util::future::BoxFuture;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};

/// Any byte stream.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Makes connections. For simulations and for servers inside the same process.
pub trait Dial: Send + Sync + 'static {
    /// A new stream to the server, with neither subprotocol nor compression agreed. `agent` is who the client
    /// registers as, with its skills.
    fn dial(&self, agent: Option<(String, Vec<String>)>) -> BoxFuture<'static, io::Result<Box<dyn Io>>>;
}
