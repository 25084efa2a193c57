"""WebSocket through the proxy: the `websockets` client, OpenAI's Realtime client, both also over TLS.

Both in their asyncio variant: the other one reads and writes from two threads and, over TLS, occasionally misses what has
arrived, whatever the server.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import unittest

from openai import AsyncOpenAI, OpenAI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

import world
from realtime_platform import MESSAGE_BYTES_MAX, REFUSAL, WORDS, RealtimePlatform

SECONDS = 10
IDLE_SECONDS = 1
KEYS = ["realtime-platform-key-dead", "realtime-platform-key-alive"]
ENTRY = {"name": "realtime", "api_path": "/v1", "keys": KEYS}

stack = contextlib.ExitStack()
platform = None
# Addresses: the proxy, one with TLS, one that ends silent connections.
plain = secure = hasty = None
certificate = None


def setUpModule():
    global platform, plain, secure, hasty, certificate
    platform = RealtimePlatform()
    stack.callback(platform.stop)
    entries = [ENTRY | {"base_url": platform.url}]
    start = lambda config: stack.enter_context(world.proxy(config, entries))
    plain = start({})
    hasty = start({"idle_timeout_seconds": IDLE_SECONDS})
    if shutil.which("openssl"):
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        certificate, key = make_certificate(pathlib.Path(folder))
        secure = start({"tls_cert": certificate, "tls_key": key})


def tearDownModule():
    stack.close()


def make_certificate(folder):
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "3650"]
    subprocess.run([*command, "-out", cert, "-keyout", key], check=True, capture_output=True)
    return cert, key


def by_name(address):
    """The certificate is for a name, not for an address."""
    return address.replace("127.0.0.1", "localhost")


class WebSocketTest(unittest.IsolatedAsyncioTestCase):
    """Over HTTP as well as over TLS."""

    async def asyncSetUp(self):
        # asyncio's warnings about slow steps are not results.
        asyncio.get_running_loop().set_debug(False)

    def ways(self):
        yield plain, None
        if secure:
            yield by_name(secure), ssl.create_default_context(cafile=certificate)

    def open(self, path, address=None, **options):
        address = (address or plain).replace("http", "ws", 1)
        fields = {"x-test": self.id(), "Authorization": f"Bearer {world.PLAIN}"}
        options = {"additional_headers": fields, "max_size": MESSAGE_BYTES_MAX, "ping_interval": None} | options
        return connect(f"{address}/realtime/v1/{path}", open_timeout=SECONDS, close_timeout=SECONDS, **options)

    def end(self):
        """What the platform saw of the last conversation."""
        return platform.await_end(self.id(), SECONDS)

    def tearDown(self):
        for record in platform.seen(self.id()):
            text = json.dumps(record["fields"])
            for client in world.CLIENTS:
                self.assertNotIn(client["key"], text)
            names = [name for name, _ in record["fields"]]
            self.assertEqual(1, names.count("authorization"), names)
            self.assertIn(record["key"], KEYS)


async def within(seconds, awaited):
    return await asyncio.wait_for(awaited, seconds)


async def hear(connection):
    return await within(SECONDS, connection.recv())


class Messages(WebSocketTest):
    async def test_text_bytes_and_large_messages(self):
        for address, context in self.ways():
            with self.subTest(address):
                async with self.open("echo", address, ssl=context) as connection:
                    messages = ["", "Grüße", b"", bytes(range(256)), "x" * 70_000, bytes(8 * 1024 * 1024)]
                    for message in messages:
                        await connection.send(message)
                        self.assertEqual(message, await hear(connection))
                    # Both directions at once, and a message in several frames.
                    await connection.send([b"many ", b"small ", b"pieces"])
                    for number in range(1000):
                        await connection.send(str(number))
                    self.assertEqual(b"many small pieces", await hear(connection))
                    for number in range(1000):
                        self.assertEqual(str(number), await hear(connection))
                self.assertEqual(1000, self.end()["closed"])

    async def test_a_reader_that_lags_slows_the_sender(self):
        messages = [bytes([number]) * 1024 * 1024 for number in range(100)]
        async with self.open("lags", compression=None) as connection:
            sent = asyncio.Semaphore(0)

            async def send():
                for message in messages:
                    await connection.send(message)
                    sent.release()

            sender = asyncio.create_task(send())
            count = 0
            with contextlib.suppress(asyncio.TimeoutError):
                while await within(1, sent.acquire()):
                    count += 1
            self.assertLess(count, len(messages), "somebody holds it all")
            platform.gate.set()
            await within(SECONDS, sender)
            await connection.send("end")
            self.assertEqual(hashlib.sha256(b"".join(messages)).hexdigest(), await hear(connection))

    async def test_pings_of_either_side(self):
        for address, context in self.ways():
            with self.subTest(address):
                async with self.open("pings", address, ssl=context) as connection:
                    await within(SECONDS, await connection.ping(b"from the client"))
                    self.assertEqual("ponged", await hear(connection))

    async def test_a_close_of_either_side(self):
        for address, context in self.ways():
            with self.subTest(address):
                connection = await self.open("echo", address, ssl=context)
                await connection.close(4000, "enough")
                self.assertEqual(4000, self.end()["closed"])
                connection = await self.open("echo", address, ssl=context)
                await connection.send("close")
                with self.assertRaises(ConnectionClosed) as caught:
                    await hear(connection)
                self.assertEqual((4001, "as you wish"), (caught.exception.rcvd.code, caught.exception.rcvd.reason))

    async def test_what_breaks_off_is_no_close(self):
        for address, context in self.ways():
            with self.subTest(address):
                async with self.open("cut", address, ssl=context) as connection:
                    self.assertEqual("one", await hear(connection))
                    with self.assertRaises(ConnectionClosedError) as caught:
                        await hear(connection)
                    self.assertIsNone(caught.exception.rcvd)

    async def test_silence_ends_and_words_go_on(self):
        async with self.open("echo", hasty) as connection:
            for _ in range(3):
                # Each word comes in time; all together take longer.
                with self.assertRaises(asyncio.TimeoutError):
                    await within(IDLE_SECONDS * 0.6, connection.recv())
                await connection.send("word")
                self.assertEqual("word", await hear(connection))
            with self.assertRaises(ConnectionClosedError):
                await within(IDLE_SECONDS + SECONDS, connection.recv())
        self.assertEqual(1006, self.end()["closed"])

    async def test_a_ping_is_no_silence(self):
        async with self.open("silent", hasty, ping_interval=IDLE_SECONDS / 4) as connection:
            with self.assertRaises(asyncio.TimeoutError):
                await within(IDLE_SECONDS * 3, connection.recv())


class Handshakes(WebSocketTest):
    async def test_a_dead_key_is_not_noticed(self):
        # A proxy that has not tried any key yet.
        with world.proxy({}, [ENTRY | {"base_url": platform.url}]) as fresh:
            for _ in range(2):
                async with self.open("echo", fresh) as connection:
                    await connection.send("Hello")
                    self.assertEqual("Hello", await hear(connection))
        self.assertEqual([*KEYS, KEYS[1]], [record["key"] for record in platform.seen(self.id())])

    async def test_a_refused_upgrade_is_an_ordinary_answer(self):
        with self.assertRaises(InvalidStatus) as caught:
            await self.open("refused")
        response = caught.exception.response
        self.assertEqual((403, REFUSAL), (response.status_code, json.loads(response.body)))
        self.assertNotIn("x-proxy-error", response.headers)

    async def test_the_proxy_refuses_as_for_any_request(self):
        for options, status, code in [
            ({"additional_headers": {}}, 401, "missing_api_key"),
            ({"additional_headers": {}, "subprotocols": ["openai-insecure-api-key.nobody-knows-me"]}, 401, "invalid_api_key"),
            ({"additional_headers": {"Authorization": f"Bearer {world.NARROW}"}}, 403, "platform_not_allowed"),
        ]:
            with self.assertRaises(InvalidStatus) as caught:
                await self.open("echo", **options)
            response = caught.exception.response
            self.assertEqual((status, code), (response.status_code, response.headers["x-proxy-error"]))

    async def test_the_key_of_a_browser(self):
        protocols = ["realtime", f"openai-insecure-api-key.{world.PLAIN}", "openai-beta.realtime-v1"]
        for address, context in self.ways():
            options = {"ssl": context, "subprotocols": protocols, "origin": "https://app.example"}
            with self.subTest(address):
                async with self.open("echo", address, additional_headers={"x-test": self.id()}, **options) as connection:
                    self.assertEqual("realtime", connection.subprotocol)
                    await connection.send("Hello")
                    self.assertEqual("Hello", await hear(connection))
                fields = self.end()["fields"]
                self.assertIn(["sec-websocket-protocol", "realtime, openai-beta.realtime-v1"], fields)
                self.assertIn(["origin", "https://app.example"], fields)


class Sdks(WebSocketTest):
    def connecting(self, kind, address, context):
        client = kind(
            base_url=f"{address}/realtime/v1",
            websocket_base_url=f"{address.replace('http', 'ws', 1)}/realtime/v1",
            api_key=world.PLAIN,
        )
        options = {"ssl": context} if context else {}
        return client.realtime.connect(model="wild", extra_headers={"x-test": self.id()}, websocket_connection_options=options)

    def check(self, events):
        said = [event.delta for event in events if event.type == "response.output_text.delta"]
        self.assertEqual(WORDS, said)
        self.assertEqual("/v1/realtime", self.end()["path"])

    async def test_python_with_asyncio(self):
        for address, context in self.ways():
            with self.subTest(address):
                async with self.connecting(AsyncOpenAI, address, context) as connection:
                    self.assertEqual("session.created", (await hear(connection)).type)
                    await connection.response.create()
                    events = []
                    while not events or events[-1].type != "response.done":
                        events.append(await hear(connection))
                self.check(events)

    def test_python(self):
        with self.connecting(OpenAI, plain, None) as connection:
            self.assertEqual("session.created", connection.recv().type)
            connection.response.create()
            events = []
            while not events or events[-1].type != "response.done":
                events.append(connection.recv())
        self.check(events)

    @unittest.skipUnless(shutil.which("node") and shutil.which("openssl"), "Node or openssl is not there")
    def test_node(self):
        """README's example. Node's SDK speaks to `wss://` only."""
        facts = {"folder": str(world.NODE_FOLDER), "proxy": by_name(secure), "key": world.PLAIN, "model": self.id()}
        script = str(pathlib.Path(__file__).with_name("realtime.mjs"))
        # Before version 22, WebSocket has to be enabled.
        command = ["node", "--experimental-websocket", script, json.dumps(facts)]
        environment = dict(os.environ) | {"NODE_EXTRA_CA_CERTS": certificate}
        done = subprocess.run(command, capture_output=True, text=True, timeout=3 * SECONDS, env=environment)
        self.assertEqual((0, "".join(WORDS)), (done.returncode, done.stdout.strip()), done.stderr)
