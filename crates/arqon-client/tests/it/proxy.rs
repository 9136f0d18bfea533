//! A relay between client and server that cuts each connection after some bytes, at places that a seed chooses.

use arqon_testkit::dice::Dice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub struct Proxy {
    url: String,
    cuts: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Proxy {
    /// Relays to `target` (`http://host:port`); cuts `cuts` connections, each once 500 bytes to `most` have passed in one direction.
    pub async fn start(target: &str, seed: u64, cuts: usize, most: usize) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let target = target.trim_start_matches("http://").to_owned();
        let left = Arc::new(AtomicUsize::new(cuts));
        let mut task = JoinSet::new();
        task.spawn(accept(listener, target, Dice::new(seed), left.clone(), most));
        Proxy { url, cuts: left, _task: task }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Connections still to be cut.
    pub fn cuts_left(&self) -> usize {
        self.cuts.load(Relaxed)
    }
}

async fn accept(listener: TcpListener, target: String, mut dice: Dice, left: Arc<AtomicUsize>, most: usize) {
    let mut relays = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(&target).await else { continue };
        let cut = left.load(Relaxed) > 0;
        let limit = if cut { 500 + dice.below(most) } else { usize::MAX };
        let left = left.clone();
        relays.spawn(async move {
            let (client_in, client_out) = client.into_split();
            let (server_in, server_out) = server.into_split();
            let was_cut = tokio::select! {
                cut = relay(client_in, server_out, limit) => cut,
                cut = relay(server_in, client_out, limit) => cut,
            };
            if was_cut {
                let _ = left.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1));
            }
        });
    }
}

/// Relays until an end or until `limit` bytes have passed, in the middle of whatever that is; answers whether it cut.
async fn relay(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut limit: usize) -> bool {
    let mut buffer = vec![0; 4096];
    loop {
        let want = buffer.len().min(limit);
        match from.read(&mut buffer[..want]).await {
            Ok(0) | Err(_) => return false,
            Ok(read) => {
                if to.write_all(&buffer[..read]).await.is_err() {
                    return false;
                }
                limit = limit.saturating_sub(read);
                if limit == 0 {
                    return true;
                }
            }
        }
    }
}
