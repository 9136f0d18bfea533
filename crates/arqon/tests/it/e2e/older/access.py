"""Who may come in: where a token stands, what it says, how it is signed, and what strangers are told."""

import json
import time

import ed25519
from client import CONFIG, OWNER, URL, Client, base64url, new_name, token
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect


def stranger(details, url=URL, headers=None):
    try:
        connect(url, additional_headers=headers or {})
    except InvalidStatus as refusal:
        response = refusal.response
        assert response.status_code == 401, response
        assert json.loads(response.body) == {"error": "Unauthorized", "details": details}, response.body
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="arqonbus"', response.headers
        assert response.headers["Content-Type"] == "application/json", response.headers
    else:
        raise AssertionError(f"somebody was let in who should hear {details}")


def let_in(url=URL, headers=None):
    client = Client(url=url, headers=headers or {})
    info = client.data("ping")["client_info"]
    client.close()
    return info


def bearer(text):
    return {"Authorization": "Bearer " + text}


def tokens_stand_in_four_places():
    good, bad = token(), "x.y.z"
    stranger("Missing bearer token")
    stranger("Missing bearer token", url=URL + "?token=")
    let_in(headers=bearer(good))
    for name in ["token", "access_token", "auth_token"]:
        let_in(url=f"{URL}?{name}={good}")
        stranger("Invalid token", url=f"{URL}?{name}={bad}")
    # The first of them that is there counts.
    places = ["token", "access_token", "auth_token"]
    stranger("Invalid token", url=f"{URL}?token={good}", headers=bearer(bad))
    let_in(url=f"{URL}?token={bad}", headers=bearer(good))
    for first, second in zip(places, places[1:]):
        for query in [(first, second), (second, first)]:
            said = {first: good, second: bad}
            let_in(url=URL + "?" + "&".join(f"{name}={said[name]}" for name in query))
            said = {first: bad, second: good}
            stranger("Invalid token", url=URL + "?" + "&".join(f"{name}={said[name]}" for name in query))


def claims_say_who_it_is():
    info = let_in(headers=bearer(token(role=None, subject="somebody")))
    assert (info["subject"], info["tenant"], info["role"]) == ("somebody", "default", "user"), info
    for role in ["guest", "user", "moderator", "admin"]:
        assert let_in(headers=bearer(token(role=role, tenant_id="acme")))["role"] == role
    info = let_in(headers=bearer(token(tenant_id="acme")))
    assert info["tenant"] == "acme", info
    # A role that nobody knows has the least rights.
    assert let_in(headers=bearer(token(role="unheard-of")))["role"] == "guest"
    assert let_in(headers=bearer(OWNER))["role"] == "system"


def times_are_held_to_the_second():
    now = time.time()
    # There is no leeway: a moment later it is over, and a minute earlier it is not there yet.
    let_in(headers=bearer(token(exp=now + 60, nbf=now - 1, iat=now - 1)))
    let_in(headers=bearer(token(exp=now + 60.5)))
    for wrong in [{"exp": now - 1}, {"exp": 0}, {"nbf": now + 60}, {"iat": now + 60}]:
        stranger("Invalid token", headers=bearer(token(**wrong)))
    for name in ["exp", "nbf", "iat"]:
        for value in ["soon", [now + 60], {"at": now + 60}, True]:
            stranger("Invalid token", headers=bearer(token(**{name: value})))
    # A token without an end would never be taken back.
    stranger("Invalid token", headers=bearer(token(exp=None)))


def signatures_are_checked():
    good = token()
    head, claims, signature = good.split(".")
    forged = base64url({"sub": "owner", "role": "system", "exp": time.time() + 60})
    none = base64url({"alg": "none", "typ": "JWT"})
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    for wrong in ["", "x", "x.y.z", f"{head}.{claims}", f"{head}.{claims}.", f"{head}.{forged}.{signature}",
                  f"{head}.{claims}.{flipped}", f"{none}.{claims}.", f"{none}.{claims}.{signature}"]:
        if wrong:
            stranger("Invalid token", headers=bearer(wrong))
    stranger("Invalid token", headers=bearer(token(secret="some other secret of thirty-two bytes")))


def keys_are_changed_without_turning_anybody_away():
    of_last_year = CONFIG["auth"]["previous_jwt_secrets"][0]
    assert let_in(headers=bearer(token(secret=of_last_year)))["role"] == "admin"
    # What the server makes now is signed with the new one.
    client = Client()
    made = client.data("create_token", subject="made", role="user")["token"]
    assert let_in(headers=bearer(made))["subject"] == "made"


def a_provider_signs_with_ed25519():
    claims = {"sub": new_name("provided"), "role": "moderator", "exp": time.time() + 60}

    def provided(seed, **header):
        message = base64url({"alg": "EdDSA", "typ": "JWT", **header}) + "." + base64url(claims)
        return message + "." + base64url(ed25519.sign(seed, message.encode()))

    for header in [{"kid": "provider"}, {}]:
        info = let_in(headers=bearer(provided(bytes(32), **header)))
        assert (info["subject"], info["role"]) == (claims["sub"], "moderator"), info
        stranger("Invalid token", headers=bearer(provided(b"\1" * 32, **header)))
    # The public key is no secret: with it as one, nothing is signed.
    stranger("Invalid token", headers=bearer(provided(bytes(32), alg="HS256")))


def main():
    tokens_stand_in_four_places()
    claims_say_who_it_is()
    times_are_held_to_the_second()
    signatures_are_checked()
    keys_are_changed_without_turning_anybody_away()
    a_provider_signs_with_ed25519()
    print("ok")


main()
