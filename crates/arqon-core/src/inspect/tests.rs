//! Verdicts as their callers see them.

use super::*;

fn policy(change: impl FnOnce(&mut InspectionPolicy)) -> InspectionPolicy {
    let mut policy = InspectionPolicy { enabled: true, ..InspectionPolicy::default() };
    change(&mut policy);
    policy
}

fn judge(policy: &InspectionPolicy, payload: &str) -> Verdict {
    let inspector = Inspector::new(policy).unwrap();
    inspector.inspect(&Subject {
        room: "repo",
        channel: "main",
        payload: payload.as_bytes(),
        ..Subject::default()
    })
}

fn delivered(verdict: &Verdict) -> Option<&str> {
    verdict.redacted.as_ref()?.payload.as_ref().map(|b| std::str::from_utf8(b).unwrap())
}

const CLEAN: &str = r#"{"text":"all is well","n":[1,2,{"a":null}]}"#;
const LEAK: &str = r#"{"text":"the key is AKIAZ7QX2LMN4PRS5TUV, keep it","n":1}"#;

#[test]
fn every_reason_is_reached() {
    let off = InspectionPolicy::default();
    let on = policy(|_| {});
    let enforce = policy(|p| (p.mode, p.block_on_probable_secret) = (Mode::Enforce, true));
    let monitor = policy(|p| p.block_on_probable_secret = true);
    let small = policy(|p| (p.mode, p.max_payload_bytes) = (Mode::Enforce, 8));
    let elsewhere = policy(|p| p.scope_exclude = vec!["repo:*".to_owned()]);
    let table = [
        (&off, LEAK, Decision::Allow, Reason::Disabled, Risk::Low),
        (&on, CLEAN, Decision::Allow, Reason::Allowed, Risk::Low),
        (&on, LEAK, Decision::AllowWithRedaction, Reason::Redacted, Risk::High),
        (&on, r#"{"token":true}"#, Decision::AllowWithRedaction, Reason::Redacted, Risk::Medium),
        (&enforce, LEAK, Decision::Block, Reason::BlockedSecret, Risk::High),
        (&monitor, LEAK, Decision::AllowWithRedaction, Reason::MonitorMode, Risk::High),
        (&small, CLEAN, Decision::Block, Reason::Oversize, Risk::Medium),
        (&elsewhere, LEAK, Decision::Allow, Reason::OutOfScope, Risk::Low),
        (&on, r#"{"password":"#, Decision::Allow, Reason::Allowed, Risk::Low),
        (&on, r#"{"password":"open"#, Decision::Allow, Reason::InternalError, Risk::Medium),
    ];
    for (policy, payload, decision, reason, risk) in table {
        let verdict = judge(policy, payload);
        assert_eq!((verdict.decision, verdict.reason, verdict.risk), (decision, reason, risk), "{payload}");
        assert_eq!(judge(policy, payload), verdict);
    }
    let seen: Vec<Reason> = table.iter().map(|row| row.3).collect();
    assert!(Reason::ALL.iter().all(|reason| seen.contains(reason)));
}

#[test]
fn monitor_alters_nothing_unless_it_is_told_to() {
    let verdict = judge(&policy(|_| {}), LEAK);
    assert_eq!(verdict.delivered(), None);
    let verdict = judge(&policy(|p| p.transport_redaction = true), LEAK);
    assert!(verdict.delivered().is_some());
    assert_eq!(delivered(&verdict), Some(r#"{"text":"the key is ***REDACTED***, keep it","n":1}"#));
}

#[test]
fn redaction_keeps_json_and_every_other_byte() {
    let policy = policy(|p| p.redaction_patterns = vec![r"\d{3}-\d{2}-\d{4}".to_owned(), "café".to_owned()]);
    for (payload, expected) in [
        (r#" { "Password" : "x y" , "a":1.50e+1 } "#, r#" { "Password" : "***REDACTED***" , "a":1.50e+1 } "#),
        (r#"{"token":{"a":[1,{"b":"}"}]},"c":2}"#, r#"{"token":"***REDACTED***","c":2}"#),
        (
            r#"{"secret":[1,2],"d":[{"secret":7},{"secret":null}]}"#,
            r#"{"secret":"***REDACTED***","d":[{"secret":"***REDACTED***"},{"secret":null}]}"#,
        ),
        (r#"{"pass\u0077ord":"x"}"#, r#"{"pass\u0077ord":"***REDACTED***"}"#),
        (r#"["a\n123-45-6789\t\"b\""]"#, r#"["a\n***REDACTED***\t\"b\""]"#),
        (r#"["12\u0033-45-6789"]"#, r#"["***REDACTED***"]"#),
        (r#"["caf\u00e9 und café"]"#, r#"["***REDACTED*** und ***REDACTED***"]"#),
        (r#"{"123-45-6789":1}"#, r#"{"***REDACTED***":1}"#),
        (r#""123-45-6789""#, r#""***REDACTED***""#),
        (
            r#"{"m":"{\"password\":\"letmein\",\"n\":1}"}"#,
            r#"{"m":"{\"password\":\"***REDACTED***\",\"n\":1}"}"#,
        ),
    ] {
        let verdict = judge(&policy, payload);
        assert_eq!(delivered(&verdict), Some(expected), "{payload}");
        // What was redacted is clean.
        let again = judge(&policy, expected);
        assert_eq!((delivered(&again), again.flags.probable_secret), (None, false), "{expected}");
    }
}

#[test]
fn findings_say_where_and_never_what() {
    let payload =
        r#"{"a":[0,{"b":"x AKIAZ7QX2LMN4PRS5TUV"}],"AKIAZ7QX2LMN4PRS5TUV":{"api_key":"abcd1234efgh"}}"#;
    let verdict = judge(&policy(|_| {}), payload);
    let list: Vec<String> = verdict.findings.iter().map(|f| format!("{} {}", f.path, f.rule)).collect();
    let expected = [
        "payload.a[1].b aws-access-key",
        "payload.***REDACTED*** aws-access-key",
        "payload.***REDACTED***.api_key named-secret",
    ];
    assert_eq!(list, expected);
    assert!(!format!("{verdict:?}").contains("AKIAZ7"), "{verdict:?}");
    let said = r#"{"kind":"data","risk_level":"high","flags":{"contains_probable_secret":true,"oversize_payload":false,"inspected_in_part":false},"reason_code":"CASIL_POLICY_REDACTED","decision":"ALLOW_WITH_REDACTION"}"#;
    assert_eq!(verdict.to_json(), said);
}

#[test]
fn metadata_and_unknown_members_are_read_too() {
    let inspector = Inspector::new(&policy(|p| p.transport_redaction = true)).unwrap();
    let subject = Subject {
        room: "repo",
        channel: "main",
        payload: br#"{"text":"fine"}"#,
        metadata: Some(concat!(r#"{"note":"gh"#, r#"p_16C7e42F292c6912E7710c838347Ae178B4a"}"#).as_bytes()),
        unknown: Some(br#""x":1,"password":"hunter2""#),
        ..Subject::default()
    };
    let redacted = inspector.inspect(&subject).redacted.unwrap();
    assert_eq!(redacted.payload, None);
    assert_eq!(redacted.metadata.unwrap(), &br#"{"note":"***REDACTED***"}"#[..]);
    assert_eq!(redacted.unknown.unwrap(), &br#""x":1,"password":"***REDACTED***""#[..]);
}

#[test]
fn only_the_first_bytes_are_read_and_that_is_said() {
    let long = format!(r#"{{"a":"{}","b":"AKIAZ7QX2LMN4PRS5TUV"}}"#, "x ".repeat(100));
    let verdict = judge(&policy(|p| p.max_inspect_bytes = 64), &long);
    assert_eq!((verdict.reason, verdict.flags.in_part), (Reason::Allowed, true));
    let verdict = judge(&policy(|_| {}), &long);
    assert_eq!((verdict.reason, verdict.flags.in_part), (Reason::Redacted, false));
    // A value that is redacted as a whole is redacted to its end, wherever the limit falls.
    let deep = r#"{"password":{"a":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","c":[1,2,3]},"d":1}"#;
    let verdict = judge(&policy(|p| p.max_inspect_bytes = 20), deep);
    assert_eq!(delivered(&verdict), Some(r#"{"password":"***REDACTED***","d":1}"#));
}

#[test]
fn names_are_redacted_down_to_their_depth() {
    let nest = |depth: usize| {
        format!(r#"{}{{"secret":"zz"}}{}"#, r#"{"a":"#.repeat(depth - 1), "}".repeat(depth - 1))
    };
    let redacts = |depth: usize, max: usize| {
        judge(&policy(|p| p.redaction_depth = max), &nest(depth)).reason == Reason::Redacted
    };
    assert!(redacts(10, 10) && !redacts(11, 10) && redacts(11, 11));
}

#[test]
fn an_invalid_policy_names_its_keys_and_leaves_the_active_one() {
    let inspector = Inspector::new(&policy(|p| p.block_on_probable_secret = true)).unwrap();
    let before = inspector.policy();
    let bomb = "(?:(?:[a-z]{1,100}){1,100}){1,100}".to_owned();
    let wrong = policy(|p| {
        p.max_inspect_bytes = 0;
        p.redaction_patterns = vec!["a".to_owned(), "(".to_owned(), bomb, "x*".to_owned()];
        p.secret_patterns = vec!["(?=a)".to_owned(), "(".repeat(40) + "a" + &")".repeat(40)];
    });
    let problems = inspector.reload(&wrong).unwrap_err();
    let keys: Vec<&str> = problems.iter().map(|p| p.key.as_str()).collect();
    let expected = [
        "max_inspect_bytes",
        "secret_patterns[0]",
        "secret_patterns[1]",
        "redaction_patterns[1]",
        "redaction_patterns[2]",
        "redaction_patterns[3]",
    ];
    assert_eq!(keys, expected, "{problems:?}");
    assert!(problems[4].message.contains("compiles to more than 128 KiB"), "{}", problems[4]);
    assert!(problems[5].message.contains("matches where nothing stands"), "{}", problems[5]);
    assert_eq!(inspector.policy(), before);
    let many = policy(|p| p.redaction_patterns = vec!["a".to_owned(); 33]);
    assert_eq!(Inspector::check(&many)[0].key, "max_patterns");
    inspector.reload(&InspectionPolicy::default()).unwrap();
    assert!(!inspector.is_on());
}

#[test]
fn hostile_messages_are_read_within_bounds() {
    let policy = policy(|p| p.redaction_patterns = vec!["[a-z]+!".to_owned(), "^z".to_owned()]);
    let (kib, deep) = (1 << 8, 4000);
    for payload in [
        format!("{}1{}", "[".repeat(100), "]".repeat(100)),
        format!("{}{}", "[".repeat(deep), "]".repeat(deep)),
        "{\"a\":".repeat(deep),
        format!("[\"{}\"]", "password=".repeat(8 * kib)),
        format!("[\"{}\"]", "-----BEGIN PRIVATE KEY-----".repeat(2 * kib)),
        format!("[\"{}\"]", "eyJ".repeat(20 * kib)),
        format!("[\"{}\"]", "eyJ-".repeat(16 * kib)),
        format!("[\"{}\"]", "sk-".repeat(20 * kib)),
        format!("[\"{}\"]", "token:(".repeat(8 * kib)),
        format!("[\"{}\"]", "bearer ".repeat(8 * kib)),
        format!("[\"{}\"]", "a://b:".repeat(8 * kib)),
        format!("[\"{}\"]", "\\u0070".repeat(10 * kib)),
        format!("[{}\"\"]", "\"z\",".repeat(12 * kib)),
        format!("{{{}\"a\":1}}", "\"token\":1,".repeat(6 * kib)),
    ] {
        let verdict = judge(&policy, &payload);
        assert!(verdict.findings.len() <= FINDINGS_MAX);
        let changed = verdict.redacted.and_then(|r| r.payload);
        assert!(changed.is_none_or(|r| r.len() < payload.len() * 8), "{}", &payload[..40]);
    }
    // Too deep to be followed is not readable, whatever it would hold.
    assert_eq!(judge(&policy, &format!("[\"password=\",{}", "[".repeat(200))).reason, Reason::InternalError);
}

#[test]
fn the_older_set_finds_every_mention() {
    let policy = policy(|p| p.secret_set = SecretSet::Older);
    assert!(judge(&policy, r#"{"text":"my secret plan"}"#).flags.probable_secret);
    assert!(!judge(&policy, LEAK).flags.probable_secret);
    assert!(judge(&policy, r#"{"t":"sk_live_0123456789abcdef"}"#).flags.probable_secret);
}

#[test]
fn counts_add_up() {
    let inspector = Inspector::new(&policy(|p| p.block_on_probable_secret = true)).unwrap();
    let see = |payload: &str| {
        inspector.inspect(&Subject {
            room: "a",
            channel: "b",
            payload: payload.as_bytes(),
            ..Subject::default()
        });
    };
    see(CLEAN);
    see(LEAK);
    see("\"");
    let expected = Counts { inspected: 3, secrets: 1, redacted: 1, blocked: 0, spared: 1, failed: 0 };
    assert_eq!(inspector.counts(), expected);
}
