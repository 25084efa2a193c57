// The client keys with how much of their limits is used.

import { byId, element, setText } from "./dom.js";
import { count, instant, minute, percent, span } from "./format.js";
import { errorCount } from "./history.js";
import { Table, drawMeter, numberColumn } from "./table.js";

export class Clients {
  constructor() {
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
    byId("clients").append(this.table.node, this.empty);
  }

  render(stats) {
    const now = Date.parse(stats.timestamp);
    this.empty.hidden = stats.clients.length > 0;
    this.table.node.hidden = stats.clients.length === 0;
    this.table.render(stats.clients.map((client) => ({ client, now })));
  }
}

function drawName(cell, { client, now }) {
  if (!cell.firstChild) cell.append(element("span", { class: "client" }, element("span"), element("span", { class: "tag" }, "root")), element("small"));
  const [name, tag] = cell.children[0].children;
  setText(name, client.name ?? client.key_id);
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
  const end = used >= limit ? `, free again at ${minute(instant(resets_at))}` : "";
  drawMeter(cell, used / limit, `${count(used)} of ${count(limit)}${level === "wait" ? ` (${percent(used, limit)})` : ""}${end}`, level);
}
