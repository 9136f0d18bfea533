//! Tokens: any text, and any claims under a good signature.
//!
//! Invariant: what was not signed by us is refused; a token that is taken has an end, a printable subject, and never a
//! role above what it says.

use arqon_core::{Code, Principal, Role};
use arqon_server::fuzzing::Tokens;
use arqon_store_contract::World;
use std::sync::OnceLock;

/// The law. The first byte chooses between a whole token and the claims of one.
///
/// # Panics
/// When it is broken.
pub fn check(data: &[u8]) {
    static TOKENS: OnceLock<Tokens> = OnceLock::new();
    let tokens = TOKENS.get_or_init(|| Tokens::new(World::new(1).clock).expect("there is randomness"));
    let Some((first, rest)) = data.split_first() else { return };
    if first % 2 == 0 {
        let text = String::from_utf8_lossy(rest);
        let error = tokens.verify(&text).expect_err("nobody else has the key");
        assert_eq!(error.code(), Code::Unauthenticated);
        return;
    }
    let token = tokens.sign(rest).expect("any bytes can be signed");
    match tokens.verify(&token) {
        Ok(principal) => taken(&principal, rest),
        Err(error) => assert_eq!(error.code(), Code::Unauthenticated, "{error}"),
    }
    let forged = format!("{}A{}", &token[..token.len() - 2], &token[token.len() - 1..]);
    assert!(forged == token || tokens.verify(&forged).is_err(), "another signature");
}

fn taken(principal: &Principal, claims: &[u8]) {
    assert!(principal.expires_at.is_some(), "a token ends");
    assert!((1..=128).contains(&principal.subject.len()) && !principal.subject.chars().any(char::is_control));
    // Escapes can hide the name of a role; most inputs have none.
    let says = |name: &str| claims.windows(name.len()).any(|w| w == name.as_bytes());
    let plain = !claims.contains(&b'\\');
    assert!(!plain || principal.role != Role::System || says("system"), "{principal:?}");
    assert!(!plain || principal.role != Role::Admin || says("admin"), "{principal:?}");
}
