//! The commands: one file for each, with its arguments, its help and its work.

mod bench;
mod channels;
mod completions;
mod config;
mod cron;
mod dead_letters;
mod demo;
mod doctor;
mod history;
mod inspect;
mod log;
mod publish;
mod reply;
mod request;
mod serve;
mod stage;
mod status;
mod store;
mod subscribe;
mod subscriptions;
mod tail;
mod token;
mod torture;
mod webhook;

use crate::connect::Outcome;
use crate::options::Cli;
use clap::Subcommand;

/// What can be done.
#[derive(Subcommand)]
pub(crate) enum Command {
    Serve(serve::Serve),
    Demo(demo::Demo),
    Torture(torture::Torture),
    Bench(bench::Bench),
    Pub(publish::Pub),
    Sub(subscribe::Sub),
    Tail(tail::Tail),
    Req(request::Req),
    Reply(reply::Reply),
    Status(status::Status),
    Channels(channels::Channels),
    History(history::History),
    DeadLetters(dead_letters::DeadLetters),
    Subscriptions(subscriptions::Subscriptions),
    Store(store::Store),
    Cron(cron::Cron),
    Webhook(webhook::Webhook),
    Token(token::Token),
    Inspect(inspect::Inspect),
    Log(log::Log),
    Config(config::Config),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
}

/// Does what was asked for.
pub(crate) fn run(cli: &Cli) -> Outcome {
    let global = &cli.global;
    // The server has a way of its own to log, and the torture says much by itself.
    if !matches!(cli.command, Command::Serve(_) | Command::Torture(_)) {
        global.init_logging();
    }
    match &cli.command {
        Command::Serve(command) => command.run(global),
        Command::Demo(command) => command.run(global),
        Command::Torture(command) => command.run(global),
        Command::Bench(command) => command.run(global),
        Command::Pub(command) => command.run(global),
        Command::Sub(command) => command.run(global),
        Command::Tail(command) => command.run(global),
        Command::Req(command) => command.run(global),
        Command::Reply(command) => command.run(global),
        Command::Status(command) => command.run(global),
        Command::Channels(command) => command.run(global),
        Command::History(command) => command.run(global),
        Command::DeadLetters(command) => command.run(global),
        Command::Subscriptions(command) => command.run(global),
        Command::Store(command) => command.run(global),
        Command::Cron(command) => command.run(global),
        Command::Webhook(command) => command.run(global),
        Command::Token(command) => command.run(global),
        Command::Inspect(command) => command.run(global),
        Command::Log(command) => command.run(global),
        Command::Config(command) => command.run(global),
        Command::Doctor(command) => command.run(global),
        Command::Completions(command) => command.run(),
    }
}
