//! The session over a stream that is no socket, as a simulation would run it.

use crate::client::masked;
use crate::world::World;
use arqon_core::bus::ConnectInfo;
use arqon_core::{Ctx, Principal, Role, Tenant};
use arqon_ws::{Agreed, Door, Settings, serve_stream};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_session_runs_over_any_stream_and_ends_with_it() {
    let world = World::new().await;
    let principal = Principal {
        subject: "sim".into(),
        tenant: Tenant::default(),
        role: Role::User,
        publish: None,
        subscribe: None,
        expires_at: None,
    };
    let door = Door {
        bus: world.bus.clone(),
        authorize: Arc::new(|_| unreachable!("the stream is past its handshake")),
        settings: Settings::default(),
        shutdown: world.shutdown.clone(),
    };
    // A stream that takes 64 bytes at a time: every frame is cut many times.
    let (mut ours, theirs) = tokio::io::duplex(64);
    let client = async {
        let ping = masked(0x81, br#"{"type":"command","id":"over a pipe","command":"ping"}"#);
        let mut said = Vec::new();
        let mut sent = false;
        let mut space = [0; 64];
        while !String::from_utf8_lossy(&said).contains("over a pipe") {
            let n = ours.read(&mut space).await.unwrap();
            assert!(n > 0, "the session ended early");
            said.extend_from_slice(&space[..n]);
            if !sent {
                sent = true;
                ours.write_all(&ping).await.unwrap();
            }
        }
        drop(ours);
    };
    let ctx = Ctx::new(Arc::new(principal));
    let session = serve_stream(Arc::new(door), theirs, (ctx, ConnectInfo::default()), Agreed::default());
    let (served, ()) = tokio::join!(session, client);
    served.unwrap();
    assert_eq!(world.metric("active_connections"), 0.0);
}
