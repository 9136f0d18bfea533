"""The binary form of the older protocol, by hand: JSON envelopes to and from its bytes."""

import struct
import time

# Fields are (number, value) with text, bytes, ints and floats.

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
    for number, name in [(2, "tenant_id"), (3, "room"), (5, "twist_id")]:
        if envelope.get(name):
            outer += field(number, envelope[name])
    for name, text in envelope.get("headers", {}).items():
        outer += field(6, field(1, name) + field(2, text))
    return outer + field(20 if envelope["type"] == "command" else 21, content)


def to_signal(message_id, kind, reason):
    """A system signal: what only a server sends."""
    return field(1, message_id) + field(22, field(1, kind) + field(2, reason))


def from_proto(data):
    outer = fields(data)
    inner = fields(fields(outer.get(21, outer.get(20))[0])[2][0])
    envelope = {name: inner[n][0].decode() for n, name in INNER.items() if n in inner}
    for number, name in [(20, "payload"), (21, "args"), (22, "metadata")]:
        envelope[name] = from_struct(inner[number][0]) if number in inner else {}
    if 3 in outer:
        envelope["room"] = outer[3][0].decode()
    for number, name in [(2, "tenant_id"), (5, "twist_id")]:
        # The outer envelope says again what stands in the metadata.
        assert (number in outer) == (name in envelope["metadata"]), envelope
        assert number not in outer or outer[number][0].decode() == envelope["metadata"][name], envelope
    assert outer[1][0].decode() == envelope["id"], envelope
    envelope["timestamp"] = outer[4][0]
    return envelope
