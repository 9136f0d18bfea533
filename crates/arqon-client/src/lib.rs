//! The Rust client of Arqon: publish, subscribe, ask and answer over one connection that comes back by itself.
//!
//! ```no_run
//! # async fn example() -> arqon_client::Result<()> {
//! use arqon_client::{Client, Event, Payload};
//!
//! let client = Client::connect("http://127.0.0.1:9100").await?;
//! let mut news = client.subscribe("repo:*").await?;
//! let receipt = client.publish("repo:main", Payload::text("hello")).await?;
//! println!("stored at {}", receipt.position);
//! if let Some(Event::Message(message)) = news.next().await.transpose()? {
//!     println!("{} said {}", message.sender(), String::from_utf8_lossy(message.payload()));
//! }
//! client.close().await
//! # }
//! ```
//!
//! What a lost connection means: messages that were not confirmed are sent again under their numbers and stored once;
//! subscriptions go on after what the application was given, with neither gap nor duplicate; requests whose answer
//! was lost time out. The rules for it stand in [`session`], apart from any socket.
//!
//! Boundary: this crate knows the wire and the core's types, never the server.

mod batch;
mod builder;
mod client;
pub mod credentials;
mod dial;
mod driver;
mod endpoint;
mod environment;
mod error;
mod feed;
mod handshake;
mod message;
mod patience;
mod payload;
mod publish;
mod raw;
mod request;
pub mod session;
mod settle;
mod shared;
mod socket;
mod subscription;

pub use arqon_core::{Code, GapReason, Outcome, Position, Priority};
pub use batch::PendingBatch;
pub use builder::Builder;
pub use client::{Client, ConnectionState};
pub use dial::{Dial, Io};
pub use endpoint::{DEFAULT_URL, Endpoint};
pub use environment::SystemEnvironment;
pub use error::{Error, Result};
pub use message::{Event, Gap, Message};
pub use payload::Payload;
pub use publish::{Pending, Publish, Publisher, Receipt};
pub use raw::{RawEnvelope, RawEvent};
pub use request::Request;
pub use session::Start;
pub use subscription::{Subscribe, Subscription};
