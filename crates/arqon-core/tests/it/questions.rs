//! Many questions of one asker under way at once.

use crate::world::*;
use arqon_core::bus::{Answer, Questions};
use arqon_core::{Code, Ctx, Error, Result, Role};
use futures_util::task::noop_waker;
use std::task::Context;
use std::time::Duration;

/// What is to be told now.
fn told(questions: &mut Questions<u32>) -> Vec<(u32, Result<String, Code>)> {
    let waker = noop_waker();
    let mut cx = Context::from_waker(&waker);
    let tenant = user("asker").tenant().clone();
    let said = |result: Result<Answer>| match result {
        Ok(answer) => Ok(text(&answer.into_record(&tenant))),
        Err(error) => Err(Error::code(&error)),
    };
    std::iter::from_fn(|| questions.poll(&mut cx)).map(|(tag, result)| (tag, said(result))).collect()
}

/// Asks, and answers with the reply inbox of the question.
async fn ask(world: &World, ctx: &Ctx, questions: &mut Questions<u32>, (tag, seconds): (u32, u64)) -> String {
    let (time, at) = (Duration::from_secs(seconds), world.bus.moment());
    let (_, publish) = questions.ask(message("math:double", "?"), time, tag, at);
    questions.announce();
    let inbox = publish.extras.as_ref().unwrap().reply_to.as_ref().unwrap().to_string();
    world.publish(ctx, publish).await.unwrap();
    inbox
}

#[tokio::test]
async fn each_answer_comes_to_its_own_question_and_only_the_first_one() {
    let world = World::new().await;
    let asker = user("asker");
    let mut questions = world.bus.questions(&asker);
    let mut inboxes = Vec::new();
    for tag in 0..100 {
        inboxes.push(ask(&world, &asker, &mut questions, (tag, 5)).await);
    }
    assert_eq!((questions.len(), told(&mut questions)), (100, vec![]));
    for (tag, inbox) in inboxes.iter().enumerate().rev() {
        world.say(inbox, &format!("first {tag}")).await;
        world.say(inbox, "second").await;
    }
    let expected: Vec<_> = (0..100).rev().map(|tag| (tag, Ok(format!("first {tag}")))).collect();
    assert_eq!(told(&mut questions), expected);
    assert!(questions.is_empty());
}

#[tokio::test]
async fn each_question_has_its_own_time() {
    let world = World::new().await;
    let asker = user("asker");
    let mut questions = world.bus.questions(&asker);
    // The one that ends first is asked last.
    for (tag, seconds) in [(1, 20), (2, 10), (3, 5)] {
        ask(&world, &asker, &mut questions, (tag, seconds)).await;
    }
    assert_eq!(told(&mut questions), []);
    for tag in [3, 2, 1] {
        world.pass(Duration::from_secs(if tag == 1 { 11 } else { 6 })).await;
        assert_eq!(told(&mut questions), [(tag, Err(Code::Timeout))]);
    }
    assert!(questions.is_empty());
}

#[tokio::test]
async fn nobody_but_the_tenant_answers_and_what_is_taken_back_is_forgotten() {
    let world = World::new().await;
    let asker = user("asker");
    let mut questions = world.bus.questions(&asker);
    let inbox = ask(&world, &asker, &mut questions, (1, 5)).await;
    let stranger = caller("stranger", "elsewhere", Role::User);
    world.publish(&stranger, message(&inbox, "from outside")).await.unwrap();
    assert_eq!(told(&mut questions), []);
    world.say(&inbox, "from inside").await;
    assert_eq!(told(&mut questions), [(1, Ok("from inside".to_owned()))]);

    let (time, at) = (Duration::from_secs(5), world.bus.moment());
    let (number, publish) = questions.ask(message("math:double", "?"), time, 2, at);
    let inbox = publish.extras.unwrap().reply_to.unwrap();
    assert_eq!((questions.refused(number), questions.refused(number)), (Some(2), None));
    world.say(&inbox, "too late").await;
    assert_eq!(told(&mut questions), []);
}
