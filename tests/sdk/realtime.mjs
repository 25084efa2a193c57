// The official `openai` package for Node speaks Realtime through the proxy, as README shows it.
//
//     node --experimental-websocket realtime.mjs '{"folder": ..., "proxy": ..., "key": ..., "model": ...}'
//
// `folder` holds node_modules. What the platform says is printed.

import { createRequire } from "node:module";
import { join } from "node:path";

const facts = JSON.parse(process.argv[2]);
const require = createRequire(join(facts.folder, "index.js"));
const OpenAI = require("openai").default;
const { OpenAIRealtimeWebSocket } = require("openai/realtime/websocket");

const client = new OpenAI({ baseURL: `${facts.proxy}/realtime/v1`, apiKey: facts.key });
const realtime = new OpenAIRealtimeWebSocket({ model: facts.model, dangerouslyAllowBrowser: true }, client);

realtime.on("session.created", () => realtime.send({ type: "response.create" }));
realtime.on("response.output_text.delta", (event) => process.stdout.write(event.delta));
realtime.on("response.done", () => realtime.close());
realtime.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
