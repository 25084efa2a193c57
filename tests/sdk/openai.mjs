// The official `openai` package for Node against the proxy.
//
//     node openai.mjs '{"folder": ..., "proxy": ..., "platform": ..., "key": ..., "dailyKey": ...}'
//
// `folder` holds node_modules; `platform` is the wild platform's own address, which tells what it saw.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import test from "node:test";

const facts = JSON.parse(process.argv[2]);
const OpenAI = createRequire(join(facts.folder, "index.js"))("openai").default;
const messages = [{ role: "user", content: "Hello" }];
const text = "Hello from the wild";

function client(mark, platform, options = {}) {
  return new OpenAI({
    baseURL: `${facts.proxy}/${platform}/v1`,
    apiKey: facts.key,
    maxRetries: 0,
    timeout: 5000,
    defaultHeaders: { "x-test": mark },
    ...options,
  });
}

function ask(mark, platform, body, options) {
  return client(mark, platform, options).chat.completions.create({ messages, ...body });
}

async function read(stream) {
  let said = "";
  for await (const chunk of stream) said += chunk.choices[0]?.delta?.content ?? "";
  return said;
}

async function seen(mark, state) {
  const query = new URLSearchParams(state ? { test: mark, state } : { test: mark });
  const records = await (await fetch(`${facts.platform}/seen?${query}`)).json();
  for (const record of records) assert.ok(!JSON.stringify(record).includes(facts.key));
  return records;
}

test("chat with the demo platform", async () => {
  const completion = await ask("node-demo", "demo", { model: "demo" });
  assert.ok(completion.choices[0].message.content);
  assert.ok(completion.usage.total_tokens > 0);
  assert.ok(completion._request_id);
});

test("a stream of the demo platform", async () => {
  assert.ok(await read(await ask("node-demo", "demo", { model: "demo", stream: true })));
});

test("embeddings and models of the demo platform", async () => {
  const demo = client("node-demo", "demo");
  const embeddings = await demo.embeddings.create({ model: "demo", input: "Hello" });
  assert.ok(embeddings.data[0].embedding.length > 1);
  const names = [];
  for await (const model of demo.models.list()) names.push(model.id);
  assert.ok(names.includes("demo"));
});

test("a key that fails is not noticed", async () => {
  const mark = "node-failover";
  assert.equal((await ask(mark, "node", { model: "first-key-500" })).choices[0].message.content, text);
  assert.equal(await read(await ask(mark, "node", { model: "first-key-500", stream: true })), text);
  assert.ok((await seen(mark)).some((record) => record.status === 500));
});

test("a wrong key", async () => {
  await assert.rejects(ask("node-wrong", "node", { model: "good" }, { apiKey: "sk-of-somebody-else" }), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.equal(error.code, "invalid_api_key");
    assert.match(error.message, /Incorrect API key provided/);
    assert.ok(error.requestID);
    return true;
  });
  assert.deepEqual(await seen("node-wrong"), []);
});

test("a used-up limit is not asked again", async () => {
  const options = { apiKey: facts.dailyKey, maxRetries: 2 };
  await ask("node-daily", "node", { model: "good" }, options);
  await assert.rejects(ask("node-daily", "node", { model: "good" }, options), (error) => {
    assert.ok(error instanceof OpenAI.RateLimitError);
    assert.equal(error.code, "daily_limit");
    assert.equal(error.headers.get("x-should-retry"), "false");
    return true;
  });
});

test("the platform's own error", async () => {
  await assert.rejects(ask("node-own", "node", { model: "bad-request" }), OpenAI.BadRequestError);
});

test("a stream that is cut off is an error", async () => {
  const stream = await ask("node-cut", "node", { model: "cut-off", stream: true });
  await assert.rejects(read(stream));
});

test("an aborted stream is canceled at the platform", async () => {
  for (const model of ["endless", "silent"]) {
    const mark = `node-abort-${model}`;
    const stream = await ask(mark, "node", { model, stream: true });
    for await (const chunk of stream) {
      assert.ok(chunk.id);
      stream.controller.abort();
    }
    assert.deepEqual(
      (await seen(mark, "canceled")).map((record) => record.state),
      ["canceled"],
    );
  }
});
