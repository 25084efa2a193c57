"""The official `anthropic` package for Python against the proxy."""

import anthropic

import world
from world import NARROW, PLAIN, SdkTest
from wild_platform import COMPLETION_TOKENS, PROMPT_TOKENS, REQUEST_ID, WORDS

HELLO = [{"role": "user", "content": "Hello"}]
ASKED = {"model": "good", "max_tokens": 100, "messages": HELLO}
TEXT = "".join(WORDS)


class Anthropic(SdkTest):
    """The SDK sends its key in `x-api-key`, where the platform expects its own, too."""

    def client(self, key=PLAIN, **options):
        client = anthropic.Anthropic(
            base_url=f"{world.proxy_url}/anthropic",
            api_key=key,
            max_retries=0,
            timeout=world.WAIT_SECONDS,
            default_headers={"x-test": self.mark},
            **options,
        )
        self.addCleanup(client.close)
        return client

    def counted(self, request_id):
        entry = world.recent(request_id)
        self.assertEqual(("anthropic", "good"), (entry["platform"], entry["model"]))
        self.assertEqual((PROMPT_TOKENS, COMPLETION_TOKENS), (entry["tokens_in"], entry["tokens_out"]))

    def test_message(self):
        answer = self.client().messages.with_raw_response.create(**ASKED)
        message = answer.parse()
        self.assertEqual((TEXT, REQUEST_ID), (message.content[0].text, message._request_id))
        self.assertEqual(COMPLETION_TOKENS, message.usage.output_tokens)
        [record] = self.seen()
        self.assertIn(["x-api-key", record["key"]], record["headers"])
        self.assertIn("anthropic-version", [name for name, _ in record["headers"]])
        self.counted(answer.headers["x-request-id"])

    def test_stream(self):
        with self.client().messages.stream(**ASKED) as stream:
            self.assertEqual(WORDS, list(stream.text_stream))
            message = stream.get_final_message()
            request_id = stream.response.headers["x-request-id"]
        self.assertEqual((TEXT, "end_turn"), (message.content[0].text, message.stop_reason))
        self.assertEqual((PROMPT_TOKENS, COMPLETION_TOKENS), (message.usage.input_tokens, message.usage.output_tokens))
        self.counted(request_id)

    def test_each_word_comes_when_it_is_said(self):
        with self.client().messages.stream(**ASKED | {"model": "gated"}) as stream:
            self.assertEqual(WORDS[0], next(stream.text_stream))
            world.platform.open_gate(self.mark)
            self.assertEqual(WORDS[1:], list(stream.text_stream))

    def test_models_and_token_counts(self):
        self.assertEqual(PROMPT_TOKENS, self.client().messages.count_tokens(model="good", messages=HELLO).input_tokens)
        self.assertIn("good", [model.id for model in self.client().models.list()])

    def test_a_bearer_token_for_a_key(self):
        client = self.client(key=None, auth_token=PLAIN)
        self.assertEqual(TEXT, client.messages.create(**ASKED).content[0].text)

    def test_refusals(self):
        rows = [
            ("sk-ant-of-somebody-else", anthropic.AuthenticationError, "invalid_api_key"),
            (NARROW, anthropic.PermissionDeniedError, "platform_not_allowed"),
        ]
        for key, kind, code in rows:
            with self.subTest(code), self.assertRaises(kind) as caught:
                self.client(key).messages.create(**ASKED)
            self.assertEqual(code, caught.exception.body["error"]["code"])
            self.assertEqual(code, caught.exception.response.headers["x-proxy-error"])
        self.assertEqual([], self.seen())

    def test_a_key_that_fails(self):
        message = self.client().messages.create(**ASKED | {"model": "first-key-500"})
        self.assertEqual(TEXT, message.content[0].text)
        self.assertEqual([500, 200], [record["status"] for record in self.seen()])

    def test_the_platforms_own_error(self):
        with self.assertRaises(anthropic.BadRequestError) as caught:
            self.client().messages.create(**ASKED | {"model": "bad-request"})
        self.assertNotIn("x-proxy-error", caught.exception.response.headers)

    def test_a_cut_off_stream_is_an_error(self):
        words = []
        # The SDK lets its HTTP library's exception through, whose name differs between versions.
        with self.assertRaises(Exception) as caught:
            with self.client().messages.stream(**ASKED | {"model": "cut-off"}) as stream:
                words.extend(stream.text_stream)
        self.assertEqual("RemoteProtocolError", type(caught.exception).__name__)
        self.assertEqual(WORDS[:1], words)

    def test_a_closed_stream(self):
        with self.client().messages.stream(**ASKED | {"model": "endless"}) as stream:
            next(stream.text_stream)
        self.assertEqual(["canceled"], [record["state"] for record in self.seen("canceled")])
