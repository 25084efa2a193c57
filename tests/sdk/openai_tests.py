"""The official `openai` package for Python against the proxy."""

import asyncio
import contextlib
import datetime
import itertools
import json
import unittest

import openai

import world
from world import DAILY, EXPIRED, HURRIED, NARROW, PLAIN, ROOT, SdkTest
from wild_platform import COMPLETION_TOKENS, PROMPT_TOKENS, WORDS

HELLO = [{"role": "user", "content": "Hello"}]
TEXT = "".join(WORDS)


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


class OpenaiTest(SdkTest):
    """With the SDK's retries disabled, so that any retry is the proxy's."""

    def client(self, platform="wild", key=PLAIN, kind=openai.OpenAI, **options):
        options = {"max_retries": 0, "timeout": world.WAIT_SECONDS} | options
        url = f"{world.proxy_url}/{platform}/v1"
        return kind(base_url=url, api_key=key, default_headers={"x-test": self.mark}, **options)

    def chat(self, model, platform="wild", key=PLAIN, stream=False, headers=None, **options):
        client = self.client(platform, key, **options)
        self.addCleanup(client.close)
        return client.chat.completions.create(model=model, messages=HELLO, stream=stream, extra_headers=headers)


class Demo(OpenaiTest):
    """Everything that the SDK can do with the demo platform, whose third key is revoked."""

    def test_chat(self):
        for _ in range(4):
            completion = self.chat("demo", "demo")
            self.assertTrue(completion.choices[0].message.content)
            self.assertEqual("stop", completion.choices[0].finish_reason)
            self.assertGreater(completion.usage.total_tokens, 0)
            self.assertTrue(completion._request_id)
        self.assertEqual(["healthy", "healthy", "unhealthy"], world.key_states("demo"))

    def test_stream(self):
        with self.client("demo") as client:
            options = {"include_usage": True}
            stream = client.chat.completions.create(
                model="demo", messages=HELLO, stream=True, stream_options=options
            )
            chunks = list(stream)
        self.assertTrue(text_of(chunks))
        self.assertGreater(len(chunks), 3)
        self.assertGreater(chunks[-1].usage.completion_tokens, 0)

    def test_stream_helper(self):
        with self.client("demo") as client:
            with client.chat.completions.stream(model="demo", messages=HELLO) as stream:
                kinds = {event.type for event in stream}
                completion = stream.get_final_completion()
        self.assertLessEqual({"chunk", "content.delta", "content.done"}, kinds)
        self.assertTrue(completion.choices[0].message.content)

    def test_embeddings(self):
        with self.client("demo") as client:
            # The SDK requests base64 unless it is told otherwise.
            packed = client.embeddings.create(model="demo", input=["one", "two"])
            plain = client.embeddings.create(model="demo", input=["one", "two"], encoding_format="float")
        self.assertEqual([0, 1], [embedding.index for embedding in packed.data])
        for one, other in zip(packed.data, plain.data, strict=True):
            self.assertGreater(len(one.embedding), 1)
            for left, right in zip(one.embedding, other.embedding, strict=True):
                self.assertAlmostEqual(left, right, 5)

    def test_models(self):
        with self.client("demo") as client:
            self.assertIn("demo", [model.id for model in client.models.list()])

    def test_the_platforms_own_errors(self):
        rows = [
            ("no-such-model", openai.NotFoundError, 404, "model_not_found"),
            ("demo-500", openai.InternalServerError, 500, None),
        ]
        for model, kind, status, code in rows:
            with self.subTest(model), self.assertRaises(kind) as caught:
                self.chat(model, "demo")
            self.assertEqual((status, code), (caught.exception.status_code, caught.exception.code))
            self.assertNotIn("x-proxy-error", caught.exception.response.headers)


class Refusals(OpenaiTest):
    """The proxy's own errors are the SDK's usual exceptions, and such requests do not reach a platform."""

    def tearDown(self):
        super().tearDown()
        self.assertEqual([], self.seen())

    def refused(self, kind, code, platform="wild", key=PLAIN, **options):
        with self.assertRaises(kind) as caught:
            self.chat("good", platform, key, **options)
        error = caught.exception
        self.assertEqual(code, error.code)
        self.assertIs(kind, type(error))
        self.assertEqual(code, error.response.headers["x-proxy-error"])
        self.assertTrue(error.request_id)
        return error

    def test_keys(self):
        error = self.refused(openai.AuthenticationError, "invalid_api_key", key="sk-of-somebody-else")
        self.assertTrue(error.body["message"].startswith("Incorrect API key provided"), error.body)
        self.assertNotIn("sk-of-somebody-else", error.body["message"])
        self.assertEqual("authentication_error", error.type)
        self.refused(openai.AuthenticationError, "key_expired", key=EXPIRED)
        self.refused(openai.AuthenticationError, "missing_api_key", headers={"Authorization": openai.omit})

    def test_platforms(self):
        self.refused(openai.PermissionDeniedError, "platform_not_allowed", key=NARROW)
        self.refused(openai.PermissionDeniedError, "platform_disabled", platform="disabled")
        error = self.refused(openai.NotFoundError, "unknown_platform", platform="nowhere")
        self.assertIn("/demo/v1", error.body["message"])

    def test_a_platform_without_keys_is_asked_once(self):
        error = self.refused(openai.InternalServerError, "no_keys", platform="keyless", max_retries=2)
        self.assertEqual(503, error.status_code)
        self.assertEqual("false", error.response.headers["x-should-retry"])
        self.assertEqual(1, world.metric("aiproxy_refused_total", code="no_keys"))


class Limits(OpenaiTest):
    """Clients with limits, and the SDK's own retries."""

    def setUp(self):
        super().setUp()
        now = datetime.datetime.now(datetime.timezone.utc)
        if (now.hour, now.minute // 58) == (23, 1):
            self.skipTest("the day is about to end, and with it the limit")

    def test_a_used_up_day_is_not_asked_again(self):
        for left in [1, 0]:
            with self.client(key=DAILY, max_retries=2) as client:
                answer = client.chat.completions.with_raw_response.create(model="good", messages=HELLO)
            self.assertEqual("2", answer.headers["x-ratelimit-limit-requests"])
            self.assertEqual(str(left), answer.headers["x-ratelimit-remaining-requests"])
        with self.assertRaises(openai.RateLimitError) as caught:
            self.chat("good", key=DAILY, max_retries=2)
        error = caught.exception
        self.assertEqual(("daily_limit", "rate_limit_error"), (error.code, error.type))
        self.assertEqual("false", error.response.headers["x-should-retry"])
        self.assertGreater(int(error.response.headers["retry-after"]), 60)
        self.assertEqual(1, world.metric("aiproxy_refused_total", code="daily_limit"))
        self.assertEqual(2, len(self.seen()))

    def test_a_cooldown_is_waited_for(self):
        self.chat("good", key=HURRIED, max_retries=2)
        self.assertEqual(TEXT, self.chat("good", key=HURRIED, max_retries=2).choices[0].message.content)
        self.assertGreaterEqual(world.metric("aiproxy_refused_total", code="cooldown"), 1)
        self.assertEqual(2, len(self.seen()))


class Wild(OpenaiTest):
    """What goes through unchanged."""

    def test_chat(self):
        completion = self.chat("good", headers={"x-request-id": "request-of-the-test"})
        self.assertEqual(TEXT, completion.choices[0].message.content)
        self.assertEqual("request-of-the-test", completion._request_id)
        [record] = self.seen()
        self.assertEqual(("POST", "/v1/chat/completions"), (record["method"], record["path"]))
        names = [name for name, _ in record["headers"]]
        self.assertIn("x-stainless-lang", names)
        entry = world.recent("request-of-the-test")
        told = {"client": "plain", "platform": "wild", "model": "good", "status": 200, "code": None, "tries": 1}
        self.assertLessEqual(told.items(), entry.items())
        self.assertEqual((PROMPT_TOKENS, COMPLETION_TOKENS), (entry["tokens_in"], entry["tokens_out"]))

    def test_keys_take_turns(self):
        for _ in range(6):
            self.chat("good")
        keys = [record["key"] for record in self.seen()]
        self.assertEqual(sorted(world.platform_keys("wild") * 2), sorted(keys))

    def test_stream(self):
        stream = self.chat("good", stream=True)
        request_id = stream.response.headers["x-request-id"]
        self.assertEqual(TEXT, text_of(stream))
        entry = world.recent(request_id)
        self.assertEqual((PROMPT_TOKENS, COMPLETION_TOKENS), (entry["tokens_in"], entry["tokens_out"]))

    def test_each_word_comes_when_it_is_said(self):
        stream = self.chat("gated", stream=True)
        self.assertEqual(WORDS[0], text_of([next(stream)]))
        world.platform.open_gate(self.mark)
        self.assertEqual("".join(WORDS[1:]), text_of(stream))

    def test_a_long_body(self):
        long = [{"role": "user", "content": "ж" * 2_000_000}]
        with self.client() as client:
            client.chat.completions.create(model="good", messages=long)
        [record] = self.seen()
        self.assertEqual(long, json.loads(record["body"])["messages"])

    def test_the_key_in_other_places(self):
        for name, value in [("x-api-key", PLAIN), ("api-key", PLAIN), ("x-goog-api-key", PLAIN)]:
            self.chat("good", key="a-leftover-dummy", headers={name: value})
        with self.client(key="a-leftover-dummy", default_query={"key": PLAIN, "other": "1"}) as client:
            client.chat.completions.create(model="good", messages=HELLO)
        self.assertEqual("/v1/chat/completions?other=1", self.seen()[-1]["path"])

    def test_azure(self):
        client = openai.AzureOpenAI(
            base_url=f"{world.proxy_url}/wild/v1",
            api_key=PLAIN,
            api_version="2025-01-01",
            max_retries=0,
            default_headers={"x-test": self.mark},
        )
        with client:
            client.chat.completions.create(model="good", messages=HELLO)
        self.assertEqual("/v1/deployments/good/chat/completions?api-version=2025-01-01", self.seen()[0]["path"])

    def test_the_platforms_own_errors(self):
        rows = [
            ("bad-request", openai.BadRequestError, "unsupported_value"),
            ("no-such-model", openai.NotFoundError, "model_not_found"),
        ]
        for model, kind, code in rows:
            with self.subTest(model), self.assertRaises(kind) as caught:
                self.chat(model)
            self.assertEqual(code, caught.exception.code)
            self.assertNotIn("x-proxy-error", caught.exception.response.headers)
        self.assertEqual(2, len(self.seen()))


class Failover(OpenaiTest):
    """Keys and connections that fail, which the client does not notice while another key is left."""

    def served(self, model, platform, statuses):
        """Checks three answers, and the statuses that the platform gave in all."""
        for _ in range(3):
            self.assertEqual(TEXT, self.chat(model, platform).choices[0].message.content)
        self.assertEqual(statuses, [status for _, status in self.tries()])

    def tries(self):
        """Key and status of each try; None is a closed connection.

        A connection that was used before and closes without an answer costs no try but is replaced, once, by a fresh
        one, so the platform may see such a try twice.
        """
        tries = []
        for (key, status), same in itertools.groupby(self.seen(), lambda record: (record["key"], record.get("status"))):
            self.assertLessEqual(len(list(same)), 2 if status is None else 1)
            tries.append((key, status))
        return tries

    def test_a_rate_limited_key_rests(self):
        self.served("first-key-429", "limited", [429, 200, 200, 200])
        self.assertEqual(1, world.metric("aiproxy_retries_total", platform="limited"))

    def test_a_revoked_key_is_not_used_again(self):
        self.served("first-key-401", "revoking", [401, 200, 200, 200])
        self.assertEqual(["unhealthy", "healthy", "healthy"], sorted(world.key_states("revoking"), reverse=True))

    def test_a_failing_key_stays_in_turn(self):
        self.served("first-key-500", "failing", [500, 200, 200, 500, 200])
        self.assertNotIn("unhealthy", world.key_states("failing"))

    def test_a_closed_connection(self):
        self.served("first-key-closed", "closing", [None, 200, 200, None, 200])
        self.assertNotIn("unhealthy", world.key_states("closing"))

    def test_a_stream(self):
        self.assertEqual(TEXT, text_of(self.chat("first-key-500", "failing", stream=True)))

    def test_all_keys_rate_limited(self):
        with self.assertRaises(openai.RateLimitError) as caught:
            self.chat("always-429", "exhausted")
        self.assertEqual("rate_limit_exceeded", caught.exception.code)
        self.assertEqual("120", caught.exception.response.headers["retry-after"])
        self.assertEqual(3, len({record["key"] for record in self.seen()}))
        with self.assertRaises(openai.RateLimitError) as caught:
            self.chat("good", "exhausted", max_retries=2)
        self.assertEqual("keys_rate_limited", caught.exception.code)
        self.assertEqual("false", caught.exception.response.headers["x-should-retry"])
        self.assertEqual(3, len(self.seen()))
        self.assertEqual(["cooling"] * 3, world.key_states("exhausted"))

    def test_all_tries_fail(self):
        with self.assertRaises(openai.InternalServerError) as caught:
            self.chat("always-500", "broken")
        self.assertEqual((500, "server_error"), (caught.exception.status_code, caught.exception.type))
        with self.assertRaises(openai.InternalServerError) as caught:
            self.chat("always-closed", "broken")
        self.assertEqual((502, "upstream_error"), (caught.exception.status_code, caught.exception.code))
        self.assertEqual([500] * 3 + [None] * 3, [status for _, status in self.tries()])


class Breaks(OpenaiTest):
    """Bodies that end too early, and clients that leave."""

    def test_what_is_cut_off_is_an_error(self):
        with self.assertRaises(openai.APIConnectionError):
            self.chat("cut-off")
        stream = self.chat("cut-off", stream=True)
        self.assertEqual(WORDS[0], text_of([next(stream)]))
        with self.assertRaises(openai.APIConnectionError):
            list(stream)

    def cancelled(self, request_id=None):
        """The platform noticed that the client is gone, and no key is blamed."""
        [record] = self.seen("canceled")
        self.assertEqual("canceled", record["state"])
        self.assertEqual({"healthy"}, set(world.key_states("wild")) - {"unknown"})
        if request_id:
            self.assertEqual("canceled", world.recent(request_id)["code"])

    def test_a_closed_stream(self):
        with self.chat("endless", stream=True) as stream:
            next(stream)
        self.cancelled(stream.response.headers["x-request-id"])

    def test_a_closed_stream_that_is_silent(self):
        with self.chat("silent", stream=True) as stream:
            next(stream)
            self.seen("silent")
        self.cancelled(stream.response.headers["x-request-id"])

    def test_a_client_that_will_not_wait(self):
        with self.assertRaises(openai.APITimeoutError):
            self.chat("silent", timeout=0.3, headers={"x-request-id": "no-patience"})
        self.cancelled("no-patience")

    def test_a_slow_answer(self):
        client = self.client(kind=openai.AsyncOpenAI)

        async def ask():
            async with client:
                asking = asyncio.create_task(client.chat.completions.create(model="slow", messages=HELLO))
                await asyncio.to_thread(self.seen, "silent")
                self.assertFalse(asking.done())
                world.platform.open_gate(self.mark)
                return await asking

        self.assertEqual(TEXT, asyncio.run(ask()).choices[0].message.content)


class Async(OpenaiTest, unittest.IsolatedAsyncioTestCase):
    """The asynchronous client."""

    def client(self, platform="wild", key=PLAIN, **options):
        return super().client(platform, key, openai.AsyncOpenAI, **options)

    async def test_chat(self):
        async with self.client("demo") as client:
            asked = [client.chat.completions.create(model="demo", messages=HELLO) for _ in range(20)]
            for completion in await asyncio.gather(*asked):
                self.assertTrue(completion.choices[0].message.content)

    async def test_streams(self):
        async def read(client):
            stream = await client.chat.completions.create(model="good", messages=HELLO, stream=True)
            return text_of([chunk async for chunk in stream])

        async with self.client() as client:
            self.assertEqual([TEXT] * 20, await asyncio.gather(*[read(client) for _ in range(20)]))

    async def test_demo_stream(self):
        async with self.client("demo") as client:
            stream = await client.chat.completions.create(model="demo", messages=HELLO, stream=True)
            self.assertTrue(text_of([chunk async for chunk in stream]))

    async def test_errors(self):
        async with self.client(key="sk-of-somebody-else") as client:
            with self.assertRaises(openai.AuthenticationError):
                await client.models.list()

    async def test_a_cut_off_stream(self):
        async with self.client() as client:
            stream = await client.chat.completions.create(model="cut-off", messages=HELLO, stream=True)
            with self.assertRaises(openai.APIConnectionError):
                async for _ in stream:
                    pass

    async def test_a_canceled_task(self):
        async def read(client):
            stream = await client.chat.completions.create(model="endless", messages=HELLO, stream=True)
            async for _ in stream:
                started.set()

        started = asyncio.Event()
        async with self.client() as client:
            reading = asyncio.create_task(read(client))
            await started.wait()
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
            [record] = await asyncio.to_thread(self.seen, "canceled")
        self.assertEqual("canceled", record["state"])
