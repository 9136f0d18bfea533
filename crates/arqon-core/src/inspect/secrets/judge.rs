//! Tells a secret from what only looks like one: placeholders, names of things, words of prose, pieces of code.
//!
//! Invariant: the answer depends on the texts given and nothing else; the work is bounded by their length.

/// How much a name says about its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::inspect) enum Name {
    /// Passwords: any value that people could have typed.
    Password,
    /// A pass phrase: words, with spaces.
    Phrase,
    /// Keys and secrets that machines make.
    Key,
    /// `token`, which also means a piece of text, a place in a list and much else.
    Token,
}

/// Endings of names, without case and separators; the longest first where one ends with another.
const ENDINGS: [(&str, Name); 21] = [
    ("passphrase", Name::Phrase),
    ("password", Name::Password),
    ("passwd", Name::Password),
    ("pwd", Name::Password),
    ("secretkey", Name::Key),
    ("secretaccesskey", Name::Key),
    ("accesskey", Name::Key),
    ("apikey", Name::Key),
    ("privatekey", Name::Key),
    ("accountkey", Name::Key),
    ("signingkey", Name::Key),
    ("encryptionkey", Name::Key),
    ("clientsecret", Name::Key),
    ("secret", Name::Key),
    ("accesstoken", Name::Key),
    ("refreshtoken", Name::Key),
    ("authtoken", Name::Key),
    ("apitoken", Name::Key),
    ("bottoken", Name::Key),
    ("credentials", Name::Key),
    ("token", Name::Token),
];

/// Tokens that are places in a list or guards of forms, not credentials.
const PLACES: [&str; 9] =
    ["page", "next", "continuation", "cursor", "sync", "csrf", "xsrf", "stop", "cancellation"];

/// What a name says, if it names a secret at all.
pub(in crate::inspect) fn names_secret(name: &str) -> Option<Name> {
    if name.len() > 96 || name.len() < 3 {
        return None;
    }
    let mut folded = [0u8; 96];
    let mut length = 0;
    for byte in name.bytes().filter(|b| !matches!(b, b'_' | b'-' | b'.' | b' ')) {
        folded[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    let folded = &folded[..length];
    let (_, kind) = ENDINGS.iter().find(|(ending, _)| folded.ends_with(ending.as_bytes()))?;
    let place = || PLACES.iter().any(|place| folded.windows(place.len()).any(|w| w == place.as_bytes()));
    if *kind == Name::Token && place() { None } else { Some(*kind) }
}

/// Whether the value of a JSON member (or a quoted value in a text) is a secret, given what its name says.
pub(in crate::inspect) fn value_is_secret(name: Name, value: &str) -> bool {
    let value = value.trim();
    if value.len() > 16 * 1024 || is_placeholder(value) || is_place(value) {
        return false;
    }
    if name == Name::Phrase {
        return value.len() >= 8;
    }
    if value.contains(char::is_whitespace) {
        // `Basic dXNlcjpwYXNz` and the like have shapes of their own; the rest is prose.
        return false;
    }
    match name {
        Name::Password => value.len() >= 4 && !is_title(value),
        Name::Key => value.len() >= 8 && !is_name(value) && is_mixed(value),
        Name::Token => value.len() >= 16 && !is_name(value) && !is_uuid(value) && looks_random(value),
        Name::Phrase => true,
    }
}

/// Whether an assignment in a text is of a secret. `before` ends where the value begins; `whole` is the assignment from
/// its keyword on.
pub(super) fn assignment_is_secret(before: &str, value: &str, whole: &str) -> bool {
    let head = &whole[..whole.len().min(whole.len() - value.len())];
    let keyword: &str = head.trim_start_matches('-');
    let keyword =
        &keyword[..keyword.find([':', '=', '"', '\'', '`', '\\', ' ', '\t', '\n']).unwrap_or(keyword.len())];
    // The name may begin before its keyword: `aws_secret_access_key`.
    let start = &before[..before.len() - head.len()];
    let is_part = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let lead: usize = start.chars().rev().take(40).take_while(is_part).count();
    let name = format!("{}{keyword}", &start[start.len() - lead..]);
    let Some(kind) = names_secret(&name) else { return false };
    let value = value.trim_end_matches(['.', ')', ']', '}', '!', '?', '*', '|']);
    if head.ends_with(['"', '\'']) {
        return value_is_secret(kind, value);
    }
    // Without quotes, code and prose are near: `password = getpass()`, "the secret: never give up".
    let code = is_code(value);
    let telling = |c: char| c.is_ascii_digit() || "!@#%^&*+=~".contains(c);
    let long_enough = value.len() >= if kind == Name::Password { 5 } else { 8 };
    long_enough && !code && value.contains(telling) && value_is_secret(kind, value)
}

/// Whether what stands between the colon and the `@` of an address is a password.
pub(super) fn password_in_address(password: &str, whole: &str) -> bool {
    let user = whole.split("://").nth(1).and_then(|rest| rest.split(':').next()).unwrap_or_default();
    let stand_in = ["pass", "passwd", "pwd", "pw", "mypassword", "mypass"].contains(&password);
    user != password && !stand_in && !is_placeholder(password)
}

/// Whether a value says itself that it stands for something else.
pub(super) fn is_placeholder(value: &str) -> bool {
    const WORDS: [&str; 27] = [
        "password",
        "passwd",
        "secret",
        "token",
        "apikey",
        "api_key",
        "api-key",
        "string",
        "text",
        "none",
        "null",
        "undefined",
        "true",
        "false",
        "required",
        "optional",
        "hidden",
        "masked",
        "redacted",
        "changeme",
        "change-me",
        "change_me",
        "default",
        "unknown",
        "invalid",
        "number",
        "boolean",
    ];
    const PARTS: [&str; 15] = [
        "example",
        "placeholder",
        "your-",
        "your_",
        "yourapi",
        "yourpass",
        "xxxx",
        "****",
        "....",
        "redacted",
        "dummy",
        "replace",
        "insert",
        "goes-here",
        "goes_here",
    ];
    let first = value.chars().next();
    if first.is_none_or(|c| matches!(c, '<' | '$' | '%' | '{' | '[' | '…' | '•')) {
        return true;
    }
    if value.chars().all(|c| Some(c) == first) || value.contains("${") || value.contains("{{") {
        return true;
    }
    // What is long is no placeholder, however it is spelt; and lower-casing it would cost.
    if value.len() > 256 {
        return false;
    }
    let lower = value.to_ascii_lowercase();
    WORDS.contains(&lower.as_str()) || PARTS.iter().any(|part| lower.contains(part)) || counts_up(&lower)
}

/// `0123456789`, `abcdefghij…`, `1234567890abcdef`: typed along the rows. Short ones are real passwords.
fn counts_up(value: &str) -> bool {
    let bytes = value.as_bytes();
    let steps = bytes.windows(2).filter(|w| w[1] == w[0].wrapping_add(1)).count();
    bytes.len() >= 16 && steps * 4 >= bytes.len() * 3
}

/// As mixed as something drawn at random: letters and digits, many different ones, not made of words.
pub(super) fn looks_random(value: &str) -> bool {
    let bytes = value.as_bytes();
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    let mut seen = 0u128;
    for byte in bytes.iter().filter(|b| b.is_ascii()) {
        seen |= 1 << byte;
    }
    let different = seen.count_ones();
    if bytes.len() < 12 || different < 8 {
        return false;
    }
    let upper = bytes.iter().any(u8::is_ascii_uppercase);
    let lower = bytes.iter().any(u8::is_ascii_lowercase);
    let mixed = (digits > 0 && (upper || lower)) || (upper && lower && different >= 14);
    mixed && !is_name(value)
}

/// Letters of both cases, or letters and digits, or something beside both.
fn is_mixed(value: &str) -> bool {
    let has = |test: fn(&u8) -> bool| value.as_bytes().iter().any(test);
    let (digit, upper, lower) =
        (has(u8::is_ascii_digit), has(u8::is_ascii_uppercase), has(u8::is_ascii_lowercase));
    let other = has(|b| !b.is_ascii_alphanumeric());
    (digit && (upper || lower)) || (upper && lower && value.len() >= 16) || (other && digit)
}

/// A path, an address of the web, or a reference to a store of secrets.
fn is_place(value: &str) -> bool {
    value.starts_with(['/', '.', '~', '@'])
        || value.contains("://")
        || value.starts_with("arn:")
        || value.contains(":/")
}

/// Words and versions joined by separators: `db-credentials-v2`, `kube-system/oauth2.token.3`.
fn is_name(value: &str) -> bool {
    let segments = || value.split(['-', '_', '.', '/', ':']);
    segments().count() > 1 && segments().all(|s| is_numbered_word(s) || is_version(s))
}

/// What code writes without quotes: a call, a pointer, a path of fields, a name in snake case, one word.
fn is_code(value: &str) -> bool {
    let field = |s: &str| s.len() <= 32 && s.split('_').all(|part| part.is_empty() || is_numbered_word(part));
    value.contains(['(', '[', '{'])
        || value.starts_with(['*', '&'])
        || is_word(value)
        || (value.contains(['.', '_', '>', ':']) && value.split(['.', '-', '>', ':']).all(field))
}

/// A word with at most two digits behind it: `oauth2`, `u32`.
fn is_numbered_word(text: &str) -> bool {
    let word = text.trim_end_matches(|c: char| c.is_ascii_digit());
    text.len() - word.len() <= 2 && is_word(word)
}

/// Letters as words have them: one case, or a capital first, and a vowel now and then.
fn is_word(text: &str) -> bool {
    let rest = text.get(1..).unwrap_or_default();
    let letters = text.bytes().all(|b| b.is_ascii_alphabetic());
    let case = rest.bytes().all(|b| b.is_ascii_lowercase()) || text.bytes().all(|b| b.is_ascii_uppercase());
    letters && case && text.len() <= 16
}

/// `2`, `v2`, `2024`.
fn is_version(text: &str) -> bool {
    let digits = text.strip_prefix('v').unwrap_or(text);
    digits.len() <= 4 && digits.bytes().all(|b| b.is_ascii_digit())
}

/// One word with a capital first: a label of a form.
fn is_title(value: &str) -> bool {
    let mut chars = value.chars();
    let capital = chars.next().is_some_and(char::is_uppercase);
    capital && chars.all(|c| c.is_alphabetic() && c.is_lowercase())
}

fn is_uuid(value: &str) -> bool {
    let bytes = value.as_bytes();
    let dash = |i| matches!(i, 8 | 13 | 18 | 23);
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(i, b)| if dash(i) { *b == b'-' } else { b.is_ascii_hexdigit() })
}
