"""A client from before Arqon: plain `websockets`, the endpoint `/`, both JSON dialects, and protobuf written by hand.

It knows only the older protocol, and refuses members that the older envelope has not. What it hears it may ask for in any
order; what nobody asked for is kept, and `quiet` says that there is nothing.
"""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import secrets
import time
import tomllib

from protobuf import from_proto, to_proto
from websockets.sync.client import connect

HTTP = os.environ["ARQON_URL"]
URL = HTTP.replace("http", "ws", 1) + "/"
OWNER = os.environ["ARQON_TOKEN"]
CONFIG = tomllib.loads(pathlib.Path(__file__).with_name("arqon.toml").read_text())
SECRET = CONFIG["auth"]["jwt_secret"]
# The envelope of today, that of the first contract, and the binary one.
FORMS = ["newer", "contract", "proto"]
ALWAYS = {"id", "timestamp", "type", "version", "payload", "args", "metadata"}
SOMETIMES = {
    "room", "channel", "sender", "from_client", "to_client", "request_id", "status", "error", "error_code", "command",
}


def new_id():
    new_id.count += 1
    return f"arq_{time.time_ns()}_{new_id.count}_{secrets.token_hex(3)}"


new_id.count = 0


def new_name(what):
    return f"{what}-{secrets.token_hex(4)}"


def base64url(data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(role="admin", subject=None, secret=SECRET, **claims):
    """A token signed with the secret, for somebody of their own unless said; `None` leaves a claim out."""
    claims = {"sub": subject or new_name("older"), "role": role, "exp": time.time() + 600, **claims}
    claims = {name: value for name, value in claims.items() if value is not None}
    message = base64url({"alg": "HS256", "typ": "JWT"}) + "." + base64url(claims)
    return message + "." + base64url(hmac.digest(secret.encode(), message.encode(), hashlib.sha256))


def is_id(text, kind, digits=32):
    rest = text.removeprefix(kind)
    return text.startswith(kind) and len(rest) == digits and all(c in "0123456789abcdef" for c in rest)


class Client:
    def __init__(self, form="newer", role="admin", **how):
        self.form, self.kept = form, []
        bearer = {"Authorization": "Bearer " + (how.get("token") or token(role))}
        self.socket = connect(how.get("url", URL), additional_headers=how.get("headers", bearer))
        # Nothing was said yet, so it is in JSON.
        self.was_binary = None
        self.welcome = self.receive()
        assert not self.was_binary, self.welcome
        self.name = self.welcome["payload"]["client_id"]

    def close(self):
        self.socket.close()

    def send(self, **envelope):
        """Sends the members that are given, and those that every envelope has; `None` leaves one out."""
        envelope = {"id": new_id(), "version": "1.0", **envelope}
        envelope = {name: value for name, value in envelope.items() if value is not None}
        if self.form == "proto":
            self.socket.send(to_proto(envelope))
        else:
            envelope.setdefault("timestamp", time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()))
            self.socket.send(json.dumps(envelope))
        return envelope.get("id")

    def receive(self):
        frame = self.socket.recv(timeout=30)
        envelope = from_proto(frame) if isinstance(frame, bytes) else json.loads(frame)
        self.was_binary = isinstance(frame, bytes)
        names = set(envelope)
        assert names >= ALWAYS and names <= ALWAYS | SOMETIMES, names
        assert envelope["version"] == "1.0" and envelope["args"] == {}, envelope
        return envelope

    def take(self, **wanted):
        """The next that has these members, among what was kept and what comes."""
        fits = lambda envelope: all(envelope.get(name) == value for name, value in wanted.items())
        for kept in self.kept:
            if fits(kept):
                self.kept.remove(kept)
                return kept
        while True:
            envelope = self.receive()
            assert self.was_binary == (self.form == "proto"), envelope
            if fits(envelope):
                return envelope
            self.kept.append(envelope)

    def quiet(self):
        """Says that nothing came that nobody asked for."""
        for _ in range(2):
            self.call("op.store.get", key="nothing")
        assert self.kept == [], self.kept

    def command(self, command, /, **args):
        """Sends a command in the shape of the form."""
        if self.form == "contract":
            payload = {"command": command, "parameters": args}
            # Its ids need no more than the prefix.
            more = {"from": self.name, "id": "arq_cmd_" + secrets.token_hex(4)}
            return self.send(type="command", payload=payload, **more)
        return self.send(type="command", command=command, args=args)

    def call(self, command, /, **args):
        return self.answer(self.command(command, **args))

    def answer(self, request_id):
        """The response, behind which the acknowledgement of the first clients comes."""
        response = self.take(type="response", request_id=request_id)
        assert response["sender"] == "arqonbus", response
        assert set(response["payload"]) == {"message", "data", "metadata"}, response
        ok = response["status"] == "success"
        assert ok == ("error_code" not in response), response
        acknowledged = self.take(type="command_response", id=request_id)
        assert acknowledged["payload"] == {"result": "ok" if ok else "error"}, acknowledged
        return response

    def data(self, command, /, **args):
        response = self.call(command, **args)
        assert response["status"] == "success", response
        return response["payload"]["data"]

    def refused(self, code, command, /, **args):
        """The refusal of a command, with a code, or with that and the reason that stands among the details."""
        code, reason = code if isinstance(code, tuple) else (code, None)
        response = self.call(command, **args)
        assert (response["status"], response.get("error_code")) == ("error", code), (command, args, response)
        assert reason in [None, response["payload"]["data"].get("reason")], (command, args, response)
        assert response["error"] and response["payload"]["message"], response
        return response

    def denied(self, code, sent):
        """The `error` that a message was refused with."""
        error = self.take(type="error", request_id=sent)
        assert error["error_code"] == code and error["error"], error
        assert error["sender"] == "arqonbus", error
        return error

    def utter(self, payload, **more):
        """Sends a message in the shape of the form, and does not wait for anything."""
        if self.form == "contract":
            more = {"type": "event", "from": self.name, "id": "arq_" + secrets.token_hex(4), **more}
        return self.send(**{"type": "message", "payload": payload, **more})

    def say(self, payload, **more):
        sent = self.utter(payload, **more)
        said = self.take(type="message_response", id=sent)
        assert said["payload"] == payload, said
        return sent

    def hears(self, payload, **more):
        return self.take(type="message", payload=payload, **more)


def in_all_forms(*tests):
    """Runs each test with two clients of each form, made anew."""
    for test in tests:
        for form in FORMS:
            a, b = Client(form), Client(form)
            # Each is answered in the form that it used last, so each has to have used it.
            a.quiet()
            b.quiet()
            try:
                test(a, b)
            except BaseException as error:
                error.add_note(f"{test.__name__}, {form}")
                raise
            a.close()
            b.close()
