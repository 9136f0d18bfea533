//! The real server inside the test's process, on a port of its own and a folder that goes with it.

use crate::process::free_port;
use arqon_client::Client;
use arqon_server::{Config, Server};
use tempfile::TempDir;

/// A running server; `restart` keeps its folder and its port.
pub struct TestServer {
    server: Option<Server>,
    config: Config,
    _folder: TempDir,
}

impl TestServer {
    /// Starts one with the defaults.
    pub async fn start() -> TestServer {
        TestServer::start_with(|_| {}).await
    }

    /// Starts one whose configuration was changed first.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> TestServer {
        let folder = TempDir::with_prefix("arqon-test-").expect("a temporary folder can be made");
        let mut config = Config::scratch(folder.path());
        // Not port 0: after a restart the clients must find the server where it was.
        config.server.listen.set_port(free_port());
        change(&mut config);
        let server = Server::start(config.clone()).await.expect("a server starts in an empty folder");
        TestServer { server: Some(server), config, _folder: folder }
    }

    /// The running server.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs between `start` and `stop`")
    }

    /// Where clients find it.
    pub fn url(&self) -> &str {
        self.server().url()
    }

    /// A token for everything.
    pub fn token(&self) -> &str {
        self.server().owner_token()
    }

    /// A connected client of the owner.
    pub async fn client(&self) -> Client {
        let builder = Client::builder(self.url()).token(self.token());
        builder.connect().await.expect("the server was just started")
    }

    /// What `/metrics` says, over a socket.
    pub async fn metrics(&self) -> String {
        let host = self.url().trim_start_matches("http://");
        crate::door::http::ask(host, self.token(), "GET", "/metrics", "").await.1
    }

    /// Stops it in order and starts it again on the same folder and port.
    pub async fn restart(&mut self) {
        self.stop_now().await;
        let server = Server::start(self.config.clone()).await.expect("a server starts where it ran before");
        self.server = Some(server);
    }

    /// Stops it in order.
    pub async fn stop(mut self) {
        self.stop_now().await;
    }

    async fn stop_now(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await.expect("everything can be written");
        }
    }
}
