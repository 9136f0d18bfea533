//! New secrets for old rules: what holds beside what, and for how long.

use super::{Outside, SECOND, register, rules, start, world};
use crate::world::{World, caller, user};
use arqon_core::value::Value;
use arqon_core::{Code, Ctx, Result, Role};
use bytes::Bytes;

const HOUR: u64 = 3600;

async fn rotate(world: &World, ctx: &Ctx, id: &Value, overlap: u64) -> Result<Value> {
    let args = [("rule_id", id.clone()), ("overlap_seconds", overlap.into())];
    world.call(ctx, "op.webhook.rotate_secret", &args).await
}

/// The secrets that the next message is signed with, the newest first.
async fn signed_with(world: &World, outside: &Outside) -> Vec<Bytes> {
    outside.heard();
    world.say("repo:main", "x").await;
    world.pass(SECOND).await;
    let posts = outside.posts.lock().unwrap();
    let [post] = &posts[..] else { panic!("{posts:?}") };
    post.receiver.secrets_at(post.at).cloned().collect()
}

#[tokio::test]
async fn both_secrets_hold_until_the_old_ones_time_is_over_also_after_a_restart() {
    let (world, outside) = world().await;
    let me = user("me");
    let made = register(&world, &me, &[]).await.unwrap();
    let id = super::id_of(&made);
    let first = signed_with(&world, &outside).await;
    let told = rotate(&world, &me, &id, HOUR).await.unwrap();
    assert_ne!(told.get("secret"), made.get("secret"));
    assert!(matches!(told.get("old_secret_until"), Some(Value::Time(_))), "{told:?}");
    let both = signed_with(&world, &outside).await;
    assert_eq!((both.len(), &both[1..]), (2, &first[..]));
    let after = world.restarted().await;
    after.say("repo:main", "y").await;
    let outside = start(&after).await;
    after.pass(SECOND).await;
    let posts: Vec<_> = outside.posts.lock().unwrap().drain(..).collect();
    for post in &posts {
        assert_eq!(post.receiver.secrets_at(post.at).cloned().collect::<Vec<_>>(), both);
    }
    let last = posts.last().expect("it goes on after a restart");
    let later = last.at.plus(SECOND * HOUR as u32);
    assert_eq!(last.receiver.secrets_at(later).cloned().collect::<Vec<_>>(), both[..1]);
    assert!(matches!(rules(&after, &me).await[0].get("old_secret_until"), Some(Value::Time(_))));
    after.clock.advance(SECOND * (HOUR as u32 + 1));
    assert_eq!(rules(&after, &me).await[0].get("old_secret_until"), Some(&Value::Null), "that is over");
    let rule = rules(&world, &me).await.remove(0);
    assert_eq!(rule.get("secret"), None, "it is shown once");
}

#[tokio::test]
async fn what_was_leaked_is_ended_at_once_and_no_promise_is_broken_in_silence() {
    let (world, outside) = world().await;
    let me = user("me");
    let id = super::id_of(&register(&world, &me, &[]).await.unwrap());
    for held in 2..=5 {
        rotate(&world, &me, &id, HOUR).await.unwrap();
        assert_eq!(signed_with(&world, &outside).await.len(), held);
    }
    let refused = rotate(&world, &me, &id, HOUR).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::Exhausted, Some("TOO_MANY_SECRETS")));
    let before = signed_with(&world, &outside).await;
    rotate(&world, &me, &id, 0).await.unwrap();
    let after = signed_with(&world, &outside).await;
    assert!(after.len() == 1 && !before.contains(&after[0]));
}

#[tokio::test]
async fn only_its_owner_and_admins_may_and_only_what_is_there() {
    let (world, _outside) = world().await;
    let id = super::id_of(&register(&world, &user("me"), &[]).await.unwrap());
    let refused = rotate(&world, &user("you"), &id, HOUR).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::Forbidden, Some("NOT_OWNER")));
    rotate(&world, &caller("boss", "default", Role::Admin), &id, HOUR).await.unwrap();
    let other = caller("boss", "acme", Role::Admin);
    assert_eq!(rotate(&world, &other, &id, HOUR).await.unwrap_err().reason(), Some("RULE_NOT_FOUND"));
    let long = rotate(&world, &user("me"), &id, 8 * 24 * HOUR).await.unwrap_err();
    assert_eq!(long.field(), Some("args.overlap_seconds"));
}
