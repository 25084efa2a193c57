"""A platform that misbehaves when it is asked to, for the tests with real SDKs. Standard library only.

It speaks enough of OpenAI's and Anthropic's APIs for their SDKs. The model's name determines how it behaves:

    good              answers
    first-key-429     the key that this test used first is rate-limited for a second
    first-key-500     ... always meets a failure
    first-key-401     ... is not known
    first-key-closed  ... finds its connection closed before an answer
    always-429        every key is rate-limited for two minutes; likewise always-500 and always-closed
    bad-request       400, whatever the key; likewise no-such-model, 404
    slow              sends nothing, not even the head, until the test opens its gate (see Platform.open_gate)
    gated             says one word, and the rest once the gate is open
    endless           goes on until the client closes
    silent            says one word and then nothing
    cut-off           closes in the middle of the body

Tests mark their requests with the header `x-test`. Everything that was seen is recorded and can be read:

    GET /seen?test=MARK               the records, as JSON
    GET /seen?test=MARK&state=STATE   the same, once one of them is in that state, or after a few seconds
    POST /gate?test=MARK              opens that test's gate

(It is not called `platform`: the standard library has a module of that name, which the SDKs import.)
"""

import json
import select
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

WAIT_SECONDS = 5
ENDLESS_GAP_SECONDS = 0.01
WORDS = ["Hello", " from", " the", " wild"]
PROMPT_TOKENS = 11
COMPLETION_TOKENS = 4
# Sent with every answer, in the field that Anthropic uses for it.
REQUEST_ID = "req_wild"


class Platform:
    """The server and what it saw."""

    def __init__(self):
        self.changed = threading.Condition()
        self.records = []
        self.first_keys = {}
        self.gates = set()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.platform = self
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def note(self, record, state):
        """Sets a record's state: `asked`, `silent`, `streaming`, `answered`, `closed` (by the platform), `canceled`."""
        with self.changed:
            record["state"] = state
            self.changed.notify_all()

    def add(self, record):
        with self.changed:
            self.records.append(record)
            self.changed.notify_all()

    def seen(self, test, state=None):
        """The test's records; with `state`, once one of them is in that state or WAIT_SECONDS have passed."""
        mine = lambda: [dict(record) for record in self.records if record["test"] == test]
        reached = lambda: state is None or any(record["state"] == state for record in mine())
        with self.changed:
            self.changed.wait_for(reached, WAIT_SECONDS)
            return mine()

    def is_first_key(self, test, key):
        with self.changed:
            return self.first_keys.setdefault(test, key) == key

    def open_gate(self, test):
        with self.changed:
            self.gates.add(test)
            self.changed.notify_all()


class Server(ThreadingHTTPServer):
    """One thread for each connection; none of them keeps the process alive."""

    daemon_threads = True
    platform = None

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_arguments):
        pass

    def do_GET(self):
        self.serve(b"")

    def do_POST(self):
        length = self.headers.get("content-length")
        self.serve(self.rfile.read(int(length)) if length else self.read_chunks())

    def read_chunks(self):
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def serve(self, body):
        target = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        if target.path == "/seen":
            return self.send_json(200, self.platform.seen(query.get("test"), query.get("state")))
        if target.path == "/gate":
            self.platform.open_gate(query.get("test"))
            return self.send_json(200, {})
        authorization = self.headers.get("authorization", "")
        key = self.headers.get("x-api-key") or authorization.removeprefix("Bearer ")
        self.record = {
            "test": self.headers.get("x-test"),
            "method": self.command,
            "path": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "body": body.decode("utf-8", "replace"),
            "key": key,
            "state": "asked",
        }
        self.platform.add(self.record)
        if target.path == "/v1/models":
            return self.answer(200, {"object": "list", "data": [model("good"), model("endless")]})
        asked = json.loads(body)
        # Azure's clients name the model in the path as well.
        path = target.path.replace(f"/deployments/{asked['model']}/", "/")
        if self.misbehave(asked["model"], key):
            return None
        if path == "/v1/embeddings":
            return self.answer(200, embeddings(asked))
        if path == "/v1/chat/completions":
            done = [b"data: [DONE]\n\n"]
            return self.speak(asked, completion(asked), openai_events(asked) + done, first_words=1)
        if path == "/v1/messages":
            return self.speak(asked, message(asked), anthropic_events(asked), first_words=3)
        if path == "/v1/messages/count_tokens":
            return self.answer(200, {"input_tokens": PROMPT_TOKENS})
        return self.answer(404, error("invalid_request_error", "unknown_url", f"Unknown request URL: {target.path}"))

    @property
    def platform(self):
        return self.server.platform

    def misbehave(self, name, key):
        """Does what the model's name asks for instead of an answer; False if it asks for an answer."""
        if name == "bad-request":
            self.answer(400, error("invalid_request_error", "unsupported_value", "The wild platform does not like it."))
        elif name == "no-such-model":
            self.answer(404, error("invalid_request_error", "model_not_found", "The model does not exist."))
        elif name.startswith("always-"):
            self.fail(name.removeprefix("always-"), retry_after=120)
        elif name.startswith("first-key-") and self.platform.is_first_key(self.record["test"], key):
            self.fail(name.removeprefix("first-key-"), retry_after=1)
        else:
            return False
        return True

    def fail(self, how, retry_after):
        if how == "closed":
            self.close_now()
        elif how == "429":
            refusal = error("requests", "rate_limit_exceeded", "Rate limit reached.")
            self.answer(429, refusal, {"retry-after": str(retry_after)})
        elif how == "500":
            self.answer(500, error("server_error", None, "The server had an error."))
        elif how == "401":
            self.answer(401, error("invalid_request_error", "invalid_api_key", "Incorrect API key provided: wild."))
        else:
            raise ValueError(how)

    def speak(self, asked, whole, events, first_words):
        """Answers all at once, or as a stream whose first word comes before anything goes wrong."""
        name = asked["model"]
        if name == "slow" and not self.wait_for_gate("silent"):
            return
        if not asked.get("stream"):
            if name == "cut-off":
                self.send_head(200, {"content-type": "application/json", "content-length": "1000"})
                self.wfile.write(json.dumps(whole).encode())
                return self.close_now()
            if name in ("endless", "silent"):
                return self.wait_for_close()
            return self.answer(200, whole)
        self.send_head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
        self.stream(name, events, first_words)

    def stream(self, name, events, first_words):
        self.platform.note(self.record, "streaming")
        for place, event in enumerate(events):
            if place == first_words:
                if name == "cut-off":
                    return self.close_now()
                if name == "silent":
                    return self.wait_for_close()
                if name == "gated" and not self.wait_for_gate("streaming"):
                    return
                while name == "endless":
                    if self.is_closed(ENDLESS_GAP_SECONDS) or not self.send_chunk(events[first_words - 1]):
                        return self.cancel()
            if not self.send_chunk(event):
                return self.cancel()
        # The record is set first: a test that has read the end may ask for it.
        self.platform.note(self.record, "answered")
        self.wfile.write(b"0\r\n\r\n")

    def is_closed(self, seconds):
        """Waits this long for the other side to close. It sends nothing while it waits for an answer."""
        return bool(select.select([self.connection], [], [], seconds)[0])

    def cancel(self):
        self.close_connection = True
        self.platform.note(self.record, "canceled")

    def wait_for_close(self):
        self.platform.note(self.record, "silent")
        if self.is_closed(WAIT_SECONDS):
            self.cancel()
        else:
            self.close_now()

    def wait_for_gate(self, state):
        """Waits until the test opens its gate. False if the other side closed or the time is over."""
        self.platform.note(self.record, state)
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            with self.platform.changed:
                if self.record["test"] in self.platform.gates:
                    return True
            if self.is_closed(ENDLESS_GAP_SECONDS):
                self.cancel()
                return False
        self.close_now()
        return False

    def close_now(self):
        self.platform.note(self.record, "closed")
        self.close_connection = True

    def answer(self, status, value, headers=None):
        self.record["status"] = status
        self.platform.note(self.record, "answered")
        self.send_json(status, value, headers)

    def send_json(self, status, value, headers=None):
        body = json.dumps(value).encode()
        own = {"content-type": "application/json", "content-length": str(len(body))}
        self.send_head(status, own | (headers or {}))
        self.wfile.write(body)

    def send_head(self, status, headers):
        self.send_response(status)
        self.send_header("request-id", REQUEST_ID)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send_chunk(self, event):
        try:
            self.wfile.write(chunk(event))
            return True
        except OSError:
            return False


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def error(kind, code, text):
    return {"error": {"message": text, "type": kind, "param": None, "code": code}}


def model(name):
    return {"id": name, "object": "model", "created": 1735689600, "owned_by": "wild"}


def embeddings(asked):
    inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    # The four bytes of 0.5 as a float, for SDKs that ask for base64.
    vector = "AAAAPw==" if asked.get("encoding_format") == "base64" else [0.5]
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(inputs))]
    usage = {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS}
    return {"object": "list", "model": asked["model"], "data": data, "usage": usage}


def openai_usage():
    total = PROMPT_TOKENS + COMPLETION_TOKENS
    return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": COMPLETION_TOKENS, "total_tokens": total}


def completion(asked):
    said = {"index": 0, "message": {"role": "assistant", "content": "".join(WORDS)}, "finish_reason": "stop"}
    head = {"id": "chatcmpl-wild", "object": "chat.completion", "created": 1735689600, "model": asked["model"]}
    return head | {"choices": [said], "usage": openai_usage()}


def openai_events(asked):
    head = {"id": "chatcmpl-wild", "object": "chat.completion.chunk", "created": 1735689600, "model": asked["model"]}
    choices = [{"index": 0, "delta": {"content": word}, "finish_reason": None} for word in WORDS]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    values = [head | {"choices": [choice]} for choice in choices]
    values.append(head | {"choices": [], "usage": openai_usage()})
    return [b"data: %s\n\n" % json.dumps(value).encode() for value in values]


def message(asked):
    head = {"id": "msg_wild", "type": "message", "role": "assistant", "model": asked["model"]}
    usage = {"input_tokens": PROMPT_TOKENS, "output_tokens": COMPLETION_TOKENS}
    content = [{"type": "text", "text": "".join(WORDS)}]
    return head | {"content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}


def anthropic_events(asked):
    begun = message(asked) | {"content": [], "stop_reason": None}
    begun["usage"] = {"input_tokens": PROMPT_TOKENS, "output_tokens": 1}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    values = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *[
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
            for word in WORDS
        ],
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ended, "usage": {"output_tokens": COMPLETION_TOKENS}},
        {"type": "message_stop"},
    ]
    return [b"event: %s\ndata: %s\n\n" % (value["type"].encode(), json.dumps(value).encode()) for value in values]
