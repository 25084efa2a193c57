// Sends a prompt through the proxy, as any client would, and shows the answer as it streams.

import { errorWords, events, json, request, rootKey } from "./api.js";
import { byId, element, reconcile, setText } from "./dom.js";
import { count, milliseconds } from "./format.js";
import { enabled } from "./overview.js";

/** The box shows the beginning of a very long answer; the figures still count all of it. */
const ANSWER_CHARACTERS_MAX = 100_000;
const MODELS_SHOWN_MAX = 500;
/** So near its end the box follows the answer. */
const SCROLL_PIXELS_MAX = 24;

export class Prompt {
  constructor() {
    this.routes = new Map();
    this.stop = null;
    this.modelsOf = null;
    byId("prompt-platform").addEventListener("change", () => this.changed());
    byId("prompt-model").addEventListener("focus", () => this.models().catch(() => {}));
    byId("prompt-stop").addEventListener("click", () => this.stop?.abort());
    byId("prompt").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    byId("prompt-text").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("prompt").requestSubmit();
    });
  }

  render(stats, routes, takesKeys) {
    this.routes = routes;
    this.takesKeys = takesKeys;
    const platforms = enabled(stats.platforms);
    const chosen = byId("prompt-platform").value;
    reconcile(
      byId("prompt-platform"),
      platforms,
      ([name]) => name,
      ([name]) => element("option", { value: name }),
      (node, [, platform]) => setText(node, platform.display_name),
    );
    if (byId("prompt-platform").value !== chosen) this.changed();
    byId("prompt-send").disabled = platforms.length === 0;
    setText(byId("prompt-route"), platforms.length === 0 ? "No platform is enabled." : `POST ${this.route()}chat/completions`);
  }

  route() {
    const name = byId("prompt-platform").value;
    return this.routes.get(name) ?? `/${name}/`;
  }

  /** The key that was typed, or else the root key of this tab. */
  key() {
    return byId("prompt-key").value.trim() || rootKey.read();
  }

  changed() {
    byId("prompt-model").value = "";
    byId("prompt-models").replaceChildren();
    this.modelsOf = null;
    setText(byId("prompt-route"), `POST ${this.route()}chat/completions`);
  }

  /** The platform's models, requested once, and not without a key where one is needed. */
  async models(signal) {
    const route = this.route();
    if (this.modelsOf?.route === route) return this.modelsOf.names;
    if (this.takesKeys && !this.key()) return [];
    const listed = await json(`${route}models`, { key: this.key(), signal });
    const names = (Array.isArray(listed.data) ? listed.data : []).map((model) => model?.id).filter((id) => typeof id === "string").slice(0, MODELS_SHOWN_MAX);
    if (route !== this.route()) return names;
    this.modelsOf = { route, names };
    byId("prompt-models").replaceChildren(...names.map((name) => element("option", { value: name })));
    return names;
  }

  async send() {
    if (this.stop || byId("prompt-send").disabled) return;
    this.stop = new AbortController();
    const answer = byId("prompt-answer");
    answer.replaceChildren();
    answer.classList.remove("problem");
    answer.hidden = false;
    answer.setAttribute("aria-busy", "true");
    byId("prompt-send").setAttribute("aria-disabled", "true");
    byId("prompt-stop").hidden = false;
    setText(byId("prompt-facts"), "Waiting for the first byte…");
    const progress = { start: performance.now(), first: null, characters: 0, usage: null, id: null };
    let end = "finished";
    try {
      await this.stream(answer, progress);
    } catch (error) {
      end = error.name === "AbortError" ? "stopped" : "failed";
      if (end === "failed") this.fail(answer, error);
    }
    this.report(progress, end);
    answer.setAttribute("aria-busy", "false");
    this.stop = null;
    byId("prompt-send").removeAttribute("aria-disabled");
    if (document.activeElement === byId("prompt-stop")) byId("prompt-send").focus();
    byId("prompt-stop").hidden = true;
  }

  async stream(answer, progress) {
    const field = byId("prompt-model");
    if (!field.value.trim()) field.value = (await this.models(this.stop.signal).catch(explain))[0] ?? "";
    progress.start = performance.now();
    const response = await request(`${this.route()}chat/completions`, {
      method: "POST",
      key: this.key(),
      signal: this.stop.signal,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        model: field.value.trim(),
        stream: true,
        stream_options: { include_usage: true },
        messages: [{ role: "user", content: byId("prompt-text").value }],
      }),
    });
    progress.id = response.headers.get("x-request-id");
    if (!response.headers.get("content-type")?.toLowerCase().startsWith("text/event-stream")) {
      const body = await response.json();
      if (body?.error) throw new Error(errorWords(body.error));
      const content = body?.choices?.[0]?.message?.content;
      this.append(answer, progress, content == null ? JSON.stringify(body, null, 2) : wordsOf(content), body?.usage);
      return;
    }
    for await (const { data } of events(response)) {
      if (data === "[DONE]") return;
      if (!data) continue;
      const chunk = JSON.parse(data);
      if (chunk?.error) throw new Error(errorWords(chunk.error));
      const delta = chunk?.choices?.[0]?.delta;
      if (progress.first === null && (delta?.reasoning || delta?.reasoning_content)) setText(byId("prompt-facts"), "Thinking…");
      this.append(answer, progress, wordsOf(delta?.content), chunk?.usage);
    }
  }

  append(answer, progress, words, usage) {
    if (words && progress.first === null) {
      progress.first = performance.now();
      setText(byId("prompt-facts"), "Answering…");
    }
    const isAtEnd = answer.scrollHeight - answer.scrollTop - answer.clientHeight < SCROLL_PIXELS_MAX;
    if (progress.characters < ANSWER_CHARACTERS_MAX) answer.append(words);
    progress.characters += words.length;
    progress.usage = usage ?? progress.usage;
    if (isAtEnd) answer.scrollTop = answer.scrollHeight;
  }

  fail(answer, error) {
    const parts = [error.status, error.code].filter(Boolean).join(" ");
    const words = { TypeError: "The answer broke off before its end.", SyntaxError: "The answer is not JSON." }[error.name] ?? error.message;
    answer.classList.add("problem");
    answer.append(element("p", {}, parts ? `${parts}: ${words}` : words));
    if (error.status === 401) byId("prompt-key").focus();
  }

  report({ start, first, usage, id }, end) {
    const facts = [
      { finished: "Finished", stopped: "Stopped", failed: "Failed" }[end] + ` after ${milliseconds(performance.now() - start)}`,
      first === null ? null : `first word after ${milliseconds(first - start)}`,
      usage ? `${count(usage.prompt_tokens)} tokens in, ${count(usage.completion_tokens)} out` : null,
      id ? `request ${id}` : null,
    ];
    setText(byId("prompt-facts"), facts.filter(Boolean).join(" · "));
  }
}

/** A text that some platforms send in parts. */
function wordsOf(content) {
  if (typeof content === "string") return content;
  return Array.isArray(content) ? content.map((part) => part?.text ?? "").join("") : "";
}

/** The reader did not ask for the models: an error of theirs must not pass for the prompt's. */
function explain(error) {
  if (error.name === "AbortError" || error.status === 401) throw error;
  throw new Error(`The platform lists no models (${[error.status, error.message].filter(Boolean).join(" ")}): type one above.`);
}
