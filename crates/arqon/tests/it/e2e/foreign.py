"""A client that knows nothing of Arqon but docs/protocol.md: publishes and subscribes in JSON over `websockets`.

Exits 0 when every expectation held; otherwise says which one did not.
"""

import json
import os
import secrets
import time

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

URL = os.environ["ARQON_URL"].replace("http", "ws", 1) + "/ws"
AUTHORIZATION = {"Authorization": "Bearer " + os.environ["ARQON_TOKEN"]}


def new_id():
    new_id.count += 1
    return f"arq_{time.time_ns()}_{new_id.count}_{secrets.token_hex(3)}"


new_id.count = 0


class Client:
    """One connection; what is not asked for at the moment waits in `others`."""

    def __init__(self):
        self.socket = connect(URL, additional_headers=AUTHORIZATION, compression="deflate", subprotocols=["arqon.v1.json"])
        self.others = []
        welcome = json.loads(self.socket.recv(timeout=20))
        assert welcome["payload"]["welcome"] == "Connected to Arqon", welcome

    def send(self, **envelope):
        envelope = {"id": new_id(), "version": "1.0", **envelope}
        self.socket.send(json.dumps(envelope))
        return envelope["id"]

    def until(self, wanted):
        for i, frame in enumerate(self.others):
            if wanted(frame):
                return self.others.pop(i)
        while True:
            frame = json.loads(self.socket.recv(timeout=20))
            if wanted(frame):
                return frame
            self.others.append(frame)

    def answer(self, request_id):
        return self.until(lambda frame: frame.get("request_id") == request_id)

    def command(self, name, **args):
        return self.answer(self.send(type="command", command=name, args=args))

    def publish(self, address, payload, **more):
        return self.answer(self.send(type="message", to=address, payload=payload, confirm="stored", **more))

    def delivery(self, subscription):
        return self.until(lambda frame: frame.get("subscription") == subscription)


def refuses_strangers():
    try:
        connect(URL)
    except InvalidStatus as refusal:
        assert refusal.response.status_code == 401, refusal.response
        assert "Bearer" in refusal.response.headers["WWW-Authenticate"], refusal.response.headers
    else:
        raise AssertionError("a client without a token was let in")


def main():
    refuses_strangers()
    reader, writer = Client(), Client()
    assert "permessage-deflate" in reader.socket.response.headers.get("Sec-WebSocket-Extensions", ""), "no deflate"
    assert reader.socket.subprotocol == "arqon.v1.json", reader.socket.subprotocol

    subscribed = reader.command("subscribe", pattern="foreign:*")
    assert subscribed["status"] == "success", subscribed
    subscription = subscribed["payload"]["data"]["subscription"]

    # The second is large and compresses well, the third is not ASCII and larger than what one read takes.
    payloads = [
        {"n": 1},
        {"n": 2, "text": "all work and no play " * 2000},
        {"n": 3, "text": "größer, 大きい, больше " * 3000},
    ]
    positions = []
    for payload in payloads:
        confirm = writer.publish("foreign:main", payload, priority="high", metadata={"sequence": payload["n"]})
        assert confirm["status"] == "success", confirm
        positions.append(confirm["payload"]["data"]["position"])
    for payload, position in zip(payloads, positions):
        delivery = reader.delivery(subscription)
        assert delivery["payload"] == payload, str(delivery)[:500]
        assert delivery["position"] == position, (delivery["position"], position)
        assert (delivery["room"], delivery["channel"]) == ("foreign", "main"), delivery
        assert delivery["metadata"]["sequence"] == payload["n"], delivery

    # From a position on: exactly what came after it.
    again = writer.command("subscribe", pattern="foreign:main", **{"from": positions[0]})
    for payload in payloads[1:]:
        assert writer.delivery(again["payload"]["data"]["subscription"])["payload"] == payload

    # What is wrong is named, and the connection lives on.
    error = writer.answer(writer.send(type="message", to="foreign:main", payload="not an object"))
    assert error["type"] == "error" and error["payload"]["field"] == "payload", error
    writer.socket.send("{ this is not JSON")
    error = writer.until(lambda frame: frame.get("type") == "error")
    assert error["error_code"], error
    assert writer.command("ping")["status"] == "success"

    reader.socket.close()
    writer.socket.close()
    print("ok")


main()
