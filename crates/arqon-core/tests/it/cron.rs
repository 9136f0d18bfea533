//! Jobs: in time, as often as said, once each whatever happens to the server, and their owner's.

use crate::world::*;
use arqon_core::bus::From;
use arqon_core::value::Value;
use arqon_core::{Class, Code, Ctx, Error, Record, Result, Role, Timestamp};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn raw(json: &str) -> Value {
    Value::Raw(json.to_owned().into())
}

async fn schedule(world: &World, ctx: &Ctx, more: &[(&str, Value)]) -> Result<Value> {
    let args = [("address", Value::from("tick:tock")), ("payload", raw("{\"text\":\"tick\"}"))];
    let args: Vec<_> = args.into_iter().filter(|(k, _)| more.iter().all(|(m, _)| m != k)).collect();
    world.call(ctx, "op.cron.schedule", &args.into_iter().chain(more.to_vec()).collect::<Vec<_>>()).await
}

fn id(job: &Value) -> Value {
    job.get("job_id").unwrap().clone()
}

async fn jobs(world: &World, ctx: &Ctx) -> Vec<Value> {
    match world.call(ctx, "op.cron.list", &[]).await.unwrap().get("jobs") {
        Some(Value::List(jobs)) => jobs.clone(),
        other => panic!("{other:?}"),
    }
}

async fn listen(world: &World) -> Listener {
    Listener::new(world.connect("ear"), to("tick:*", From::Earliest)).await
}

/// The number that a message carries.
fn iteration(record: &Record) -> u64 {
    let metadata = record.message.extras.as_ref().unwrap().metadata.clone().unwrap();
    let text = String::from_utf8(metadata.to_vec()).unwrap();
    let digits = text.split("\"iteration\":").nth(1).unwrap();
    digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

fn told(error: &Error) -> (Code, Option<&str>) {
    (error.code(), error.reason())
}

#[tokio::test]
async fn a_message_comes_after_its_delay_once() {
    let world = World::new().await;
    let ear = listen(&world).await;
    let job = schedule(&world, &user("me"), &[("delay_seconds", Value::Float(2.5))]).await.unwrap();
    assert_eq!(job.get("delay_seconds"), Some(&Value::Float(2.5)));
    world.pass(SECOND * 2).await;
    assert!(ear.is_quiet().await);
    world.pass(SECOND).await;
    let record = ear.records(1).await.remove(0);
    assert_eq!((text(&record).as_str(), &*record.message.sender), ("tick", "op-cron"));
    let metadata = record.message.extras.as_ref().unwrap().metadata.clone().unwrap();
    let expected = format!(
        r#"{{"cron_job_id":"{}","iteration":1,"scheduled_at":"2026-01-01T00:00:02.5Z"}}"#,
        id(&job).as_text().unwrap()
    );
    assert_eq!(metadata, expected.as_bytes());
    world.pass(SECOND * 20).await;
    assert!(ear.is_quiet().await);
    assert_eq!(jobs(&world, &user("me")).await, [], "what is done is gone");
}

#[tokio::test]
async fn it_repeats_as_often_as_said_at_even_steps() {
    let world = World::new().await;
    let ear = listen(&world).await;
    let more = [("interval_seconds", 3u64.into()), ("repeat_count", 3u64.into())];
    schedule(&world, &user("me"), &more).await.unwrap();
    world.pass(SECOND * 30).await;
    let records = ear.records(3).await;
    assert_eq!(records.iter().map(|r| iteration(r)).collect::<Vec<_>>(), [1, 2, 3]);
    for (record, expected) in records.iter().zip([1, 4, 7]) {
        let late = record.message.stored_at.since(BEGINNING.plus(SECOND * expected));
        assert!(late < SECOND / 2, "{expected}: {late:?}");
    }
    assert!(ear.is_quiet().await && jobs(&world, &user("me")).await.is_empty());
}

const BEGINNING: Timestamp = Timestamp::from_millis(1_767_225_600_000);

#[tokio::test]
async fn it_goes_by_the_calendar_of_a_place() {
    let world = World::new().await;
    let ear = listen(&world).await;
    // 2026-01-01 is a Thursday; half past one in Berlin is half past midnight in UTC.
    let more = [("cron", "30 1 * * thu-fri".into()), ("timezone", "Europe/Berlin".into())];
    let job = schedule(&world, &user("me"), &more).await.unwrap();
    let next = BEGINNING.plus(SECOND * 1800);
    assert_eq!(job.get("next_at"), Some(&Value::Time(next)));
    world.clock.advance(SECOND * 1800);
    world.pass(SECOND).await;
    assert_eq!(iteration(&ear.records(1).await[0]), 1);
    let jobs = jobs(&world, &user("me")).await;
    assert_eq!(jobs[0].get("next_at"), Some(&Value::Time(next.plus(SECOND * 86_400))));
    assert_eq!((jobs[0].get("sent"), jobs[0].get("repeat_count")), (Some(&1u64.into()), Some(&0u64.into())));
}

#[tokio::test]
async fn a_restart_forgets_no_job_and_makes_up_for_what_was_missed_as_said() {
    for (policy, expected) in [("once", vec![1, 5, 6]), ("skip", vec![1, 6]), ("all", vec![1, 2, 3, 4, 5, 6])]
    {
        let world = World::new().await;
        let more =
            [("interval_seconds", 10u64.into()), ("repeat_count", 0u64.into()), ("missed", policy.into())];
        schedule(&world, &user("me"), &more).await.unwrap();
        world.pass(SECOND * 2).await;
        world.bus.drain().await.unwrap();
        world.clock.advance(SECOND * 50);
        let world = world.restarted().await;
        world.pass(SECOND).await;
        let ear = listen(&world).await;
        let seen: Vec<u64> = ear.records(expected.len()).await.iter().map(|r| iteration(r)).collect();
        assert_eq!(seen, expected, "{policy}");
        assert!(ear.is_quiet().await);
    }
}

#[tokio::test]
async fn what_was_sent_and_then_forgotten_is_not_sent_twice() {
    let world = World::new().await;
    let more = [("interval_seconds", 10u64.into()), ("repeat_count", 0u64.into()), ("job_id", "j".into())];
    schedule(&world, &user("me"), &more).await.unwrap();
    // The state of before any message, which a power failure may bring back.
    let before = world.stored("cron", "default/j").await.unwrap();
    world.pass(SECOND * 12).await;
    world.bus.drain().await.unwrap();
    world.put_stored("cron", "default/j", before).await;
    let world = world.restarted().await;
    world.pass(SECOND * 10).await;
    let ear = listen(&world).await;
    let seen: Vec<u64> = ear.records(3).await.iter().map(|r| iteration(r)).collect();
    assert_eq!(seen, [1, 2, 3]);
    assert!(ear.is_quiet().await);
}

#[tokio::test]
async fn two_servers_of_one_state_send_once() {
    let world = World::new().await;
    let more = [("interval_seconds", 2u64.into()), ("repeat_count", 5u64.into())];
    schedule(&world, &user("me"), &more).await.unwrap();
    // An old process that has not noticed yet that it is replaced.
    let twin = world.restarted().await;
    world.pass(SECOND * 20).await;
    let ear = listen(&twin).await;
    let seen: Vec<u64> = ear.records(5).await.iter().map(|r| iteration(r)).collect();
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    assert!(ear.is_quiet().await);
}

#[tokio::test]
async fn a_job_is_held_goes_on_and_ends_when_its_owner_says_so() {
    let world = World::new().await;
    let (me, other, admin) = (user("me"), user("other"), caller("boss", "default", Role::Admin));
    let ear = listen(&world).await;
    let more = [("interval_seconds", 10u64.into()), ("repeat_count", 0u64.into()), ("missed", "all".into())];
    let job = [("job_id", id(&schedule(&world, &me, &more).await.unwrap()))];
    world.pass(SECOND * 2).await;
    let held = world.call(&me, "op.cron.pause", &job).await.unwrap();
    assert_eq!((held.get("paused"), held.get("next_at")), (Some(&true.into()), Some(&Value::Null)));
    world.pass(SECOND * 30).await;
    let world = world.restarted().await;
    world.pass(SECOND * 10).await;
    assert_eq!(iteration(&ear.records(1).await[0]), 1);
    assert!(ear.is_quiet().await);
    for operation in ["op.cron.pause", "op.cron.resume", "op.cron.get", "op.cron.cancel"] {
        let refused = world.call(&other, operation, &job).await.unwrap_err();
        assert_eq!(told(&refused), (Code::Forbidden, Some("NOT_OWNER")), "{operation}");
        let none = world.call(&me, operation, &[("job_id", "none".into())]).await.unwrap_err();
        assert_eq!(told(&none), (Code::NotFound, Some("JOB_NOT_FOUND")), "{operation}");
        let far = world.call(&caller("me", "acme", Role::Admin), operation, &job).await.unwrap_err();
        assert_eq!(far.code(), Code::NotFound, "{operation}");
    }
    world.call(&admin, "op.cron.resume", &job).await.unwrap();
    world.pass(SECOND * 10).await;
    let ear = listen(&world).await;
    let seen: Vec<u64> = ear.records(2).await.iter().map(|r| iteration(r)).collect();
    assert_eq!(seen, [1, 6], "those of the pause are left out and keep their numbers");
    let whole = world.call(&me, "op.cron.get", &job).await.unwrap();
    assert_eq!(whole.get("payload"), Some(&raw("{\"text\":\"tick\"}")));
    world.call(&me, "op.cron.cancel", &job).await.unwrap();
    world.pass(SECOND * 30).await;
    let world = world.restarted().await;
    world.pass(SECOND * 30).await;
    assert!(jobs(&world, &me).await.is_empty());
    let ear = listen(&world).await;
    ear.records(2).await;
    assert!(ear.is_quiet().await, "nothing came after the end");
}

#[tokio::test]
async fn who_lists_sees_the_own_jobs_and_admins_all() {
    let world = World::new().await;
    let count = |ctx: Ctx| {
        let world = &world;
        async move { jobs(world, &ctx).await.len() }
    };
    for (who, tenant) in [("a", "default"), ("a", "default"), ("b", "default"), ("a", "acme")] {
        schedule(&world, &caller(who, tenant, Role::User), &[]).await.unwrap();
    }
    assert_eq!(count(user("a")).await, 2);
    assert_eq!(count(user("c")).await, 0);
    assert_eq!(count(caller("boss", "default", Role::Admin)).await, 3);
    assert_eq!(count(caller("boss", "acme", Role::Admin)).await, 1);
    // A tenant whose name begins like another's.
    assert_eq!(count(caller("boss", "acm", Role::Admin)).await, 0);
}

#[tokio::test]
async fn an_id_is_taken_until_its_job_is_done_and_then_means_another() {
    let world = World::new().await;
    let me = user("me");
    let named = [("job_id", "nightly".into())];
    schedule(&world, &me, &named).await.unwrap();
    let refused = schedule(&world, &user("other"), &named).await.unwrap_err();
    assert_eq!(told(&refused), (Code::AlreadyExists, Some("JOB_EXISTS")));
    world.pass(SECOND * 3).await;
    schedule(&world, &me, &named).await.unwrap();
    world.pass(SECOND * 3).await;
    let ear = listen(&world).await;
    assert_eq!(ear.texts(2).await, ["tick", "tick"]);
}

#[tokio::test]
async fn what_cannot_be_sent_now_is_sent_later_and_what_never_can_is_told() {
    let world = World::new().await;
    let me = user("me");
    let more = [
        ("address", "@skill/clock".into()),
        ("interval_seconds", 10u64.into()),
        ("repeat_count", 2u64.into()),
    ];
    schedule(&world, &me, &more).await.unwrap();
    world.pass(SECOND * 2).await;
    let job = jobs(&world, &me).await.remove(0);
    let problem = job.get("problem").unwrap().as_text().unwrap().to_owned();
    assert!(problem.contains("no agent with the skill `clock`"), "{problem}");
    assert_eq!((job.get("sent"), job.get("next_iteration")), (Some(&0u64.into()), Some(&1u64.into())));
    let agent = world.agent("clock-1", &["clock"]);
    let inbox = Listener::new(agent, to("@clock-1", From::Latest)).await;
    world.pass(SECOND * 12).await;
    let seen: Vec<u64> = inbox.records(2).await.iter().map(|r| iteration(r)).collect();
    assert_eq!(seen, [1, 2]);
}

#[tokio::test]
async fn who_may_not_publish_there_may_not_have_it_published() {
    let world = World::new().await;
    for address in ["system:events", "task:new"] {
        let refused = schedule(&world, &user("me"), &[("address", address.into())]).await.unwrap_err();
        assert_eq!(refused.code(), Code::Forbidden, "{address}");
    }
    let guest = caller("g", "default", Role::Guest);
    assert_eq!(schedule(&world, &guest, &[]).await.unwrap_err().code(), Code::Forbidden);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_said_with_its_field() {
    let world = World::new().await;
    let cases: [(&[(&str, Value)], &str); 14] = [
        (&[("address", Value::Null)], "args.address"),
        (&[("room", "a".into())], "args.room"),
        (&[("payload", raw("[1]"))], "args.payload"),
        (&[("delay_seconds", 0u64.into())], "args.delay_seconds"),
        (&[("delay_seconds", Value::Float(-1.0))], "args.delay_seconds"),
        (&[("delay_seconds", Value::Float(1e300))], "args.delay_seconds"),
        (&[("repeat_count", 2u64.into())], "args.interval_seconds"),
        (&[("cron", "* * * *".into())], "args.cron"),
        (&[("cron", "0 0 30 2 *".into())], "args.cron"),
        (&[("cron", "@daily".into()), ("delay_seconds", 1u64.into())], "args.delay_seconds"),
        (&[("cron", "@daily".into()), ("timezone", "Mars".into())], "args.timezone"),
        (&[("timezone", "UTC".into())], "args.timezone"),
        (&[("missed", "twice".into())], "args.missed"),
        (&[("job_id", "a/b".into())], "args.job_id"),
    ];
    for (more, field) in cases {
        let error = schedule(&world, &user("me"), more).await.unwrap_err();
        assert_eq!(error.field(), Some(field), "{more:?}: {error}");
    }
    let large = raw(&format!("{{\"a\":\"{}\"}}", "x".repeat(64 * 1024)));
    let refused = schedule(&world, &user("me"), &[("payload", large)]).await.unwrap_err();
    assert_eq!(refused.code(), Code::TooLarge);
    assert!(jobs(&world, &user("me")).await.is_empty());
}

#[tokio::test]
async fn a_tenant_has_a_limit_of_jobs() {
    let world = World::new().await;
    let later = [("delay_seconds", 1000u64.into())];
    for n in 0..1000 {
        schedule(&world, &user(&format!("u{}", n % 7)), &later).await.unwrap();
    }
    let refused = schedule(&world, &user("me"), &later).await.unwrap_err();
    assert_eq!(told(&refused), (Code::Exhausted, Some("TOO_MANY_JOBS")));
    schedule(&world, &caller("me", "acme", Role::User), &later).await.unwrap();
    assert_eq!(jobs(&world, &caller("boss", "default", Role::Admin)).await.len(), 1000);
}

#[tokio::test]
async fn a_job_for_a_channel_that_keeps_nothing_works_too() {
    let world = World::with(Default::default(), vec![policy("tick:*", Class::Ephemeral, 0)]).await;
    let ear = Listener::new(world.connect("ear"), to("tick:*", From::Latest)).await;
    let more = [("interval_seconds", 1u64.into()), ("repeat_count", 2u64.into())];
    schedule(&world, &user("me"), &more).await.unwrap();
    world.pass(SECOND * 5).await;
    assert_eq!(ear.texts(2).await, ["tick", "tick"]);
    assert!(ear.is_quiet().await);
}
