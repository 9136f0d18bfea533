//! The shapes by themselves: they compile, their stems cover them, and they cost a constant per byte.

use super::*;
use regex::Regex;

#[test]
fn every_shape_compiles_and_has_a_name_of_its_own() {
    for set in [KNOWN, OLDER] {
        for (i, shape) in set.iter().enumerate() {
            assert!(Regex::new(shape.stem).is_ok(), "{}", shape.name);
            assert!(Regex::new(shape.pattern).is_ok(), "{}", shape.name);
            assert!(set[..i].iter().all(|other| other.name != shape.name), "{}", shape.name);
        }
    }
}

#[test]
fn names_say_what_their_values_are() {
    for (name, expected) in [
        ("password", Some(Name::Password)),
        ("DB_PASSWORD", Some(Name::Password)),
        ("dbPassword", Some(Name::Password)),
        ("x-api-key", Some(Name::Key)),
        ("aws_secret_access_key", Some(Name::Key)),
        ("clientSecret", Some(Name::Key)),
        ("token", Some(Name::Token)),
        ("nextPageToken", None),
        ("max_tokens", None),
        ("token_count", None),
        ("secretary", None),
        ("password_hash", None),
        ("keyboard", None),
    ] {
        assert_eq!(names_secret(name), expected, "{name}");
    }
}

#[test]
fn values_are_judged_by_what_their_name_says() {
    for (name, value, expected) in [
        (Name::Password, "hunter2", true),
        (Name::Password, "letmein", true),
        (Name::Password, "Passwort", false),
        (Name::Password, "must be eight characters", false),
        (Name::Password, "${DB_PASSWORD}", false),
        (Name::Password, "********", false),
        (Name::Password, "/forgot-password", false),
        (Name::Phrase, "correct horse battery staple", true),
        (Name::Key, "db-credentials-v2", false),
        (Name::Key, "5f4dcc3b5aa765d61d8327deb882cf99", true),
        (Name::Key, "your-api-key-1", false),
        (Name::Token, "Hello", false),
        (Name::Token, "123e4567-e89b-12d3-a456-426614174000", false),
        (Name::Token, "Zk3v9QpL7xW2mN8bR4tY", true),
    ] {
        assert_eq!(value_is_secret(name, value), expected, "{name:?} {value}");
    }
}

#[test]
fn code_is_told_from_what_people_assign() {
    let check = |text: &str, expected: bool| {
        let shape = KNOWN.iter().find(|shape| shape.name == "assignment").unwrap();
        let head = Regex::new(shape.pattern).unwrap().find(text).unwrap();
        let end = text[head.end()..].find(|c: char| c.is_whitespace() || "\"',;\\".contains(c));
        let value = head.end()..end.map_or(text.len(), |end| head.end() + end);
        let whole = &text[head.start()..value.end];
        assert_eq!(shape.accepts(&text[..value.start], &text[value.clone()], whole), expected, "{text}");
    };
    for code in [
        "pub pw_passwd: *const c_char",
        "log_passwd: __u32,",
        "colon2_token: node.colon2_token,",
        "EVP_PKEY *signing_key = has_pkcs8 ? a : b",
        "password = getpass()",
        "secret: self.config.auth2.secret",
        "token=state->next_token",
        "api_key: settings::API_KEY_2",
        "the secret: never give up 100 times",
        "password_hash: x password: &str",
    ] {
        check(code, false);
    }
    for secret in [
        "password=hunter2",
        "PGPASSWORD=Tr0ub4dor&3 psql",
        "db_password: s3cr3t-Value!",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzz99",
        "token=Zk3v9QpL7xW2mN8bR4tY",
        "{\\\"password\\\":\\\"letmein\\\"}",
    ] {
        check(secret, true);
    }
}
