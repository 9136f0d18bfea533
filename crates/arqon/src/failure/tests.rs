//! What is said of failures, and with which exit code.

use super::*;
use arqon_core::Error as Core;

#[test]
fn a_server_that_is_not_there_is_said_with_what_to_do() {
    let error = Error::Unreachable {
        url: "http://127.0.0.1:9100".to_owned(),
        reason: "connection refused".to_owned(),
    };
    let failure = Failure::from(error);
    assert_eq!(failure.exit, Exit::Unreachable);
    assert_eq!(
        failure.to_text(),
        "arqon: cannot reach an Arqon at http://127.0.0.1:9100: connection refused\n  \
         start one with `arqon serve`, or name another with --url"
    );
}

#[test]
fn rights_have_an_exit_code_of_their_own_and_the_servers_hint_wins() {
    let refused = Core::new(Code::Forbidden, "only Arqon writes there").with_hint("use another room");
    let failure = Failure::from(Error::Refused(refused));
    assert_eq!((failure.exit, failure.todo.as_deref()), (Exit::Refused, Some("use another room")));
    assert_eq!(Failure::from(Error::Refused(Core::invalid("payload", "no"))).exit, Exit::Usage);
}

#[test]
fn who_asks_too_often_is_told_how_long_to_wait() {
    let refused = Core::new(Code::RateLimited, "too many calls of `status`")
        .with_retry_after(std::time::Duration::from_millis(2100))
        .with_hint("a hint");
    let failure = Failure::from(Error::Refused(refused));
    assert_eq!((failure.exit, failure.todo.as_deref()), (Exit::Refused, Some("wait 3 s and try again")));
}

#[test]
fn a_field_is_told_by_the_name_of_its_option() {
    let refused = Core::invalid("args.timezone", "`Mars` is no time zone");
    let failure = Failure::from(Error::Refused(refused));
    assert_eq!(failure.what, "--zone: `Mars` is no time zone");
    assert_eq!(failure.to_json()["error"]["field"], "timezone");
}

#[test]
fn a_server_speaks_of_commands_and_we_of_ours() {
    let refused = Core::new(Code::NotFound, "there is no dead letter `x`")
        .with_field("args.id")
        .with_hint("`list_dead_letters` shows those that exist");
    let failure = Failure::from(Error::Refused(refused));
    assert_eq!(
        failure.to_text(),
        "arqon: there is no dead letter `x`\n  `arqon dead-letters list` shows those that exist"
    );
    assert_eq!(failure.to_json()["error"]["field"], "id");
    assert_eq!(
        Failure::from(Error::Refused(Core::invalid("args.limit", "too much"))).what,
        "limit: too much"
    );
}

#[test]
fn another_kind_of_server_is_as_good_as_none() {
    let url = || "http://127.0.0.1:1".to_owned();
    let foreign =
        Error::Foreign { url: url(), what: "an HTTP server", reason: "/ws answered 404".to_owned() };
    let failure = Failure::from(foreign);
    assert_eq!(failure.exit, Exit::Unreachable);
    assert_eq!(
        failure.what,
        "there is an HTTP server at http://127.0.0.1:1, but it is not an Arqon (/ws answered 404)"
    );
    let tls = Failure::from(Error::Tls { url: url(), reason: "no".to_owned(), hint: "use --ca" });
    assert_eq!((tls.exit, tls.todo.as_deref()), (Exit::Unreachable, Some("use --ca")));
}

#[test]
fn a_failure_in_json_always_has_a_code() {
    let codes = [Exit::Failed, Exit::Usage, Exit::Refused, Exit::Unreachable, Exit::Broken]
        .map(|exit| Failure::new(exit, "x").line(3).to_json()["error"].clone())
        .map(|error| (error["code"].as_str().map(str::to_owned), error["line"].as_u64()));
    let expected = ["FAILED", "VALIDATION_ERROR", "AUTHORIZATION_ERROR", "UNAVAILABLE", "BROKEN"];
    assert_eq!(codes, expected.map(|code| (Some(code.to_owned()), Some(3))));
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    assert_eq!(format!("{:?}", failure.report(false)), format!("{:?}", ExitCode::SUCCESS));
}
