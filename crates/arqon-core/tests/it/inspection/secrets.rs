//! Makers of secrets: drawn at random in the forms that services give out and people write down.

use super::wording::{anywhere, member};
use super::{ALNUM, BASE64, Dice, HEX, Sample, URL64};

type Maker = fn(&mut Dice) -> (String, String);

/// A shape by itself: it may stand anywhere in a text.
const SHAPES: &[(&str, Maker)] = &[
    ("aws access key", |d| {
        one(format!("{}{}", d.pick(&["AKIA", "ASIA"]), d.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)))
    }),
    ("github token", |d| {
        one(format!("{}{}", d.pick(&["ghp_", "gho_", "ghs_", "ghu_", "ghr_"]), d.text(ALNUM, 36)))
    }),
    ("github fine-grained", |d| one(format!("github_pat_{}_{}", d.text(ALNUM, 22), d.text(ALNUM, 59)))),
    ("gitlab token", |d| one(format!("glpat-{}", d.text(URL64, 20)))),
    ("slack token", |d| {
        let (a, b) = (d.text("0123456789", 12), d.text("0123456789", 13));
        one(format!("{}-{a}-{b}-{}", d.pick(&["xoxb", "xoxp", "xoxa"]), d.text(ALNUM, 24)))
    }),
    ("slack webhook", |d| {
        let (a, b) = (
            d.text("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789", 8),
            d.text("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789", 10),
        );
        let secret = format!("T{a}/B{b}/{}", d.text(ALNUM, 24));
        (format!("https://hooks.slack.com/services/{secret}"), secret)
    }),
    ("stripe key", |d| {
        one(format!("{}{}", d.pick(&["sk_live_", "sk_test_", "rk_live_"]), d.text(ALNUM, 24)))
    }),
    ("google api key", |d| one(format!("AIza{}", d.text(URL64, 35)))),
    ("google access token", |d| one(format!("ya29.a0{}", d.text(URL64, 120)))),
    ("openai key", |d| one(format!("sk-{}", d.text(ALNUM, 48)))),
    ("openai project key", |d| one(format!("sk-proj-{}T3BlbkFJ{}", d.text(URL64, 74), d.text(URL64, 74)))),
    ("anthropic key", |d| one(format!("sk-ant-api03-{}AA", d.text(URL64, 93)))),
    ("hugging face token", |d| one(format!("hf_{}", d.text(ALNUM, 34)))),
    ("npm token", |d| one(format!("npm_{}", d.text(ALNUM, 36)))),
    ("sendgrid key", |d| one(format!("SG.{}.{}", d.text(URL64, 22), d.text(URL64, 43)))),
    ("telegram token", |d| one(format!("{}:AA{}", 1_000_000_000 + d.below(900_000_000), d.text(URL64, 33)))),
    ("digital ocean token", |d| one(format!("dop_v1_{}", d.text(HEX, 64)))),
    ("json web token", |d| {
        let head = d.pick(&["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ"]);
        let length = 80 + d.below(200);
        one(format!("{head}.eyJzdWIiOiI{}.{}", d.text(URL64, length), d.text(URL64, 43)))
    }),
    ("private key", |d| {
        let kind = d.pick(&["", "RSA ", "EC ", "OPENSSH "]);
        let lines: Vec<String> = (0..6).map(|_| d.text(BASE64, 64)).collect();
        let text = format!(
            "-----BEGIN {kind}PRIVATE KEY-----\n{}\n-----END {kind}PRIVATE KEY-----",
            lines.join("\n")
        );
        (text, lines[2].clone())
    }),
    ("bearer header", |d| {
        let length = 24 + d.below(40);
        let secret = d.text(URL64, length);
        (
            format!("{}: Bearer {secret}", d.pick(&["Authorization", "authorization", "-H 'Authorization"])),
            secret,
        )
    }),
    ("basic header", |d| {
        let secret = format!("{}==", d.text(BASE64, 22));
        (format!("Authorization: Basic {secret}"), secret)
    }),
    ("password in an address", |d| {
        let (scheme, user) = (
            d.pick(&["postgres", "mysql", "redis", "amqp", "https", "mongodb+srv"]),
            d.pick(&["app", "root", "svc", ""]),
        );
        let length = 8 + d.below(16);
        let secret = d.text(ALNUM, length);
        (format!("{scheme}://{user}:{secret}@db.internal:5432/app"), secret)
    }),
    ("assignment", |d| {
        let name = d.pick(&[
            "API_KEY",
            "password",
            "DB_PASSWORD",
            "aws_secret_access_key",
            "client_secret",
            "SECRET_KEY",
            "auth_token",
            "export GITHUB_TOKEN",
            "apikey",
            "accessToken",
        ]);
        let sign = d.pick(&["=", ": ", " = ", ":", "=\"", ": '"]);
        let length = 20 + d.below(24);
        let secret = d.text(ALNUM, length);
        let end = match sign.as_bytes()[sign.len() - 1] {
            b'"' => "\"",
            b'\'' => "'",
            _ => "",
        };
        (format!("{name}{sign}{secret}{end}"), secret)
    }),
    ("typed password", |d| {
        let word = d.pick(&["hunter", "Summer", "letmein", "dragon", "Welcome", "monkey", "Arsenal"]);
        let secret = format!("{word}{}{}", d.below(10_000), d.pick(&["", "!", "#", "$x"]));
        (
            format!(
                "{}{secret}",
                d.pick(&["password: ", "password=", "PGPASSWORD=", "passwd=", "--password ", "pwd="])
            ),
            secret,
        )
    }),
];

/// Values whose name alone says what they are.
const NAMES: &[&str] = &[
    "password",
    "dbPassword",
    "DB_PASSWORD",
    "api_key",
    "apiKey",
    "x-api-key",
    "client_secret",
    "secretKey",
    "secret",
    "access_token",
    "refreshToken",
    "token",
    "private_key",
    "passphrase",
];

fn one(secret: String) -> (String, String) {
    (secret.clone(), secret)
}

/// `count` messages, each with one secret.
pub(super) fn corpus(dice: &mut Dice, count: usize) -> Vec<Sample> {
    (0..count).map(|i| if i % 4 == 3 { named(dice) } else { shaped(dice, i) }).collect()
}

fn shaped(dice: &mut Dice, i: usize) -> Sample {
    let (kind, make) = SHAPES[(i - i / 4) % SHAPES.len()];
    let (text, secret) = make(dice);
    Sample { kind, payload: anywhere(dice, &text), secret: Some(secret) }
}

fn named(dice: &mut Dice) -> Sample {
    let name = dice.pick(NAMES);
    let secret = match name {
        "passphrase" => format!(
            "{} {} {}",
            dice.pick(&["correct", "purple", "quiet"]),
            dice.pick(&["horse", "river"]),
            dice.text(ALNUM, 6)
        ),
        "password" | "dbPassword" | "DB_PASSWORD" => {
            let length = 6 + dice.below(14);
            dice.text("abcdefghijkmnpqrstuvwxyz23456789!#%&*", length)
        }
        _ => {
            let (alphabet, length) = ([ALNUM, HEX, URL64, BASE64][dice.below(4)], 24 + dice.below(24));
            dice.text(alphabet, length)
        }
    };
    Sample { kind: "named", payload: member(dice, name, &secret), secret: Some(secret) }
}
