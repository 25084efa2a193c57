"""A platform that speaks WebSocket. The path determines how it behaves:

    /v1/realtime  announces the session as OpenAI does, and answers `response.create` word by word
    /v1/echo      sends every message back; the message `close` is answered with a close of its own (4001)
    /v1/pings     pings, and sends `ponged` once that is answered
    /v1/lags      reads nothing until the gate is open, and sends the hash of everything at the message `end`
    /v1/silent    says nothing
    /v1/cut       says one word and breaks the connection off
    /v1/refused   answers 403 without an upgrade
    /v1/models    answers 200 without an upgrade, whatever the key: for health probes

A test marks its requests with the header `x-test`, or with its name as the model. Keys that end in `-dead` are unknown.
All requests are recorded, and how their conversations ended.
"""

import contextlib
import hashlib
import http
import json
import socket
import struct
import threading

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

WORDS = ["Hello", " from", " the", " wild"]
MESSAGE_BYTES_MAX = 64 * 1024 * 1024
REFUSAL = {"error": {"message": "You may not.", "type": "invalid_request_error", "param": None, "code": "no_access"}}
UNKNOWN_KEY = {"error": {"message": "Incorrect API key provided", "type": "invalid_request_error", "code": "invalid_api_key"}}


class RealtimePlatform:
    def __init__(self):
        self.records = []
        self.changed = threading.Condition()
        self.gate = threading.Event()
        self.server = serve(
            self.converse,
            "127.0.0.1",
            0,
            process_request=self.consider,
            select_subprotocol=lambda _connection, offered: "realtime" if "realtime" in offered else None,
            max_size=MESSAGE_BYTES_MAX,
            ping_interval=None,
        )
        self.url = "http://127.0.0.1:%d" % self.server.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()

    def seen(self, test):
        """What the platform saw of this test."""
        with self.changed:
            return [dict(record) for record in self.records if record["test"] == test]

    def await_end(self, test, seconds):
        """The last record of this test, once its conversation is over."""
        mine = lambda: [record for record in self.records if record["test"] == test]
        with self.changed:
            is_over = self.changed.wait_for(lambda: mine() and "closed" in mine()[-1], seconds)
            assert is_over, f"{mine()} did not end"
            return dict(mine()[-1])

    def consider(self, connection, request):
        fields = [[name.lower(), value] for name, value in request.headers.raw_items()]
        connection.record = {
            "test": request.headers.get("x-test") or request.path.partition("model=")[2],
            "path": request.path.partition("?")[0],
            "fields": fields,
            "key": request.headers.get("authorization", "").removeprefix("Bearer "),
        }
        with self.changed:
            self.records.append(connection.record)
        if connection.record["path"] == "/v1/models":
            return answer(connection, http.HTTPStatus.OK, {"object": "list", "data": []})
        if connection.record["key"].endswith("-dead"):
            return answer(connection, http.HTTPStatus.UNAUTHORIZED, UNKNOWN_KEY)
        if connection.record["path"] == "/v1/refused":
            return answer(connection, http.HTTPStatus.FORBIDDEN, REFUSAL)
        return None

    def converse(self, connection):
        ways = {
            "/v1/realtime": realtime,
            "/v1/echo": echo,
            "/v1/pings": pings,
            "/v1/lags": self.lag,
            "/v1/silent": silent,
            "/v1/cut": cut,
        }
        try:
            with contextlib.suppress(ConnectionClosed):
                ways[connection.record["path"]](connection)
        finally:
            with self.changed:
                connection.record["closed"] = connection.close_code
                self.changed.notify_all()

    def lag(self, connection):
        self.gate.wait()
        digest = hashlib.sha256()
        while (message := connection.recv()) != "end":
            digest.update(message)
        connection.send(digest.hexdigest())


def answer(connection, status, value):
    response = connection.respond(status, json.dumps(value))
    # Setting a field adds another one.
    del response.headers["content-type"]
    response.headers["content-type"] = "application/json"
    return response


def realtime(connection):
    def say(kind, **more):
        connection.send(json.dumps({"type": kind, "event_id": "event_wild", **more}))

    say("session.created", session={"type": "realtime", "id": "sess_wild", "model": "wild"})
    for text in connection:
        if json.loads(text)["type"] == "response.create":
            place = {"response_id": "resp_wild", "item_id": "item_wild", "output_index": 0, "content_index": 0}
            for word in WORDS:
                say("response.output_text.delta", delta=word, **place)
            say("response.output_text.done", text="".join(WORDS), **place)
            say("response.done", response={"id": "resp_wild", "object": "realtime.response", "status": "completed"})


def echo(connection):
    for message in connection:
        if message == "close":
            return connection.close(4001, "as you wish")
        connection.send(message)


def pings(connection):
    connection.ping(b"from the platform").wait()
    connection.send("ponged")
    for _ in connection:
        pass


def silent(connection):
    for _ in connection:
        pass


def cut(connection):
    connection.send("one")
    # Without a closing handshake, and with a reset.
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.socket.close()
