//! Makers of what only looks like a secret: ids, hashes, pictures, code, prose about secrets, places kept for them.

use super::wording::{anywhere, member, value};
use super::{ALNUM, BASE64, Dice, HEX, Sample, URL64};

type Maker = fn(&mut Dice) -> String;

const TEXTS: &[(&str, Maker)] = &[
    ("uuid", uuid),
    ("git hash", |d| format!("commit {} by a.turing", d.text(HEX, 40))),
    ("short hash", |d| format!("{} fix the build", d.text(HEX, 8))),
    ("digest", |d| format!("image@sha256:{}", d.text(HEX, 64))),
    ("integrity", |d| format!("\"integrity\": \"sha512-{}==\"", d.text(BASE64, 86))),
    ("picture", |d| {
        let length = 400 + d.below(2000);
        format!("data:image/png;base64,iVBORw0KGgo{}=", d.text(BASE64, length))
    }),
    ("ulid", |d| format!("arq_01{}", d.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24))),
    ("trace", |d| format!("00-{}-{}-01", d.text(HEX, 32), d.text(HEX, 16))),
    ("prose", |d| {
        d.pick(&[
            "the secretary kept the secret: never tell anyone",
            "our token economy is a token of trust",
            "passwordless sign-in replaces the password: users love it",
            "the key insight, a secret ingredient: patience",
            "Password must contain at least 12 characters and 1 digit",
            "tokens: 1523 in, 802 out; token budget left: 20000",
            "reset your password: follow the link in the mail",
            "Bearer of bad news, the basic assumption was wrong",
            "basic understanding of bearer authentication required",
            "the password field is required",
            "secret santa: 24 December, token gifts only",
            "rotate the API key: see the runbook, section 4",
            "I never store a password, only its hash",
            "api key: required, string",
            "monkey: see, monkey: do",
        ])
        .to_owned()
    }),
    ("code", |d| {
        d.pick(&[
            "password = getpass.getpass()",
            "const token = await getToken(user.id)",
            "api_key = os.environ[\"API_KEY\"]",
            "if token == other.token: return None",
            "let secret = config.auth.secret.clone();",
            "def check_password(password: str) -> bool:",
            "token: Option<String>,",
            "self.password = password",
            "export TOKEN=$(cat /run/token)",
            "password=${DB_PASSWORD}",
            "secret: process.env.CLIENT_SECRET",
            "Authorization: Bearer ${TOKEN}",
            "Authorization: Bearer <token>",
            "token = tokens[i]",
            "next_token := lexer.Next()",
            "assert password != hashed_password",
            "headers={'Authorization': f'Bearer {token}'}",
        ])
        .to_owned()
    }),
    ("placeholder", |d| {
        d.pick(&[
            "API_KEY=your-api-key-here",
            "password=changeme",
            "token: <your token>",
            "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "AKIAIOSFODNN7EXAMPLE",
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "postgres://user:password@localhost/db",
            "https://user:pass@example.com",
            "password: ********",
            "secret=<redacted>",
            "postgres://${USER}:${PASS}@host/db",
            "Bearer YOUR_ACCESS_TOKEN",
            "api_key: \"INSERT_KEY_HERE\"",
            "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
            "redis://default:<password>@cache:6379",
        ])
        .to_owned()
    }),
    ("public key", |d| match d.below(3) {
        0 => format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5{} ann@host", d.text(BASE64, 48)),
        1 => format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", d.text(BASE64, 64)),
        _ => format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----", d.text(BASE64, 64)),
    }),
    ("address", |d| {
        let (id, word) = (d.text(ALNUM, 10), d.pick(&["docs", "api", "issues", "blob"]));
        format!("https://git.example.org/team/{word}/{id}?page={}#L{}", d.below(99), d.below(500))
    }),
    ("socket address", |d| {
        format!("ws://10.0.{}.{}:9100/ws and redis://cache:6379/0", d.below(255), d.below(255))
    }),
    ("user in an address", |d| format!("ssh://git@github.com:22/{}.git", d.text("abcdefgh", 8))),
    ("kebab names", |d| {
        format!("{}-sk-learn-pipeline-with-long-name-{}", d.pick(&["task", "risk", "desk"]), d.below(100))
    }),
    ("skill names", |d| {
        format!("disk-usage-report-v{} sk-learn-classifier-random-forest-tuning", d.below(9))
    }),
    ("path", |d| format!("/usr/share/secrets/token-{}/README.md", d.below(9))),
    ("log line", |d| {
        format!(
            "2026-11-21T12:00:{:02}Z INFO token_count={} elapsed_ms={} id={}",
            d.below(60),
            d.below(9000),
            d.below(999),
            d.text(HEX, 12)
        )
    }),
    ("css", |d| {
        format!(
            ".token.keyword {{ color: #{}; }} .password-field {{ width: {}px }}",
            d.text(HEX, 6),
            d.below(400)
        )
    }),
    ("numbers", |d| format!("{}-{}-{}", d.below(1000), d.below(100), d.below(10_000))),
    ("table", |d| format!("| password | string | required | min {} |", d.below(20))),
    ("long identifier", |d| format!("com.example.security.token.TokenServiceFactoryBean{}", d.below(9))),
    ("base64 of text", |d| {
        let length = 60 + d.below(200);
        format!("attachment {}", d.text(BASE64, length))
    }),
    ("dashed id", |d| format!("run-{}-{}", d.text("abcdefghijklmnopqrstuvwxyz", 8), d.text(ALNUM, 20))),
    ("nonce", |d| format!("nonce={} etag=W/\"{}\"", d.text(ALNUM, 22), d.text(HEX, 32))),
];

/// Members whose names mention secrets, with values that are none.
const MEMBERS: &[(&str, Maker)] = &[
    ("token", |d| d.pick(&["Hello", " the", "world", ".", "Ġsecret", "function", "</s>", "42"]).to_owned()),
    ("nextPageToken", |d| d.text(URL64, 40)),
    ("page_token", |d| d.text(URL64, 24)),
    ("token_type", |_| "Bearer".to_owned()),
    ("password_hash", |d| format!("$2b$12${}", d.text(ALNUM, 53))),
    ("password", |d| {
        d.pick(&[
            "",
            "string",
            "Passwort",
            "required",
            "********",
            "${PASSWORD}",
            "Your password",
            "<redacted>",
            "Mot de passe",
        ])
        .to_owned()
    }),
    ("secretName", |d| format!("db-credentials-v{}", d.below(9))),
    ("secret", |d| format!("{}-app-secret", d.pick(&["billing", "search", "mail"]))),
    ("tokenizer", |_| "cl100k_base".to_owned()),
    ("api_key", |d| {
        d.pick(&["your-api-key", "API_KEY", "{{ api_key }}", "YOUR_API_KEY", "from vault"]).to_owned()
    }),
    ("token", uuid),
    ("secret_path", |_| "/run/secrets/db".to_owned()),
    ("keyboard", |_| "qwerty-2".to_owned()),
    ("author", |d| d.text(ALNUM, 12)),
    ("session", |d| d.text(HEX, 32)),
    ("key", |d| format!("orders/{}/{}", d.below(99), d.text(HEX, 10))),
];

fn uuid(d: &mut Dice) -> String {
    let mut part = |n| d.text(HEX, n);
    format!("{}-{}-4{}-a{}-{}", part(8), part(4), part(3), part(3), part(12))
}

/// `count` messages without a secret.
pub(super) fn corpus(dice: &mut Dice, count: usize) -> Vec<Sample> {
    (0..count).map(|i| sample(dice, i)).collect()
}

fn sample(dice: &mut Dice, i: usize) -> Sample {
    match i % 8 {
        6 => {
            let (name, make) = MEMBERS[dice.below(MEMBERS.len())];
            let text = make(dice);
            Sample { kind: name, payload: member(dice, name, &text), secret: None }
        }
        7 => {
            let (n, m) = (dice.below(100_000), dice.below(2) == 0);
            let json = format!(
                "{{\"token\":{n},\"max_tokens\":{n},\"password\":{m},\"secret\":null,\"api_key\":[],\"usage\":{{\"tokens\":{n}}}}}"
            );
            Sample { kind: "numbers under names", payload: value(dice, &json), secret: None }
        }
        _ => {
            let (kind, make) = TEXTS[dice.below(TEXTS.len())];
            let text = make(dice);
            Sample { kind, payload: anywhere(dice, &text), secret: None }
        }
    }
}
