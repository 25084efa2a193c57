"""What the tests share: the proxy under test, the wild platform behind it, and clients for both."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from wild_platform import Platform

ROOT = "root-key-of-the-tests"
PLAIN = "plain-key-of-the-tests"
NARROW = "narrow-key-of-the-tests"
EXPIRED = "expired-key-of-the-tests"
DAILY = "daily-key-of-the-tests"
NODE_DAILY = "daily-key-of-the-tests-in-node"
HURRIED = "hurried-key-of-the-tests"
CLIENTS = [
    {"key": ROOT, "name": "root", "is_root": True},
    {"key": PLAIN, "name": "plain"},
    {"key": NARROW, "name": "narrow", "enable_platform_whitelist": True, "platform_whitelist": ["demo"]},
    {"key": EXPIRED, "name": "expired", "expiry_date": "2020-01-01"},
    {"key": DAILY, "name": "daily", "daily_limit": 2},
    {"key": NODE_DAILY, "name": "daily in node", "daily_limit": 1},
    {"key": HURRIED, "name": "hurried", "cooldown_seconds": 1},
]
# Tests that harm their platform's keys have a platform of their own.
WILD = ["wild", "limited", "failing", "revoking", "closing", "exhausted", "broken", "node"]
KEYS_EACH = 3
WAIT_SECONDS = 5

HERE = pathlib.Path(__file__).resolve().parent
NODE_FOLDER = HERE.parents[1] / "target" / "node"

binary = None
platform = None
proxy_url = None
log = []


def platform_keys(name):
    return [f"{name}-platform-key-{number}" for number in range(1, KEYS_EACH + 1)]


def platforms(wild_url):
    """The content of platform.json."""
    wild = [{"name": name, "base_url": wild_url, "api_path": "/v1", "keys": platform_keys(name)} for name in WILD]
    anthropic = {
        "name": "anthropic",
        "base_url": wild_url,
        "api_path": "/v1",
        "auth_header": "x-api-key",
        "auth_format": "{key}",
        "keys": platform_keys("anthropic"),
    }
    demo_keys = ["demo-key-1", "demo-key-2", "demo-key-revoked"]
    demo = {"name": "demo", "base_url": "demo:", "api_path": "/v1", "keys": demo_keys}
    keyless = {"name": "keyless", "base_url": wild_url, "api_path": "/v1", "keys": []}
    disabled = {"name": "disabled", "base_url": wild_url, "enabled": False, "keys": ["disabled-platform-key"]}
    return [demo, *wild, anthropic, keyless, disabled]


@contextlib.contextmanager
def running(program):
    """The wild platform and the proxy, until the end of the block."""
    global binary, platform, proxy_url
    binary = program
    clean_environment()
    platform = Platform()
    try:
        with proxy({"log_level": "debug"}, platforms(platform.url)) as proxy_url:
            yield
    finally:
        platform.stop()


@contextlib.contextmanager
def proxy(config, entries):
    """A proxy with these platforms, until the end of the block; yields its address. It must stop with status 0."""
    with tempfile.TemporaryDirectory() as folder:
        config = {"host": "127.0.0.1", "port": 0, "drain_seconds": 5} | config
        for name, value in [("config", config), ("key", CLIENTS), ("platform", entries)]:
            pathlib.Path(folder, f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
        command = [binary, "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            url = read_address(process)
            # The rest must be read, or the pipe would fill.
            reader = threading.Thread(target=log.extend, args=(process.stdout,), daemon=True)
            reader.start()
            yield url
            process.send_signal(signal.SIGTERM)
            status = process.wait(WAIT_SECONDS * 2)
            reader.join(WAIT_SECONDS)
            if status != 0:
                raise AssertionError(f"the proxy ended with status {status}")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def clean_environment():
    """Settings for SDKs in a user's environment must not reach the tests."""
    for name in list(os.environ):
        if name.upper().startswith(("OPENAI_", "ANTHROPIC_")) or name.upper().endswith("_PROXY"):
            del os.environ[name]


def read_address(process):
    for line in process.stdout:
        log.append(line)
        if line.startswith("listening on "):
            return line.split()[2]
    raise AssertionError("the proxy did not start:\n" + "".join(log))


def get(path):
    """A page of the proxy's own, with the root key."""
    request = urllib.request.Request(proxy_url + path, headers={"Authorization": f"Bearer {ROOT}"})
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
        return answer.read().decode("utf-8")


def metric(name, **labels):
    """The sum of the samples with this name that have all these labels."""
    samples = [sample for family in text_string_to_metric_families(get("/metrics")) for sample in family.samples]
    fitting = [sample for sample in samples if sample.name == name and labels.items() <= sample.labels.items()]
    return sum(sample.value for sample in fitting)


def key_states(name):
    """The state of each of the platform's keys."""
    return [key["status"] for key in json.loads(get("/stats"))["platforms"][name]["keys"]]


def recent(request_id):
    """What /stats reports on a request, once it is over; an answer's last byte comes a little before that."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        for entry in json.loads(get("/stats"))["recent"]:
            if entry["request_id"] == request_id:
                return entry
    raise AssertionError(f"/stats does not know request {request_id}")


class SdkTest(unittest.TestCase):
    """A test whose requests are marked, so that it finds what the wild platform saw of them."""

    def setUp(self):
        self.mark = self.id()

    def tearDown(self):
        for record in self.seen():
            self.check_record(record)

    def seen(self, state=None):
        return platform.seen(self.mark, state)

    def check_record(self, record):
        """Neither a secret of the client's nor its identity reached the platform; the platform's own key did, once."""
        text = json.dumps(record["headers"]) + record["path"]
        for client in CLIENTS:
            self.assertNotIn(client["key"], text)
        names = [name for name, _ in record["headers"]]
        self.assertFalse({"via", "forwarded", "x-forwarded-for", "x-real-ip"} & set(names), names)
        self.assertEqual(1, names.count("authorization") + names.count("x-api-key"), names)
        known = [key for name in [*WILD, "anthropic"] for key in platform_keys(name)]
        self.assertIn(record["key"], known)
        self.assertIn(["host", platform.url.removeprefix("http://")], record["headers"])
