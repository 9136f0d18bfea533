"""CloudEvents by the SDK of the people who wrote the standard: in by both modes of HTTP, out by a poll."""

import json
import os
import urllib.request

from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent, from_json

URL, TOKEN = os.environ["ARQON_URL"], os.environ["ARQON_TOKEN"]


def ask(path, body=None, headers=None):
    headers = {"Authorization": f"Bearer {TOKEN}", **(headers or {})}
    request = urllib.request.Request(URL + path, data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def event_of(found):
    return from_json(json.dumps(found))


SENT = [
    CloudEvent({"type": "t.object", "source": "/python", "subject": "a \"subject\", 100%"}, {"n": 1, "deep": [{"x": None}]}),
    CloudEvent({"type": "t.list", "source": "/python"}, [1, 2, 3]),
    CloudEvent({"type": "t.text", "source": "/python", "datacontenttype": "text/plain"}, "text"),
    CloudEvent({"type": "t.bytes", "source": "/python", "datacontenttype": "image/png"}, b"\x00\x01\xff"),
]

for mode in (to_structured, to_binary):
    for event in SENT:
        # What the SDK does with text in binary mode is to write it as JSON, whatever the event says its data is.
        plain_text = mode is to_binary and isinstance(event.data, str)
        headers, body = mode(event, str.encode) if plain_text else mode(event)
        receipt = ask(f"/api/v1/messages?address={mode.__name__}:events", body, headers)
        assert receipt["duplicate"] is False, receipt
        again = ask(f"/api/v1/messages?address={mode.__name__}:events", body, headers)
        assert (again["duplicate"], again["position"]) == (True, receipt["position"]), again

    found = ask(f"/api/v1/poll?pattern={mode.__name__}:events&from=earliest&format=cloudevents")["messages"]
    assert len(found) == len(SENT), found
    for event, back in zip(SENT, map(event_of, found)):
        for name, value in event.get_attributes().items():
            assert back[name] == value, (name, value, back[name])
        assert back["sender"] == "owner" and back["address"] == f"{mode.__name__}:events"
        assert back.data == event.data, (event.data, back.data)

ask("/api/v1/messages?address=events:plain", json.dumps({"n": 7}).encode())
(plain,) = ask("/api/v1/poll?pattern=events:plain&from=earliest&format=cloudevents")["messages"]
plain = event_of(plain)
assert (plain["type"], plain["subject"], plain.data) == ("arqon.message", "events:plain", {"n": 7}), plain
print("events went in and came out")
