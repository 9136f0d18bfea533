//! The configuration as users meet it: sources, order, and what is said about mistakes.

use arqon_server::config::{Config, Origin, Sources, reference};
use std::time::Duration;

fn file(text: &str) -> (tempfile::TempDir, Sources) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("arqon.toml");
    std::fs::write(&path, text).unwrap();
    (dir, Sources { file: Some(path), ..Sources::default() })
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn messages(sources: &Sources) -> Vec<String> {
    Config::check(sources).iter().map(ToString::to_string).collect()
}

#[test]
fn without_sources_the_defaults_hold_and_can_run() {
    let config = Config::load(&Sources::default()).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:9100");
    assert_eq!(config.data_folder().unwrap(), std::path::Path::new("./arqon-data"));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let (_dir, mut sources) = file(
        "[server]\nlisten = '127.0.0.1:1'\ndata = '/file'\n[shutdown]\ndrain_seconds = 5\n[limits]\nmessage_bytes = '2 MiB'\n",
    );
    sources.env = pairs(&[
        ("ARQON_SERVER__LISTEN", "127.0.0.1:2"),
        ("ARQON_SERVER__DATA", "/env"),
        ("ARQON_SERVER__ENGINE", ""),
        ("ARQON_URL", "http://ignored"),
        ("PATH", "/bin"),
    ]);
    sources.overrides = pairs(&[("server.listen", "localhost:3")]);
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.server.listen.port(), 3);
    assert_eq!(config.server.data, std::path::Path::new("/env"));
    assert_eq!(config.shutdown.drain_seconds, Duration::from_secs(5));
    assert_eq!(config.limits.message_bytes.0, 2 << 20);
    assert_eq!(config.server.engine, "embedded:");
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    let (_dir, mut sources) =
        file("[server]\nlisen = '127.0.0.1:1'\n[sever]\nx = 1\n[[delivery]]\npatern = 'a:*'\n");
    sources.env = pairs(&[("ARQON_LOGGING__LEVLE", "info"), ("ARQON_DELIVERY__0__CLASS", "durable")]);
    sources.overrides = pairs(&[("zzz.qqq", "1")]);
    let said = messages(&sources).join("\n");
    for part in [
        "`server.lisen` in ",
        "there is no such key; did you mean `server.listen`?",
        "`sever` in ",
        "did you mean `server`?",
        "did you mean `pattern`?",
        "`logging.levle` from ARQON_LOGGING__LEVLE: there is no such key; did you mean `logging.level`?",
        "delivery rules are written in the file",
        "`zzz.qqq`: there is no such key; `arqon config schema` lists all keys",
    ] {
        assert!(said.contains(part), "{part}\nis not in\n{said}");
    }
    assert!(Config::load(&sources).is_err());
}

#[test]
fn values_of_a_wrong_kind_say_what_was_expected() {
    for (text, expected) in [
        ("[server]\nlisten = 9100", "`server.listen` in"),
        ("[server]\nlisten = 'here'", "expected `IP:PORT`, such as `127.0.0.1:9100`"),
        (
            "[shutdown]\ndrain_seconds = '5 parsecs'",
            "expected a duration such as `500ms`, `30s` or `7d`, found `5 parsecs`",
        ),
        ("[limits]\nmessage_bytes = true", "expected a number of bytes or a size such as `64 MiB`"),
        ("[log]\nflush = 'sometimes'", "expected `always` or `interval`, found `sometimes`"),
        ("[auth]\ninsecure_dev = 'yes'", "expected `true` or `false`, found `yes`"),
        ("[[delivery]]\npattern = 'a:*'\nmax_age = 5", "with its unit"),
        ("[server\n", "is not valid TOML"),
    ] {
        let (_dir, sources) = file(text);
        let said = messages(&sources).join("\n");
        assert!(said.contains(expected), "{text}: {said}");
    }
}

#[test]
fn an_address_without_a_port_says_so_and_localhost_is_known() {
    for (text, missing) in [
        ("127.0.0.1", true),
        ("::1", true),
        ("localhost", true),
        ("here:9100", false),
        ("127.0.0.1:x", false),
    ] {
        let sources = Sources { overrides: pairs(&[("server.listen", text)]), ..Sources::default() };
        let said = messages(&sources).join("\n");
        assert!(said.contains("expected `IP:PORT`") && said.contains(text), "{said}");
        assert_eq!(said.contains("the port is missing"), missing, "{said}");
    }
    for (text, address) in [("LocalHost:7", "127.0.0.1:7"), ("[::1]:7", "[::1]:7")] {
        let sources = Sources { overrides: pairs(&[("server.listen", text)]), ..Sources::default() };
        assert_eq!(Config::load(&sources).unwrap().server.listen.to_string(), address);
    }
}

#[test]
fn starting_names_every_problem_that_checking_names() {
    // One that cannot be read, one unknown key, one value out of its bounds.
    let (_dir, sources) =
        file("[server]\nlisten = 9100\nlisen = 1\n[limits]\nbatch = 0\n[server.tls]\ncert = '/none'\n");
    let checked = Config::check(&sources);
    assert_eq!(Config::load(&sources).unwrap_err().0, checked);
    let keys: Vec<&str> = checked.iter().map(|p| p.key.as_str()).collect();
    for key in ["server.listen", "server.lisen", "limits.batch", "server.tls.cert", "server.tls.key"] {
        assert!(keys.contains(&key), "{key} is not among {keys:?}");
    }
}

#[test]
fn values_out_of_their_bounds_are_refused_with_the_bounds() {
    for (key, value, expected) in [
        ("limits.message_bytes", "10 TiB", "expected 1 KiB to 64 MiB, found 10 TiB"),
        ("limits.message_bytes", "1023", "expected 1 KiB to 64 MiB, found 1023 B"),
        ("limits.batch", "0", "expected 1 to 1000000, found 0"),
        ("limits.connections", "99999999999", "found 99999999999"),
        ("limits.request_timeout_seconds", "300d", "expected 1ms to 1d, found 300d"),
        ("log.segment_bytes", "4 GiB", "expected 64 KiB to 2 GiB, found 4 GiB"),
        ("ws.ping_interval_seconds", "0", "expected 1ms to 1h, found 0"),
        ("http.settle_seconds", "20001ms", "expected at most 20s, found 20001ms"),
        ("shutdown.drain_seconds", "31", "expected at most 30s, found 31s"),
        ("records.reserve_bytes", "2048 TiB", "expected at most 1024 TiB, found 2048 TiB"),
    ] {
        let sources = Sources { overrides: pairs(&[(key, value)]), ..Sources::default() };
        let said = messages(&sources).join("\n");
        assert!(said.contains(&format!("`{key}`: ")) && said.contains(expected), "{said}");
    }
    let within = [
        ("limits.message_bytes", "64 MiB"),
        ("limits.message_bytes", "1024"),
        ("shutdown.drain_seconds", "30s"),
        ("records.reserve_bytes", "0"),
    ];
    for (key, value) in within {
        let sources = Sources { overrides: pairs(&[(key, value)]), ..Sources::default() };
        assert_eq!(messages(&sources), [""; 0], "{key} = {value}");
    }
    let (_dir, sources) = file("[[delivery]]\npattern = 'a:*'\nclass = 'history'\nhistory = 5000000\n");
    let said = messages(&sources).join("\n");
    assert!(said.contains("`delivery[0].history`: expected at most 1000000, found 5000000"), "{said}");
    let schema = Config::schema();
    assert_eq!(schema["properties"]["limits"]["properties"]["batch"]["maximum"], 1_000_000);
    assert!(reference().contains("Bounds: 1 KiB to 64 MiB."));
}

#[test]
fn combinations_that_cannot_run_are_refused_all_at_once() {
    let sources = Sources {
        overrides: pairs(&[
            ("server.listen", "0.0.0.0:9100"),
            ("server.engine", "redis://localhost"),
            ("log.engine", "kafka://localhost"),
            ("server.tls.cert", "/does/not/exist"),
            ("auth.insecure_dev", "true"),
            ("auth.jwt_secret", "short"),
            ("server.origins", "example.com"),
            ("logging.level", "loud=="),
            ("shutdown.drain_seconds", "5min"),
            ("limits.batch", "0"),
        ]),
        ..Sources::default()
    };
    let problems = Config::check(&sources);
    let keys: Vec<&str> = problems.iter().map(|p| p.key.as_str()).collect();
    for key in [
        "server.engine",
        "log.engine",
        "server.tls.key",
        "server.tls.cert",
        "auth.insecure_dev",
        "auth.jwt_secret",
        "server.origins",
        "logging.level",
        "shutdown.drain_seconds",
        "limits.batch",
    ] {
        assert!(keys.contains(&key), "{key} is not among {keys:?}");
    }
    let said = messages(&sources).join("\n");
    assert!(said.contains("has no Redis engine"), "{said}");
    assert!(!said.contains("short"), "a secret is in {said}");
    assert!(problems.iter().all(|p| p.origin == Origin::Whole));
}

#[test]
fn delivery_rules_become_policies_in_order() {
    let (_dir, sources) = file(
        "[[delivery]]\npattern = 'terminal:*'\nclass = 'ephemeral'\n\
         [[delivery]]\npattern = 'chat:**'\nclass = 'history'\nhistory = 50\n\
         [[delivery]]\npattern = 'repo:*'\nmax_age = '30d'\nmax_bytes = '1 GiB'\n",
    );
    let config = Config::load(&sources).unwrap();
    let policies: Vec<_> = config.delivery.iter().map(|rule| rule.to_policy().unwrap()).collect();
    assert_eq!(policies[0].class.as_str(), "ephemeral");
    assert_eq!((policies[1].class.as_str(), policies[1].history), ("history", 50));
    assert_eq!(policies[2].retention.max_age, Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(policies[2].retention.max_bytes, Some(1 << 30));

    let (_dir, sources) =
        file("[[delivery]]\npattern = 'no channel'\n[[delivery]]\npattern='a:b'\nhistory = 5\n");
    let said = messages(&sources).join("\n");
    assert!(said.contains("`delivery[0].pattern`") && said.contains("`delivery[1].history`"), "{said}");
}

#[test]
fn rooms_of_the_file_become_rooms_with_channels() {
    let science =
        "[[rooms]]\nname = 'science'\ndescription = 'knowledge'\nchannels = ['general', 'explore']\n";
    let (_dir, sources) = file(science);
    let config = Config::load(&sources).unwrap();
    let seed = config.rooms[0].to_seed().unwrap();
    assert_eq!((seed.room.as_str(), seed.channels.len(), seed.hardcoded), ("science", 2, true));
    let (_dir, again) = file(&config.dump());
    assert_eq!(Config::load(&again).unwrap(), config);
    let wrong = "[[rooms]]\nname = 'system'\nchannels = ['a']\n[[rooms]]\nname = 'a'\n\
                 [[rooms]]\nname = 'b'\nchannels = ['x y']\n[[rooms]]\nname = 'c'\nchannel = ['x']\n";
    let (_dir, sources) = file(wrong);
    let said = messages(&sources).join("\n");
    for part in ["`rooms[0].name`", "`rooms[1].channels`", "`rooms[2].channels`", "did you mean `channels`?"]
    {
        assert!(said.contains(part), "{part}\nis not in\n{said}");
    }
    assert_eq!(Config::schema()["properties"]["rooms"]["items"]["required"][0], "name");
}

#[test]
fn a_dump_reads_back_as_the_same_configuration_and_hides_secrets() {
    let (_dir, sources) = file(
        "[auth]\njwt_secret = 'an-entirely-secret-secret-of-32-bytes'\n[server]\norigins = ['https://a.example']\n\
         [log]\nflush = 'interval'\nflush_interval_ms = 50\n[[delivery]]\npattern = 'a:*'\nmax_age = '90 min'\n",
    );
    let config = Config::load(&sources).unwrap();
    let dump = config.dump();
    assert!(!dump.contains("entirely"), "{dump}");
    assert!(!format!("{config:?}").contains("entirely"));
    let (_dir, again) = file(&dump.replace("[redacted]", "an-entirely-secret-secret-of-32-bytes"));
    assert_eq!(Config::load(&again).unwrap(), config);
}

#[test]
fn schema_and_reference_know_every_key_that_a_dump_shows() {
    let schema = Config::schema();
    let reference = reference();
    let dump: toml::Table = Config::default().dump().parse().unwrap();
    for (section, keys) in &dump {
        for key in keys.as_table().unwrap().keys() {
            let known = &schema["properties"][section]["properties"][key];
            assert!(known.is_object(), "{section}.{key} is not in the schema");
            let told = [format!("| `{key}` |"), format!("`[{section}.{key}]`")];
            assert!(told.iter().any(|t| reference.contains(t)), "{section}.{key} is not in the reference");
        }
    }
    assert_eq!(schema["properties"]["server"]["properties"]["tls"]["properties"]["cert"]["type"], "string");
    assert_eq!(schema["properties"]["delivery"]["items"]["required"][0], "pattern");
    assert!(reference.contains("`ARQON_SERVER__TLS__CERT`"));
}

/// `UPDATE_EXPECT=1` rewrites the part of the manual between the marks.
#[test]
fn the_manual_holds_the_reference_as_it_is() {
    const MARKS: [&str; 2] = ["<!-- configuration:begin -->", "<!-- configuration:end -->"];
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let manual = std::fs::read_to_string(path).unwrap();
    let (before, rest) = manual.split_once(MARKS[0]).unwrap();
    let (_, after) = rest.split_once(MARKS[1]).unwrap();
    let fresh = format!("{before}{}\n\n{}\n{}{after}", MARKS[0], reference(), MARKS[1]);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, &fresh).unwrap();
    } else {
        assert!(manual == fresh, "docs/configuration.md is out of date; run this with UPDATE_EXPECT=1");
    }
}

#[test]
fn a_policy_of_inspection_is_checked_as_a_whole() {
    let (_dir, sources) = file(
        "[inspection]\nmax_patterns = 65\nredaction_patterns = ['ok', '(open']\nsecret_patterns = ['a*']\nmax_inspect_bytes = '64 KiB'\n",
    );
    let said = messages(&sources).join("\n");
    for part in [
        "`inspection.max_patterns`: expected 0 to 64, found 65",
        "`inspection.redaction_patterns[1]`: `(open` is no regular expression",
        "`inspection.secret_patterns[0]`: `a*` matches where nothing stands",
    ] {
        assert!(said.contains(part), "{part}\nis not in\n{said}");
    }
    let (_dir, mut sources) = file("[inspection]\nscope_include = ['repo:*']\n");
    sources.env = pairs(&[("ARQON_INSPECTION__REDACTION_PATHS", "password, *_ssn")]);
    let policy = Config::load(&sources).unwrap().inspection.to_policy();
    assert_eq!(
        (policy.scope_include, policy.redaction_paths),
        (vec!["repo:*".into()], vec!["password".into(), "*_ssn".into()])
    );
}

#[test]
fn a_list_in_the_environment_may_be_written_as_in_a_file_and_never_becomes_one_strange_text() {
    let include = |text: &str| {
        let env = pairs(&[("ARQON_INSPECTION__SCOPE_INCLUDE", text)]);
        let sources = Sources { env, ..Sources::default() };
        Config::load(&sources).map(|config| config.inspection.scope_include).map_err(|e| e.to_string())
    };
    for text in ["repo:*, a:b", r#"["repo:*", "a:b"]"#, "['repo:*','a:b',]"] {
        assert_eq!(include(text).unwrap(), ["repo:*", "a:b"], "{text}");
    }
    assert_eq!(include("[]").unwrap(), [""; 0]);
    for text in ["[repo:*]", r#"["repo:*""#, "[1]"] {
        assert!(include(text).unwrap_err().contains("expected a list of texts, such as"), "{text}");
    }
    for text in ["'repo:*'", "repo :*"] {
        assert!(include(text).unwrap_err().contains("scope_include[0]`: `"), "{text}");
    }
    let (_dir, mut sources) = file("[inspection]\nscope_include = ['repo:*', '[repo']\n");
    assert!(
        messages(&sources).join("\n").contains("`inspection.scope_include[1]`: `[repo` matches no address")
    );
    sources.file = None;
    sources.env = pairs(&[("ARQON_INSPECTION__REDACTION_PATTERNS", "[a-z]{9}")]);
    assert_eq!(Config::load(&sources).unwrap().inspection.redaction_patterns, ["[a-z]{9}"]);
}
