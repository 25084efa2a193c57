// The client keys, and how much of their limits is used.

import { byId, element, setAttribute, setText } from "./dom.js";
import { count, instant, many, minute, percent, span } from "./format.js";
import { errorCount } from "./history.js";
import { More, Table, drawMeter, numberColumn } from "./table.js";

/** More client keys than this are folded: those that have used up a limit are shown first, then the busiest. */
const CLIENTS_SHOWN_MAX = 20;

export class Clients {
  constructor() {
    this.last = null;
    this.table = new Table(
      "Client keys",
      [
        { label: "Client", draw: drawName },
        numberColumn("Requests", ({ client }) => count(client.requests)),
        numberColumn("Errors", ({ client }) => count(errorCount(client.errors))),
        { label: "This hour", kind: "limit", draw: (cell, { client }) => drawLimit(cell, client.hour) },
        { label: "Today (UTC)", kind: "limit", draw: (cell, { client }) => drawLimit(cell, client.day) },
        numberColumn("Tokens in", ({ client }) => count(client.tokens_in)),
        numberColumn("Tokens out", ({ client }) => count(client.tokens_out)),
      ],
      ({ client }) => `${client.key_id} ${client.name}`,
    );
    this.empty = element("p", { class: "empty" }, "key.json lists no client keys.");
    this.more = new More(() => this.render(this.last));
    byId("clients").append(this.table.node, this.empty, this.more.node);
  }

  render(stats) {
    this.last = stats;
    const now = Date.parse(stats.timestamp);
    const { length } = stats.clients;
    this.empty.hidden = length > 0;
    this.table.node.hidden = length === 0;
    this.table.render(this.shown(stats.clients).map((client) => ({ client, now })));
    this.more.render(length <= CLIENTS_SHOWN_MAX, "Show fewer client keys", `Show all ${many(length, "client key")}`);
  }

  shown(clients) {
    if (this.more.open || clients.length <= CLIENTS_SHOWN_MAX) return clients;
    const rank = (left, right) => isUsedUp(right) - isUsedUp(left) || right.requests - left.requests;
    return [...clients].sort(rank).slice(0, CLIENTS_SHOWN_MAX);
  }
}

function isUsedUp({ hour, day }) {
  return [hour, day].some(({ limit, used }) => limit > 0 && used >= limit);
}

function drawName(cell, { client, now }) {
  if (!cell.firstChild) cell.append(element("span", { class: "client" }, element("span"), element("span", { class: "tag" }, "root")), element("small"));
  const [name, tag] = cell.children[0].children;
  setText(name, client.name ?? client.key_id);
  setAttribute(name, "class", client.name === null ? "whole" : "");
  tag.hidden = !client.is_root;
  const until = instant(client.cooldown_until);
  setText(cell.children[1], until !== null && until > now ? `cooldown, ${span((until - now) / 1000)} left` : "");
}

function drawLimit(cell, { limit, used, resets_at }) {
  if (!limit) {
    cell.replaceChildren(element("span", { class: "muted" }, used > 0 ? `${count(used)}, no limit` : "no limit"));
    return;
  }
  if (!cell.querySelector(".meter")) cell.replaceChildren();
  const level = used >= limit ? "bad" : used >= limit * 0.9 ? "wait" : "plain";
  const end = used >= limit ? `, free again at ${minute(Date.parse(resets_at))}` : "";
  drawMeter(cell, used / limit, `${count(used)} of ${count(limit)}${level === "wait" ? ` (${percent(used, limit)})` : ""}${end}`, level);
}
