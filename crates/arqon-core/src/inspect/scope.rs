//! Which addresses are meant: names with `*`, as operators write them.
//!
//! Invariant: matching takes at most (length of the name × length of the pattern) steps and no memory.

/// A list of patterns. `*` stands for any text, also across `:`; so `repo:*` is a prefix and `*:prod` a suffix.
#[derive(Debug, Clone, Default)]
pub(super) struct Globs(Vec<Box<str>>);

impl Globs {
    pub(super) fn new(patterns: &[String]) -> Self {
        Globs(patterns.iter().map(|p| p.as_str().into()).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them matches `room:channel`.
    pub(super) fn matches(&self, room: &str, channel: &str) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let join = if room.is_empty() || channel.is_empty() { "" } else { ":" };
        self.0.iter().any(|glob| matches(glob.as_bytes(), &[room, join, channel]))
    }
}

/// Whether a pattern has only what addresses and the names of operations are made of.
pub(super) fn could_match(glob: &str) -> bool {
    glob.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:@/*".contains(&b))
}

/// Whether a glob matches a name, letters of either case being the same (for names of keys).
pub(super) fn matches_name(glob: &str, name: &str) -> bool {
    matches(glob.to_ascii_lowercase().as_bytes(), &[&name.to_ascii_lowercase()])
}

/// The name comes in pieces, so that nothing has to be joined for a message.
fn matches(glob: &[u8], pieces: &[&str]) -> bool {
    let total: usize = pieces.iter().map(|p| p.len()).sum();
    let byte = |mut i: usize| {
        for piece in pieces {
            if i < piece.len() {
                return piece.as_bytes()[i];
            }
            i -= piece.len();
        }
        0
    };
    // The classic two-pointer match: on a mismatch the last star takes one byte more.
    let (mut g, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < total {
        if glob.get(g) == Some(&b'*') {
            star = Some((g + 1, n));
            g += 1;
        } else if glob.get(g).is_some_and(|b| *b == byte(n)) {
            g += 1;
            n += 1;
        } else if let Some((after, taken)) = star {
            star = Some((after, taken + 1));
            g = after;
            n = taken + 1;
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        let check = |glob: &str, room: &str, channel: &str, expected: bool| {
            let globs = Globs::new(&[glob.to_owned()]);
            assert_eq!(globs.matches(room, channel), expected, "{glob} on {room}:{channel}");
        };
        check("repo:*", "repo", "main", true);
        check("repo:*", "repository", "main", false);
        check("repo*", "repository", "main", true);
        check("*", "@planner", "inbox", true);
        check("*:prod", "repo", "prod", true);
        check("*:prod", "repo", "product", false);
        check("a*b*c", "axxb", "yyc", true);
        check("a*b*c", "axxb", "yyd", false);
        check("repo:main", "repo", "main", true);
        check("repo:main", "repo", "mai", false);
        check("repo", "repo", "", true);
        check("", "repo", "main", false);
        check("***", "repo", "main", true);
    }

    #[test]
    fn what_no_address_is_made_of_is_known() {
        for good in ["repo:*", "*", "@skill/keys", "op.store.*", "a_b-c.d:e*"] {
            assert!(could_match(good), "{good}");
        }
        for wrong in ["[\"repo:*\"]", "[repo", "repo:* ", "'repo:*'", "repo:*,a:b", "größe:*"] {
            assert!(!could_match(wrong), "{wrong}");
        }
    }

    #[test]
    fn names_ignore_case() {
        assert!(matches_name("Password", "PASSWORD") && matches_name("*password*", "dbPassword2"));
        assert!(!matches_name("password", "passwords"));
    }
}
