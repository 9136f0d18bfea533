"""A client from before Arqon: plain `websockets`, the endpoint `/`, both JSON dialects, and protobuf written by hand.

It knows only the older protocol, and refuses members that the older envelope has not. Exits 0 when every expectation
held; otherwise says which one did not.
"""

import json
import os
import secrets
import struct
import time

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

URL = os.environ["ARQON_URL"].replace("http", "ws", 1) + "/"
TOKEN = os.environ["ARQON_TOKEN"]
AUTHORIZATION = {"Authorization": "Bearer " + TOKEN}
ALWAYS = {"id", "timestamp", "type", "version", "payload", "args", "metadata"}
SOMETIMES = {
    "room", "channel", "sender", "from_client", "to_client", "request_id", "status", "error", "error_code", "command",
}


def new_id():
    new_id.count += 1
    return f"arq_{time.time_ns()}_{new_id.count}_{secrets.token_hex(3)}"


new_id.count = 0


# Protobuf by hand: fields are (number, value) with text, bytes, ints and floats.

def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, bool) or isinstance(value, int):
        return varint(number << 3) + varint(int(value))
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(data):
    """The fields of a message: number → list of values."""
    found, at = {}, 0

    def number():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            value = number()
        elif tag & 7 == 1:
            value, at = struct.unpack("<d", data[at : at + 8])[0], at + 8
        elif tag & 7 == 2:
            size = number()
            value, at = data[at : at + size], at + size
        else:
            raise AssertionError(f"wire type {tag & 7}")
        found.setdefault(tag >> 3, []).append(value)
    return found


def to_struct(obj):
    return b"".join(field(1, field(1, name) + field(2, to_value(value))) for name, value in obj.items())


def to_value(value):
    if value is None:
        return field(1, 0)
    if isinstance(value, bool):
        return field(4, value)
    if isinstance(value, (int, float)):
        return field(2, float(value))
    if isinstance(value, str):
        return field(3, value)
    if isinstance(value, dict):
        return field(5, to_struct(value))
    return field(6, b"".join(field(1, to_value(item)) for item in value))


def from_struct(data):
    pairs = [fields(entry) for entry in fields(data).get(1, [])]
    return {entry[1][0].decode(): from_value(entry.get(2, [b""])[0]) for entry in pairs}


def from_value(data):
    for number, values in fields(data).items():
        value = values[-1]
        return {
            1: lambda: None,
            2: lambda: value,
            3: lambda: value.decode(),
            4: lambda: bool(value),
            5: lambda: from_struct(value),
            6: lambda: [from_value(item) for item in fields(value).get(1, [])],
        }[number]()


INNER = {1: "id", 2: "type", 3: "version", 4: "sender", 5: "channel", 6: "command", 7: "request_id", 8: "status",
         9: "error", 10: "error_code", 11: "from_client", 12: "to_client"}


def to_proto(envelope):
    inner = b"".join(field(n, envelope[name]) for n, name in INNER.items() if envelope.get(name))
    for number, name in [(20, "payload"), (21, "args"), (22, "metadata")]:
        if name in envelope:
            inner += field(number, to_struct(envelope[name]))
    content = field(1, envelope["type"]) + field(2, inner)
    outer = field(1, envelope["id"]) + field(4, int(time.time() * 1000))
    if envelope.get("room"):
        outer += field(3, envelope["room"])
    return outer + field(20 if envelope["type"] == "command" else 21, content)


def from_proto(data):
    outer = fields(data)
    inner = fields(fields(outer.get(21, outer.get(20))[0])[2][0])
    envelope = {name: inner[n][0].decode() for n, name in INNER.items() if n in inner}
    for number, name in [(20, "payload"), (21, "args"), (22, "metadata")]:
        envelope[name] = from_struct(inner[number][0]) if number in inner else {}
    if 3 in outer:
        envelope["room"] = outer[3][0].decode()
    assert outer[1][0].decode() == envelope["id"], envelope
    envelope["timestamp"] = outer[4][0]
    return envelope


class Client:
    def __init__(self, binary=False, **how):
        self.binary = binary
        self.socket = connect(how.get("url", URL), additional_headers=how.get("headers", AUTHORIZATION))
        # The welcome is in JSON: nothing was said yet.
        welcome = self.receive()
        assert welcome["type"] == "message" and welcome["sender"] == "arqonbus", welcome
        assert welcome["payload"]["welcome"] == "Connected to ArqonBus", welcome
        self.name = welcome["payload"]["client_id"]
        assert self.name.startswith("arq_client_"), welcome

    def send(self, **envelope):
        envelope = {"id": new_id(), "version": "1.0", **envelope}
        if self.binary:
            self.socket.send(to_proto(envelope))
        else:
            envelope.setdefault("timestamp", time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()))
            self.socket.send(json.dumps(envelope))
        return envelope["id"]

    def receive(self):
        frame = self.socket.recv(timeout=20)
        envelope = from_proto(frame) if isinstance(frame, bytes) else json.loads(frame)
        self.was_binary = isinstance(frame, bytes)
        names = set(envelope)
        assert names >= ALWAYS and names <= ALWAYS | SOMETIMES, names
        return envelope

    def call(self, command, **args):
        return self.answer(self.send(type="command", command=command, args=args))

    def call_of_the_contract(self, command, **args):
        payload = {"command": command, "parameters": args}
        return self.answer(self.send(type="command", payload=payload, **{"from": self.name}))

    def answer(self, request_id):
        response = self.receive()
        assert response["type"] == "response" and response["request_id"] == request_id, response
        acknowledged = self.receive()
        assert acknowledged["type"] == "command_response" and acknowledged["id"] == request_id, acknowledged
        if response["status"] == "success":
            assert acknowledged["payload"] == {"result": "ok"}, acknowledged
            assert set(response["payload"]) >= {"message", "data", "metadata"}, response
        return response

    def data(self, command, **args):
        response = self.call(command, **args)
        assert response["status"] == "success", response
        return response["payload"]["data"]

    def say(self, payload, **more):
        sent = self.send(**{"type": "message", "payload": payload, **more})
        said = self.receive()
        assert said["type"] == "message_response" and said["id"] == sent and said["payload"] == payload, said

    def hears(self, payload):
        heard = self.receive()
        assert heard["type"] == "message" and heard["payload"] == payload, heard
        assert self.was_binary == self.binary, heard
        return heard


def strangers_are_refused():
    for headers in [{}, {"Authorization": "Bearer x.y.z"}]:
        try:
            connect(URL, additional_headers=headers)
        except InvalidStatus as refusal:
            assert refusal.response.status_code == 401, refusal.response
            assert json.loads(refusal.response.body)["error"] == "Unauthorized", refusal.response.body
            assert refusal.response.headers["WWW-Authenticate"].startswith("Bearer"), refusal.response.headers
        else:
            raise AssertionError("a client without a token was let in")
    for name in ["token", "access_token", "auth_token"]:
        Client(url=f"{URL}?{name}={TOKEN}", headers={}).socket.close()


def channels(a, b):
    joined = a.data("join_channel", room="science", channel="explore")
    assert joined["channel_name"] == "explore" and joined["joined_by"] == a.name, joined
    assert b.call_of_the_contract("join_channel", room="science", channel="explore")["status"] == "success"
    a.say({"n": 1, "text": "größer"}, room="science", channel="explore", metadata={"sequence": 1})
    heard = b.hears({"n": 1, "text": "größer"})
    assert (heard["room"], heard["channel"], heard["sender"]) == ("science", "explore", a.name), heard
    assert heard["metadata"] == {"sequence": 1}, heard
    a.say({"n": 2}, room="science:explore")
    b.hears({"n": 2})
    a.say({"n": 3})
    b.hears({"n": 3})
    if not a.binary:
        a.say({"n": 4}, type="event", room="science", channel="explore", **{"from": a.name, "id": "arq_7f3a1b2c"})
        b.hears({"n": 4})
        a.say({"n": 5}, room="science", channel="explore", timestamp="2026-02-20T10:00:00Z")
        assert b.hears({"n": 5})["timestamp"].startswith("2026-02-20T10:00:00"), "the sender's time"
    listed = a.data("list_channels", room="science")
    assert "explore" in [channel["name"] for channel in listed["channels"]], listed
    info = a.data("channel_info", room="science", channel="explore")
    assert info["member_count"] == 2, info
    said = a.data("history", room="science", channel="explore", limit=50)["history"]
    assert [entry["payload"]["n"] for entry in said if entry["sender"] == a.name][:3] == [1, 2, 3], said
    assert b.data("leave_channel", room="science", channel="explore")["channel_name"] == "explore"
    a.say({"n": 6})
    assert b.call("ping")["payload"]["message"].startswith("Pong!")


def privately(a, b):
    a.say({"n": 1}, to_client=b.name)
    heard = b.hears({"n": 1})
    assert (heard["to_client"], heard["sender"]) == (b.name, a.name), heard
    b.say({"target": a.name, "n": 2}, room="science", channel="pm")
    a.hears({"target": a.name, "n": 2})
    b.say({"target": a.name, "n": 3}, type="private", room="science")
    a.hears({"target": a.name, "n": 3})
    sent = a.send(type="message", to_client="arq_client_" + "0" * 32, payload={})
    error = a.receive()
    assert (error["type"], error["request_id"], error["error_code"]) == ("error", sent, "NOT_FOUND"), error


def commands(a):
    status = a.data("status")
    assert status["version"], status
    assert "join_channel" in a.data("help")["available_commands"]
    failed = a.call("no_such_command")
    assert (failed["status"], failed["error_code"]) == ("error", "UNKNOWN_COMMAND"), failed
    a.data("op.store.set", key="plan", value={"n": 1}, namespace="older")
    assert a.data("op.store.get", key="plan", namespace="older")["value"] == {"n": 1}
    created = a.data("create_channel", room="science", channel="own-" + secrets.token_hex(4))
    assert created["created_by"] == a.name, created
    again = a.call("create_channel", room="science", channel=created["channel_name"])
    assert again["error_code"] == "CHANNEL_EXISTS", again
    a.data("delete_channel", room="science", channel=created["channel_name"])
    job = a.data("op.cron.schedule", room="science", channel="explore", payload={"cron": 1}, delay_seconds=0.05)
    heard = a.hears({"cron": 1})
    assert heard["metadata"]["cron_job_id"] == job["job_id"], heard


def operators(a, b):
    joined = a.answer(a.send(type="operator.join", payload={"group": "older", "auth_token": "any"}))
    assert joined["payload"]["data"]["agent"] == a.name, joined
    b.data("op.group.dispatch", group="older", payload={"work": 1})
    heard = a.hears({"work": 1})
    assert (heard["channel"], heard["to_client"]) == ("pm", a.name), heard


def inspection(a):
    a.data("op.casil.reload", enabled=True, mode="enforce", block_on_probable_secret=True)
    sent = a.send(type="message", room="science", channel="explore", payload={"key": "sk_live_" + secrets.token_hex(12)})
    error = a.receive()
    assert (error["type"], error["request_id"], error["error"]) == ("error", sent, "CASIL blocked message"), error
    assert error["error_code"] == "CASIL_POLICY_BLOCKED_SECRET", error
    assert error["payload"] == {"reason": error["error_code"]}, error
    assert (error["room"], error["channel"], error["sender"]) == ("science", "explore", "arqonbus"), error
    a.data("op.casil.reload", enabled=False)


def violations(a):
    sent = a.send(type="message", payload="not an object")
    error = a.receive()
    assert (error["type"], error["request_id"]) == ("error", sent), error
    assert (error["error"], error["error_code"]) == ("Message validation failed", "VALIDATION_ERROR"), error
    assert any("payload" in complaint for complaint in error["payload"]["errors"]), error
    a.socket.send("{ this is not JSON")
    assert a.receive()["error_code"] == "INTERNAL_ERROR"
    assert a.call("ping")["status"] == "success", "the connection stays open"
    for _ in range(8):
        a.send(type="chat", payload={})
    try:
        while True:
            assert a.receive()["error_code"] == "VALIDATION_ERROR"
    except ConnectionClosed as closed:
        assert closed.rcvd.code == 4502, closed


def main():
    strangers_are_refused()
    for binary in [False, True]:
        a, b = Client(binary), Client(binary)
        channels(a, b)
        privately(a, b)
        commands(a)
        operators(a, b)
        inspection(a)
        if not binary:
            violations(a)
        else:
            # Answered in the form that was used last.
            b.binary = False
            assert b.call("ping")["status"] == "success" and not b.was_binary
        a.socket.close()
        b.socket.close()
    print("ok")


main()
