//! Tokens: what is accepted, what is refused and why.

use super::*;
use arqon_core::{Code, Pattern, Timestamp};
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "a secret that is long enough for HS256";

struct Fixed(AtomicU64);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed) * 1000)
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
    fn sleep(&self, _duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

fn identity_of(change: impl FnOnce(&mut AuthConfig)) -> (Identity, Arc<Fixed>) {
    let clock = Arc::new(Fixed(AtomicU64::new(NOW)));
    let mut config = AuthConfig { jwt_secret: Some(Secret::new(SECRET)), ..AuthConfig::default() };
    change(&mut config);
    (Identity::build(&config, &["https://ok.example".to_owned()], None, clock.clone()).unwrap(), clock)
}

fn identity() -> Identity {
    identity_of(|_| ()).0
}

fn token(claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

fn refused(claims: Value) -> String {
    let error = identity().verify(&token(&claims)).unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
    format!("{}: {}", error.message(), error.hint().unwrap_or_default())
}

#[test]
fn what_is_issued_is_accepted_as_granted() {
    let (identity, clock) = identity_of(|_| ());
    let pattern = |text| vec![Pattern::parse(text).unwrap()];
    let grant = Grant {
        subject: "planner".to_owned(),
        tenant: Tenant::parse("acme").unwrap(),
        role: Role::Moderator,
        publish: Some(pattern("repo:*")),
        subscribe: Some(pattern("*")),
        ttl: Duration::from_secs(60),
    };
    let token = arqon_core::port::TokenIssuer::issue(&identity, &grant).unwrap();
    let principal = identity.verify(&token).unwrap();
    assert_eq!((&*principal.subject, principal.tenant.as_str()), ("planner", "acme"));
    assert_eq!(principal.role, Role::Moderator);
    assert_eq!(principal.publish.unwrap()[0].as_str(), "repo:*");
    assert_eq!(principal.expires_at, Some(Timestamp::from_millis((NOW + 60) * 1000)));
    clock.0.store(NOW + 59, Ordering::Relaxed);
    assert!(identity.verify(&token).is_ok());
    clock.0.store(NOW + 60, Ordering::Relaxed);
    assert_eq!(identity.verify(&token).unwrap_err().message(), "Token expired");
}

#[test]
fn claims_of_others_are_read_with_their_defaults() {
    let verify = |claims| identity().verify(&token(&claims)).unwrap();
    let plain = verify(json!({"sub": "a", "exp": NOW + 1}));
    assert_eq!((plain.tenant, plain.role), (Tenant::default(), Role::User));
    assert!(plain.publish.is_none() && plain.subscribe.is_none());
    let several =
        verify(json!({"sub": "a", "exp": NOW + 1, "roles": ["guest", "admin", "user"], "more": [1]}));
    assert_eq!(several.role, Role::Admin);
    // A role that nobody knows is the least, and takes nothing from those that are known.
    let unknown = verify(json!({"sub": "a", "exp": NOW + 1, "role": "king"}));
    assert_eq!(unknown.role, Role::Guest);
    let beside = verify(json!({"sub": "a", "exp": NOW + 1, "roles": ["king", "user"]}));
    assert_eq!(beside.role, Role::User);
}

#[test]
fn bad_claims_are_refused_with_the_reason() {
    let good = NOW + 10;
    for (claims, reason) in [
        (json!({"sub": "a"}), "`exp` is missing"),
        (json!({"exp": good}), "a claim is missing"),
        (json!({"sub": "a", "exp": "soon"}), "wrong type"),
        (json!({"sub": "a", "exp": NOW}), "Token expired"),
        (json!({"sub": "a", "exp": -5}), "not a date"),
        (json!({"sub": "a", "exp": good, "nbf": NOW + 1}), "not valid yet"),
        (json!({"sub": "a", "exp": good, "iat": NOW + 1}), "made in the future"),
        (json!({"sub": "", "exp": good}), "`sub` must be"),
        (json!({"sub": "a\nb", "exp": good}), "`sub` must be"),
        (json!({"sub": "a", "exp": good, "tenant_id": "a b"}), "`tenant_id`"),
        (json!({"sub": "a", "exp": good, "publish": ["no channel"]}), "`publish`"),
    ] {
        let said = refused(claims.clone());
        assert!(said.contains(reason), "{claims}: {said}");
    }
}

#[test]
fn the_leeway_stretches_both_ends() {
    let (identity, _) = identity_of(|c| c.leeway_seconds = Duration::from_secs(5));
    assert!(identity.verify(&token(&json!({"sub": "a", "exp": NOW - 4, "iat": NOW + 5}))).is_ok());
    assert!(identity.verify(&token(&json!({"sub": "a", "exp": NOW - 5}))).is_err());
}

#[test]
fn forged_tokens_are_refused() {
    let claims = json!({"sub": "a", "exp": NOW + 10, "role": "admin"});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(&claims));
    let other = encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(b"another key"));
    let longer =
        encode(&Header::new(Algorithm::HS512), &claims, &EncodingKey::from_secret(SECRET.as_bytes()));
    let good = token(&claims);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let swapped = format!(
        "{}.{}.{signature}",
        head.split('.').next().unwrap(),
        part(&json!({"sub": "b", "exp": NOW + 10}))
    );
    for forged in [
        unsigned,
        other.unwrap(),
        longer.unwrap(),
        swapped,
        format!("{head}."),
        "x.y.z".to_owned(),
        String::new(),
    ] {
        assert_eq!(identity().verify(&forged).unwrap_err().message(), "Invalid token", "{forged}");
    }
}

#[test]
fn tokens_of_a_configured_public_key_are_accepted_and_of_another_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let keys = [
        rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519),
        rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519),
    ]
    .map(Result::unwrap);
    let path = dir.path().join("public.pem");
    std::fs::write(&path, keys[0].public_key_pem()).unwrap();
    let (identity, _) = identity_of(|c| c.eddsa_public_keys = vec![path.display().to_string()]);
    let claims = json!({"sub": "a", "exp": NOW + 10});
    let sign = |key: &rcgen::KeyPair| {
        encode(&Header::new(Algorithm::EdDSA), &claims, &EncodingKey::from_ed_der(&key.serialize_der()))
            .unwrap()
    };
    assert_eq!(&*identity.verify(&sign(&keys[0])).unwrap().subject, "a");
    assert_eq!(identity.verify(&sign(&keys[1])).unwrap_err().message(), "Invalid token");
    // Without a configured key the algorithm is of no use to a forger.
    assert!(super::tests::identity().verify(&sign(&keys[0])).is_err());
}

fn parts(uri: &str, headers: &[(&str, &str)]) -> axum::http::request::Parts {
    let mut request = Request::builder().uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn a_token_is_found_in_the_header_or_the_query() {
    let identity = identity();
    let good = token(&json!({"sub": "a", "exp": NOW + 10}));
    let bearer = format!("bearer {good}");
    let ask = |uri: &str, headers: &[(&str, &str)]| identity.authenticate(&parts(uri, headers));
    assert_eq!(&*ask("/", &[("authorization", &bearer)]).unwrap().sender, "a");
    for name in ["token", "access_token", "auth_token"] {
        assert!(ask(&format!("/?x=1&{name}={good}"), &[]).is_ok(), "{name}");
    }
    for (uri, headers) in [("/", &[][..]), ("/?token=", &[]), ("/", &[("authorization", "Basic abc")])] {
        let error = ask(uri, headers).unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::Unauthenticated, "Missing bearer token"), "{uri}");
    }
    // A bad header is not saved by a good query: the caller must learn that it is bad.
    assert!(ask(&format!("/?token={good}"), &[("authorization", "Bearer nonsense")]).is_err());
}

#[test]
fn development_mode_lets_programs_in_and_keeps_web_pages_of_others_out() {
    let (identity, _) = identity_of(|c| c.insecure_dev = true);
    let ask =
        |headers: &[(&str, &str)]| identity.authenticate(&parts("/", headers)).map(|ctx| ctx.principal.role);
    let host = ("host", "127.0.0.1:9100");
    assert_eq!(ask(&[host]).unwrap(), Role::Admin);
    assert_eq!(ask(&[("host", "localhost")]).unwrap(), Role::Admin);
    assert!(ask(&[host, ("origin", "http://127.0.0.1:9100")]).is_ok());
    assert!(ask(&[host, ("origin", "https://ok.example")]).is_ok());
    for headers in [
        &[host, ("origin", "https://evil.example")][..],
        &[host, ("origin", "null")],
        &[("host", "evil.example:9100")],
        &[],
    ] {
        assert_eq!(ask(headers).unwrap_err().code(), Code::Forbidden, "{headers:?}");
    }
    assert_eq!(ask(&[host, ("authorization", "Bearer bad")]).unwrap_err().code(), Code::Unauthenticated);
}

#[test]
fn the_owner_finds_one_token_by_url_and_others_entries_stay() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("arqon/credentials.json");
    let identity = identity();
    let kept = dir.path().join("owner-token");
    let first = identity.keep_owner_token(&kept).unwrap();
    assert_eq!(identity.verify(&first).unwrap().role, Role::System);
    assert_eq!(identity.keep_owner_token(&kept).unwrap(), first);
    // A token of another key is of no use and is replaced.
    let other =
        Identity::build(&AuthConfig::default(), &[], None, Arc::new(Fixed(AtomicU64::new(NOW)))).unwrap();
    assert_ne!(other.keep_owner_token(&kept).unwrap(), first);

    let url = "http://127.0.0.1:9100";
    owner::leave(&file, url, &first).unwrap();
    for path in [&file, &kept] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    owner::leave(&file, "http://127.0.0.1:9200", "other").unwrap();
    owner::forget(&file, url).unwrap();
    let left: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(left["version"], 1);
    assert_eq!(left["servers"].as_object().unwrap().keys().collect::<Vec<_>>(), ["http://127.0.0.1:9200"]);

    std::fs::write(&file, "not ours").unwrap();
    assert!(owner::leave(&file, url, "x").unwrap_err().to_string().contains("is not a credentials file"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not ours");
}

#[test]
fn the_places_of_a_token_are_looked_at_in_their_order() {
    let identity = identity();
    let of = |name: &str| token(&json!({"sub": name, "exp": NOW + 10}));
    let who = |uri: &str, headers: &[(&str, &str)]| {
        identity.authenticate(&parts(uri, headers)).map(|ctx| ctx.sender.to_string())
    };
    let bearer = format!("Bearer {}", of("header"));
    let query = format!("/?auth_token={}&access_token={}&token={}", of("third"), of("second"), of("first"));
    assert_eq!(who(&query, &[("authorization", &bearer)]).unwrap(), "header");
    assert_eq!(who(&query, &[]).unwrap(), "first");
    let query = format!("/?auth_token={}&access_token={}&token=", of("third"), of("second"));
    assert_eq!(who(&query, &[]).unwrap(), "second", "an empty one is none");
    // What a proxy says about itself is no token.
    assert_eq!(who(&query, &[("authorization", "Basic dXNlcjpwYXNz")]).unwrap(), "second");
    let both = [("authorization", "Basic dXNlcjpwYXNz"), ("authorization", bearer.as_str())];
    assert_eq!(who("/", &both).unwrap(), "header");
}

#[test]
fn a_secret_is_changed_without_turning_anybody_away() {
    let old = token(&json!({"sub": "a", "exp": NOW + 10}));
    let issued = identity().owner_token().unwrap();
    const NEW: &str = "another secret that is long enough for it";
    let (changing, _) = identity_of(|c| {
        c.jwt_secret = Some(Secret::new(NEW));
        c.previous_jwt_secrets = Secrets::new(vec![Secret::new(SECRET)]);
    });
    for token in [&old, &issued, &changing.owner_token().unwrap()] {
        assert!(changing.verify(token).is_ok(), "{token}");
    }
    let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    assert_ne!(kid(&issued), kid(&changing.owner_token().unwrap()));
    let (changed, _) = identity_of(|c| c.jwt_secret = Some(Secret::new(NEW)));
    assert_eq!(changed.verify(&issued).unwrap_err().message(), "Invalid token");
    assert!(changed.verify(&changing.owner_token().unwrap()).is_ok());
    // A token that names one key is not tried with the others.
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(kid(&issued));
    let claims = json!({"sub": "a", "exp": NOW + 10});
    let wrong = encode(&header, &claims, &EncodingKey::from_secret(NEW.as_bytes())).unwrap();
    assert_eq!(changing.verify(&wrong).unwrap_err().message(), "Invalid token");
    header.kid = Some("what-others-call-it".to_owned());
    let unnamed = encode(&header, &claims, &EncodingKey::from_secret(NEW.as_bytes())).unwrap();
    assert!(changing.verify(&unnamed).is_ok());
}

#[test]
fn tokens_are_signed_with_a_private_key_where_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let keys = [(); 2].map(|()| rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap());
    let public = [0, 1].map(|i| write(&format!("public-{i}.pem"), keys[i].public_key_pem()));
    let private = write("private.pem", keys[1].serialize_pem());
    let (identity, _) = identity_of(|c| {
        c.eddsa_private_key = Some(private.clone());
        c.eddsa_public_keys = vec![format!("ours={}", public[1].display())];
    });
    let token = identity.owner_token().unwrap();
    let header = jsonwebtoken::decode_header(&token).unwrap();
    assert_eq!((header.alg, header.kid.as_deref()), (Algorithm::EdDSA, Some("ours")));
    assert_eq!(identity.verify(&token).unwrap().role, Role::System);
    // Who has the public half alone can verify it.
    let (other, _) = identity_of(|c| c.eddsa_public_keys = vec![public[1].display().to_string()]);
    assert!(other.verify(&token).is_ok());
    let config = AuthConfig { eddsa_private_key: Some(private), ..AuthConfig::default() };
    let refused = Identity::build(&config, &[], None, Arc::new(Fixed(AtomicU64::new(NOW)))).err().unwrap();
    assert!(format!("{refused:#}").contains("its public half is not among"), "{refused:#}");
}

#[test]
fn the_whole_server_is_for_the_api_key_and_for_the_role_system() {
    let (identity, _) = identity_of(|c| c.api_key = Some(Secret::new("0123456789abcdef")));
    let ask = |headers: &[(&str, &str)]| {
        let ctx = identity.authenticate_operator(&parts("/", headers));
        ctx.map(|ctx| ctx.sender.to_string()).map_err(|e| e.code())
    };
    assert_eq!(ask(&[("x-api-key", "0123456789abcdef")]), Ok("api-key".to_owned()));
    for wrong in ["0123456789abcdeF", "0123456789abcde", ""] {
        assert_eq!(ask(&[("x-api-key", wrong)]), Err(Code::Unauthenticated), "{wrong}");
    }
    let bearer =
        |role: &str| format!("Bearer {}", token(&json!({"sub": "a", "exp": NOW + 10, "role": role})));
    assert_eq!(ask(&[("authorization", &bearer("system"))]), Ok("a".to_owned()));
    assert_eq!(ask(&[("authorization", &bearer("admin"))]), Err(Code::Forbidden));
    assert_eq!(ask(&[]), Err(Code::Unauthenticated));
    // Where no key is configured none opens anything.
    let plain = super::tests::identity();
    assert!(plain.authenticate_operator(&parts("/", &[("x-api-key", "")])).is_err());
}
