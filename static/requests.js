// The last 100 requests: filtered, frozen while someone reads, each with all its facts on demand.

import { byId, element, reconcile, setText } from "./dom.js";
import { bytes, clock, count, dateTime, milliseconds, text } from "./format.js";
import { keyName } from "./overview.js";
import { Table, drawLevel, numberColumn, textColumn } from "./table.js";

const SEARCHED = ["client", "platform", "platform_name", "key_name", "key_id", "method", "path", "model", "status", "code", "request_id"];

export class Requests {
  constructor() {
    this.paused = false;
    this.table = new Table(
      "Last 100 requests, newest first",
      [
        { label: "Time", kind: "time", draw: drawTime },
        { label: "Answer", draw: (cell, request) => drawLevel(cell, levelOf(request), answerWords(request)) },
        textColumn("Client", (request) => text(request.client), "named"),
        textColumn("Platform", (request) => text(request.platform_name), "named"),
        textColumn("Key", (request) => text(request.key_name), "code"),
        textColumn("Model", (request) => text(request.model), "code"),
        numberColumn("Tries", (request) => count(request.tries)),
        numberColumn("First byte", (request) => milliseconds(request.first_byte_ms)),
        numberColumn("Total", (request) => milliseconds(request.total_ms)),
        numberColumn("Tokens in", (request) => count(request.tokens_in)),
        numberColumn("Tokens out", (request) => count(request.tokens_out)),
      ],
      (request) => request.id,
      levelOf,
    );
    this.empty = element("div", { class: "empty" }, element("p"), element("pre", { tabindex: "0" }));
    byId("recent").append(this.table.node, this.empty);
    byId("recent-text").addEventListener("input", () => this.draw());
    byId("recent-kind").addEventListener("change", () => this.draw());
    byId("recent-pause").addEventListener("click", (event) => {
      this.paused = !this.paused;
      event.target.setAttribute("aria-pressed", String(this.paused));
      setText(event.target, this.paused ? "Continue" : "Pause");
      if (!this.paused) this.take(this.latest);
    });
  }

  render(stats, routes) {
    this.latest = stats;
    this.routes = routes;
    if (!this.paused && !byId("request").open) this.take(stats);
  }

  take(stats) {
    const names = new Map();
    for (const [name, platform] of Object.entries(stats.platforms)) {
      for (const key of platform.keys) names.set(`${name} ${key.key_id}`, keyName(key));
    }
    this.all = stats.recent.map((request, place) => ({
      ...request,
      // The totals count exactly these requests, so each has a number; a restart begins anew.
      id: `${stats.totals.requests - place} ${request.time}`,
      platform_name: stats.platforms[request.platform]?.display_name ?? request.platform,
      key_name: names.get(`${request.platform} ${request.key_id}`) ?? request.key_id,
    }));
    this.draw();
  }

  draw() {
    if (!this.all) return;
    const words = byId("recent-text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = byId("recent-kind").value;
    const shown = this.all.filter((request) => wanted(request, kind) && matches(request, words));
    this.table.render(shown);
    this.table.node.hidden = shown.length === 0;
    this.empty.hidden = shown.length > 0;
    const [note, example] = this.empty.children;
    const [route] = this.routes.values();
    const none = route ? "No request yet. Send one from this page, or from a shell:" : "No request yet, and no platform to send one to.";
    setText(note, this.all.length === 0 ? none : "None of the last requests matches.");
    example.hidden = this.all.length > 0 || !route;
    setText(example, `curl -H "Authorization: Bearer YOUR_CLIENT_KEY" ${location.origin}${route}models`);
    setText(byId("recent-count"), shown.length === this.all.length ? "" : `${shown.length} of ${this.all.length}`);
  }
}

function drawTime(cell, request) {
  if (cell.firstChild) return;
  const button = element("button", { class: "link", type: "button", "aria-haspopup": "dialog" }, clock(Date.parse(request.time)));
  button.addEventListener("click", () => showFacts(request));
  cell.append(button);
}

function matches(request, words) {
  const fields = SEARCHED.map((name) => String(request[name] ?? "").toLowerCase());
  return words.every((word) => fields.some((field) => field.includes(word)));
}

function wanted(request, kind) {
  if (kind === "failed") return levelOf(request) !== "good";
  return kind === "retried" ? request.tries > 1 : true;
}

function levelOf({ status, code }) {
  if (code === "canceled") return "off";
  if (status === null) return "bad";
  // A request that was cut off has the status that was delivered, and its code says why it was cut.
  if (status < 400) return code === null ? "good" : "bad";
  return status < 500 ? "wait" : "bad";
}

function answerWords({ status, code }) {
  return [status ?? (code === null ? "no answer" : null), code].filter((part) => part !== null).join(" ");
}

/** The key's name and id; the name may contain the id already. */
function keyWords({ key_name: name, key_id: id }) {
  return name === null || name.endsWith(id) ? name : `${name} · ${id}`;
}

function showFacts(request) {
  const facts = [
    ["Time", dateTime(Date.parse(request.time))],
    ["Answer", answerWords(request)],
    ["Request id", request.request_id],
    ["Client", request.client],
    ["Platform", request.platform_name],
    ["Key", keyWords(request)],
    ["Request", `${request.method} ${request.path}`],
    ["Model", request.model],
    ["Tries", request.tries],
    ["First byte", milliseconds(request.first_byte_ms)],
    ["Total", milliseconds(request.total_ms)],
    ["Bytes in, out", `${bytes(request.bytes_in)}, ${bytes(request.bytes_out)}`],
    ["Tokens in, out", `${count(request.tokens_in)}, ${count(request.tokens_out)}`],
  ];
  reconcile(
    byId("request-facts"),
    facts,
    ([label]) => label,
    ([label]) => element("div", {}, element("dt", {}, label), element("dd")),
    (node, [, value]) => setText(node.children[1], text(value)),
  );
  byId("request").showModal();
}
