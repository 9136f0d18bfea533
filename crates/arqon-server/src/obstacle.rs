//! Why a server cannot start, apart from what its operator can do about it.
//!
//! Invariant: both are sentences for people; the command line shows them on two lines.

use std::path::Path;

/// Something that stands in the way of starting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Obstacle {
    /// What happened.
    pub what: String,
    /// What to do about it.
    pub todo: String,
}

impl Obstacle {
    pub(crate) fn new(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Obstacle { what: what.into(), todo: todo.into() }
    }

    /// The data folder cannot be made or entered.
    pub(crate) fn of_folder(folder: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{AlreadyExists, NotADirectory, PermissionDenied, ReadOnlyFilesystem};
        let shown = folder.display();
        match error.kind() {
            // Making a folder that is there is no error, so what is there is something else.
            AlreadyExists | NotADirectory => Obstacle::new(
                format!("the data folder {shown} cannot be made: it, or a part of its path, is a file"),
                "name a folder with --data (server.data), or move the file away",
            ),
            PermissionDenied | ReadOnlyFilesystem => Obstacle::new(
                format!("the data folder {shown} cannot be made: {error}"),
                "choose a folder that you may write with --data (server.data)",
            ),
            _ => Obstacle::new(
                format!("the data folder {shown} cannot be made: {error}"),
                "choose another folder with --data (server.data)",
            ),
        }
    }

    /// The address cannot be listened on.
    pub(crate) fn of_address(address: std::net::SocketAddr, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
        let (ip, port) = (address.ip(), address.port());
        match error.kind() {
            AddrInUse => Obstacle::new(
                format!("port {port} of {ip} is in use, perhaps by another Arqon"),
                "choose another port with --listen (server.listen); port 0 picks a free one",
            ),
            AddrNotAvailable => Obstacle::new(
                format!("cannot listen on {address}: this machine has no address {ip}"),
                "choose one of this machine's with --listen (server.listen), or 0.0.0.0 for all of them",
            ),
            PermissionDenied => Obstacle::new(
                format!("cannot listen on {address}: {error}"),
                "choose a port from 1024 up with --listen (server.listen)",
            ),
            _ => Obstacle::new(
                format!("cannot listen on {address}: {error}"),
                "choose another address with --listen (server.listen)",
            ),
        }
    }
}
