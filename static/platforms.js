// A card per platform with its keys.

import { byId, element, reconcile, setAttribute, setShape, setText, shape } from "./dom.js";
import { ago, count, instant, many, milliseconds, percent } from "./format.js";
import { errorCount } from "./history.js";
import { UNANSWERED, cardId, coolingWords, isSilent, isUnanswered, isUsable, keyName, keyState, keyTag, stateOf } from "./overview.js";
import { More, Table, drawLevel, drawMeter, numberColumn } from "./table.js";

/** More keys than this are folded: those in trouble are shown first. */
const KEYS_SHOWN_MAX = 8;
/** With more platforms than this, healthy ones are folded to their figures. */
const PLATFORMS_OPEN_MAX = 4;

const ERROR_WORDS = { auth: "rejected", rate_limited: "rate-limited", server: "server (5xx)", network: "network", timeout: "timeout", client: "client (4xx)", canceled: "canceled" };

export class Platforms {
  constructor() {
    this.host = byId("platforms");
    this.empty = element("p", { class: "panel empty" }, "No platform is configured. Add one to platform.json: an edit takes effect within two seconds.");
    this.host.after(this.empty);
  }

  render(stats, routes) {
    const now = Date.parse(stats.timestamp);
    const entries = Object.entries(stats.platforms);
    const crowded = entries.length > PLATFORMS_OPEN_MAX;
    const items = entries.map(([name, platform]) => ({ name, platform, now, crowded, route: routes.get(name) }));
    this.empty.hidden = items.length > 0;
    reconcile(this.host, items, (item) => item.name, (item) => new Card(item.name).node, (node, item) => node.card.update(item));
  }
}

class Card {
  constructor(name) {
    const id = cardId(name);
    this.last = null;
    this.title = element("h3", { id });
    this.route = element("code", { class: "muted" });
    this.mark = shape("open");
    this.state = element("span");
    this.facts = element("p", { class: "facts-line muted" });
    this.table = new Table(`Keys of ${name}`, keyColumns(), ({ key }) => key.key_id, ({ platform, key }) => keyState(platform, key).level);
    this.none = element("p", { class: "empty" });
    this.more = new More(() => this.update(this.last));
    this.node = element(
      "article",
      { class: "panel platform", "aria-labelledby": id },
      element("header", {}, element("div", { class: "name" }, this.title, this.route), element("p", { class: "state" }, this.mark, this.state)),
      this.facts,
      this.table.node,
      this.none,
      this.more.node,
    );
    this.node.card = this;
  }

  update(item) {
    this.last = item;
    const { name, platform, now, route } = item;
    const { level } = platformState(platform);
    setAttribute(this.node, "data-level", level);
    setText(this.title, platform.display_name);
    setText(this.route, route ?? `/${name}/`);
    setShape(this.mark, level);
    setText(this.state, platformWords(platform));
    setText(this.facts, factWords(platform));
    this.facts.hidden = platform.requests === 0;
    const sum = platform.keys.reduce((total, key) => total + key.requests, 0);
    const idle = platform.status === "disabled" || platform.keys.length === 0;
    const folded = this.folded(item, idle);
    const shown = this.more.open && !idle ? platform.keys : folded;
    this.table.render(shown.map((key) => ({ platform, key, now, sum })));
    this.table.node.hidden = shown.length === 0;
    setAttribute(this.node, "data-folded", String(shown.length === 0 && !idle));
    this.none.hidden = !idle;
    setText(this.none, idleWords(platform));
    const all = shown.length === 0 ? `Show ${many(platform.keys.length, "key")}` : `Show all ${platform.keys.length} keys`;
    this.more.render(idle || folded.length === platform.keys.length, "Show fewer keys", all);
  }

  /** The keys that are shown unless all are asked for. */
  folded({ platform, crowded }, idle) {
    const { status, keys } = platform;
    const trouble = keys.filter((key) => !isUsable(key) || isUnanswered(platform, key));
    if (idle || (crowded && status === "healthy" && trouble.length === 0)) return [];
    if (keys.length <= KEYS_SHOWN_MAX) return keys;
    const rest = keys.filter((key) => !trouble.includes(key));
    return [...trouble, ...rest].slice(0, KEYS_SHOWN_MAX);
  }
}

/** A platform all of whose usable keys fail is not to be called healthy. */
function platformState(platform) {
  return platform.status !== "disabled" && isSilent(platform) ? UNANSWERED : stateOf(platform.status);
}

function platformWords(platform) {
  const { status, keys } = platform;
  const usable = keys.filter(isUsable).length;
  const { word } = platformState(platform);
  return status === "disabled" || keys.length === 0 ? word : `${word}: ${usable} of ${keys.length} usable`;
}

function idleWords({ status, keys }) {
  if (status !== "disabled") return "None of its keys is set: requests are answered 503 until one is.";
  return keys.length === 0 ? "Switched off in platform.json." : `Switched off in platform.json: its ${many(keys.length, "key")} ${keys.length === 1 ? "is" : "are"} not used.`;
}

function factWords(platform) {
  const errors = errorCount(platform.errors);
  return [
    many(platform.requests, "request"),
    `${many(errors, "error")}${errors > 0 ? ` (${percent(errors, platform.requests)})` : ""}`,
    `first byte p50 ${milliseconds(platform.first_byte_ms.p50)}, p95 ${milliseconds(platform.first_byte_ms.p95)}`,
    `${count(platform.tokens_in)} tokens in, ${count(platform.tokens_out)} out`,
  ].join(" · ");
}

function keyColumns() {
  return [
    { label: "Key", kind: "key", draw: drawKey },
    { label: "State", kind: "state-cell", draw: drawState },
    { label: "Share", kind: "share", draw: (cell, { key, sum }) => drawMeter(cell, key.requests / sum, percent(key.requests, sum)) },
    numberColumn("Requests", ({ key }) => count(key.requests)),
    numberColumn("Failed tries", ({ key }) => count(errorCount(key.errors))),
    numberColumn("p50", ({ key }) => milliseconds(key.first_byte_ms.p50)),
    numberColumn("p95", ({ key }) => milliseconds(key.first_byte_ms.p95)),
    numberColumn("Tokens in", ({ key }) => count(key.tokens_in)),
    numberColumn("Tokens out", ({ key }) => count(key.tokens_out)),
    numberColumn("In flight", ({ key }) => count(key.in_flight)),
    numberColumn("Last used", ({ key, now }) => ago(instant(key.last_used), now)),
    { label: "Notes", kind: "notes", draw: drawNotes },
  ];
}

function drawKey(cell, { key }) {
  if (!cell.firstChild) cell.append(element("code"), element("code", { class: "muted" }));
  setText(cell.children[0], keyName(key));
  setText(cell.children[1], keyTag(key));
}

function drawState(cell, { platform, key, now }) {
  const { level, word } = keyState(platform, key);
  drawLevel(cell, level, key.status === "cooling" ? coolingWords(key, now) : word);
}

/** The state's reason, and why tries failed, which can be long. */
function drawNotes(cell, { key }) {
  if (!cell.firstChild) cell.append(element("span", { class: "why" }), element("span"));
  const kinds = Object.entries(ERROR_WORDS).filter(([kind]) => key.errors[kind] > 0);
  const errors = kinds.map(([kind, word]) => `${count(key.errors[kind])} ${word}`).join(", ");
  setText(cell.children[0], key.error ?? "");
  setText(cell.children[1], errors && `Failed tries: ${errors}`);
  cell.hidden = !key.error && !errors;
}
