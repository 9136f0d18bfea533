//! A server in this process for one test, with tokens of all kinds.

use crate::http::{Answer, Ask, ask};
use arqon_core::port::Grant;
use arqon_core::{Pattern, Role, Tenant};
use arqon_server::{Config, Server};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

pub struct Site {
    pub server: Server,
    pub addr: SocketAddr,
    pub owner: String,
    _dir: tempfile::TempDir,
}

impl Site {
    /// On the memory engine.
    pub async fn start() -> Site {
        Site::with(|_| ()).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::scratch(dir.path());
        config.server.engine = "memory:".to_owned();
        change(&mut config);
        let server = Server::start(config).await.unwrap();
        let (addr, owner) = (server.addr(), server.owner_token().to_owned());
        Site { server, addr, owner, _dir: dir }
    }

    pub fn token(&self, tenant: &str, role: Role, ttl: Duration) -> String {
        let grant = Grant {
            subject: format!("{}-of-{tenant}", role.as_str()),
            tenant: Tenant::parse(tenant).unwrap(),
            role,
            publish: None,
            subscribe: None,
            ttl,
        };
        self.server.bus().tokens().issue(&grant).unwrap()
    }

    /// A user who may only publish to and read some patterns.
    pub fn limited(&self, publish: &str, subscribe: &str) -> String {
        let list = |text: &str| Some(text.split(',').map(|p| Pattern::parse(p).unwrap()).collect());
        let grant = Grant {
            subject: "limited".to_owned(),
            tenant: Tenant::default(),
            role: Role::User,
            publish: list(publish),
            subscribe: list(subscribe),
            ttl: Duration::from_secs(600),
        };
        self.server.bus().tokens().issue(&grant).unwrap()
    }

    /// As the owner.
    pub async fn send(&self, ask: Ask) -> Answer {
        ask.token(&self.owner).send(self.addr).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(ask("GET", path)).await
    }

    /// Publishes `{"n": n}` as the owner and answers with the position.
    pub async fn publish(&self, address: &str, n: i64) -> String {
        let body = json!({ "address": address, "payload": { "n": n } }).to_string();
        let answer = self.send(ask("POST", "/api/v1/messages").body(body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["position"].as_str().unwrap().to_owned()
    }
}

/// The `n` of the payloads of a list of messages.
pub fn numbers(messages: &Value) -> Vec<i64> {
    messages.as_array().unwrap().iter().map(|m| m["payload"]["n"].as_i64().unwrap()).collect()
}
