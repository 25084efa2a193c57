// The answer to "is everything all right, and if not, which key?", and the figures since the start.

import { byId, element, reconcile, setAttribute, setShape, setText, shape } from "./dom.js";
import { bytes, count, decimal, instant, many, milliseconds, percent, span } from "./format.js";
import { errorCount } from "./history.js";

export const REASONS_MAX = 5;

/** How a state of a key or platform is shown: a level (colour and shape) and a word. */
const STATES = {
  healthy: { level: "good", word: "Healthy" },
  unknown: { level: "open", word: "No answer yet" },
  cooling: { level: "wait", word: "Cooling" },
  degraded: { level: "wait", word: "Degraded" },
  unhealthy: { level: "bad", word: "Unhealthy" },
  no_keys: { level: "bad", word: "No keys" },
  disabled: { level: "off", word: "Disabled" },
};

export function stateOf(status) {
  return STATES[status] ?? { level: "open", word: String(status) };
}

/** The platforms that are in use, as `[name, platform]`. */
export function enabled(platforms) {
  return Object.entries(platforms).filter(([, platform]) => platform.status !== "disabled");
}

/** The keys of the platforms in use, each with its platform and an id that no other one has. */
export function keysOf(platforms) {
  return enabled(platforms).flatMap(([name, platform]) => platform.keys.map((key) => ({ id: `${name} ${key.key_id}`, name, platform, key })));
}

export function isUsable({ status }) {
  return status === "healthy" || status === "unknown";
}

/** Whether it is usable although its last try failed. */
export function isFailing(key) {
  return isUsable(key) && Boolean(key.error);
}

/** Whether all usable keys fail: then it is the platform. */
export function isSilent({ keys }) {
  const usable = keys.filter(isUsable);
  return usable.length > 0 && usable.every(isFailing);
}

/** Whether nothing good is known of a usable key: it has never had an answer, or its platform is silent. */
export function isUnanswered(platform, key) {
  return isFailing(key) && (key.status === "unknown" || isSilent(platform));
}

export const UNANSWERED = { level: "wait", word: "No good answer" };

export function keyState(platform, key) {
  return isUnanswered(platform, key) ? UNANSWERED : stateOf(key.status);
}

/** The preview of a short key, which reveals nothing. */
const HIDDEN_PREVIEW = "…";

/** A key's name for people: its preview, with its id where the preview reveals nothing. */
export function keyName(key) {
  return key.key_preview === HIDDEN_PREVIEW ? `… ${key.key_id}` : key.key_preview;
}

/** What stands beside the name: its id, where the name does not contain that. */
export function keyTag(key) {
  return key.key_preview === HIDDEN_PREVIEW ? "" : key.key_id;
}

/** When a cooling key is free again, by the proxy's clock. */
export function coolingWords(key, now) {
  const until = instant(key.cooling_until);
  return until === null ? "Cooling" : `Cooling, free in ${span((until - now) / 1000)}`;
}

/** What a line of trouble shows about a key, apart from the reason. */
export function keyReason({ id, name, platform, key }) {
  const { level } = isFailing(key) ? UNANSWERED : stateOf(key.status);
  return { id, name, level, what: platform.display_name, part: ` · ${keyName(key)}`, tag: keyTag(key) };
}

/** `{level, headline, reasons: [{id, name, level, what, part, tag, why}]}` of the present state. */
function verdict(stats) {
  const now = Date.parse(stats.timestamp);
  const platforms = enabled(stats.platforms);
  const keys = keysOf(stats.platforms);
  const rejected = keys.filter(({ key }) => key.status === "unhealthy");
  const cooling = keys.filter(({ key }) => key.status === "cooling");
  const unanswered = keys.filter(({ platform, key }) => isUnanswered(platform, key));
  const unknown = keys.filter(({ key }) => key.status === "unknown" && !isFailing(key));
  const isDown = (platform) => platform.status === "unhealthy" || platform.status === "no_keys";
  const down = platforms.filter(([, platform]) => isDown(platform));
  // Keys whose platform has no usable key at all come first.
  const troubled = [...rejected, ...cooling, ...unanswered].sort((left, right) => isDown(right.platform) - isDown(left.platform));
  const reasons = [
    ...down
      .filter(([, platform]) => platform.keys.length === 0)
      .map(([name, platform]) => ({ id: name, name, level: "bad", what: platform.display_name, why: "none of its keys is set" })),
    ...troubled.map((item) => ({
      ...keyReason(item),
      why: [item.key.status === "cooling" ? coolingWords(item.key, now) : null, item.key.error].filter(Boolean).join(": ") || "rejected by the platform",
    })),
  ];
  const level = down.length > 0 ? "bad" : reasons.length > 0 ? "wait" : platforms.length > 0 ? "good" : "open";
  return { level, headline: headline(platforms, keys.length, rejected.length, cooling.length, unanswered.length, down), reasons, unknown: unknown.length };
}

function headline(platforms, total, rejected, cooling, unanswered, down) {
  if (platforms.length === 0) return "No platform is enabled";
  if (total === 0) return "No platform has a key";
  const parts = [];
  if (down.length === 1) parts.push(`${down[0][1].display_name} has no usable key`);
  if (down.length > 1) parts.push(`${down.length} of ${many(platforms.length, "platform")} have no usable key`);
  if (rejected > 0) parts.push(`${rejected} of ${many(total, "key")} ${rejected === 1 ? "is" : "are"} rejected`);
  if (cooling > 0) parts.push(rejected > 0 ? `${cooling} cooling` : `${cooling} of ${many(total, "key")} ${cooling === 1 ? "is" : "are"} cooling`);
  if (unanswered > 0) parts.push(`${unanswered} of ${many(total, "key")} got no good answer`);
  if (parts.length > 0) return parts.join(", ");
  return total === 1 ? "The one key is usable" : `All ${total} keys are usable`;
}

export class Overview {
  render(stats, rate) {
    const found = verdict(stats);
    this.say(found.level, found.headline);
    const shown = found.reasons.slice(0, REASONS_MAX);
    if (found.reasons.length > REASONS_MAX) {
      shown.push({ id: "more", level: "open", what: `and ${found.reasons.length - REASONS_MAX} more`, why: "key by key below" });
    }
    if (found.level === "good" && found.unknown > 0) {
      shown.push({ id: "unknown", level: "open", what: many(found.unknown, "key"), why: "no answer yet" });
    }
    reconcile(byId("reasons"), shown, (reason) => reason.id, createReason, updateReason);
    strip(stats, rate);
  }

  /** One line, which is the page's title too; without figures, all that is shown. */
  say(level, words) {
    byId("overview").dataset.level = level;
    setText(byId("headline"), words);
    setShape(byId("headline-shape").parentNode, level);
    document.title = `${words} – ai-api-proxy`;
  }
}

/** A line that says what is wrong and why. A name may be written from right to left, and what follows it is not. */
export function createReason() {
  return element("li", {}, shape("open"), element("p", {}, element("a", {}, element("bdi"), element("span")), " ", element("code", { class: "muted" }), " ", element("span")));
}

/** `name` is the platform whose card shows more. */
export function updateReason(node, { name, level, what, part = "", tag = "", why }) {
  const [mark, words] = node.children;
  const [link, code, rest] = words.children;
  setShape(mark, level);
  setAttribute(link, "href", name === undefined ? "#platforms-title" : `#${cardId(name)}`);
  setText(link.children[0], what);
  setText(link.children[1], part);
  setText(code, tag);
  setText(rest, why);
}

/** The id of a platform's card. */
export function cardId(name) {
  return `platform-${name}`;
}

function strip({ totals, connections, platforms, retry_memory_bytes }, rate) {
  const errors = errorCount(totals.errors);
  const inFlight = Object.values(platforms).flatMap((platform) => platform.keys).reduce((sum, key) => sum + key.in_flight, 0);
  const figures = [
    ["Requests/s", decimal(rate), "last 10 seconds"],
    ["In flight", count(inFlight), "at this moment"],
    ["Requests", count(totals.requests), "since the start"],
    ["Errors", count(errors), errors === 0 ? "none so far" : `${percent(errors, totals.requests)} of all`],
    ["First byte p50", milliseconds(totals.first_byte_ms.p50), `p95 ${milliseconds(totals.first_byte_ms.p95)}`],
    ["Tokens out", count(totals.tokens_out), `${count(totals.tokens_in)} in`],
    ["Bytes out", bytes(totals.bytes_out), `${bytes(totals.bytes_in)} in`],
    ["Connections", count(connections.clients), `+ ${count(connections.upstreams)} upstream`],
    ["Kept for retries", bytes(retry_memory_bytes), "request bodies"],
  ];
  reconcile(
    byId("strip"),
    figures,
    ([label]) => label,
    ([label]) => element("div", {}, element("dt", {}, label), element("dd", { class: "figure" }), element("dd", { class: "muted" })),
    (node, [, value, note]) => {
      setText(node.children[1], value);
      setText(node.children[2], note);
    },
  );
}
