// The button that probes every key, with progress as the probes come in, and the round's result.

import { json } from "./api.js";
import { byId, element, setText } from "./dom.js";
import { clock, many, milliseconds } from "./format.js";
import { REASONS_MAX, createReason, isFailing, keyReason, keysOf, updateReason } from "./overview.js";

/** The uptime is in whole seconds: start times further apart than this are of two processes. */
const START_MS_DIFFERENCE = 1500;

export class Health {
  constructor(onRefused) {
    this.onRefused = onRefused;
    this.stats = null;
    this.before = null;
    byId("check").addEventListener("click", () => this.run());
  }

  /** A key whose last check differs from that at the round's start has been probed in it. */
  render(stats) {
    // The result of a check means nothing once another process has replaced the checked one.
    if (this.stats !== null && Math.abs(startOf(stats) - startOf(this.stats)) > START_MS_DIFFERENCE) byId("check-result").hidden = true;
    this.stats = stats;
    if (this.before === null) return;
    const keys = keysOf(stats.platforms);
    const done = keys.filter(({ id, key }) => this.before.get(id) !== key.last_check).length;
    byId("check-bar").max = Math.max(1, keys.length);
    byId("check-bar").value = done;
    setText(byId("check-count"), `${done} of ${many(keys.length, "key")} checked`);
  }

  async run() {
    if (this.before !== null) return;
    const button = byId("check");
    this.before = new Map(keysOf(this.stats.platforms).map(({ id, key }) => [id, key.last_check]));
    this.render(this.stats);
    // `disabled` would take the focus away.
    button.setAttribute("aria-disabled", "true");
    byId("check-progress").hidden = false;
    const start = performance.now();
    try {
      this.show(await json("/health"), performance.now() - start);
    } catch (error) {
      this.fail(error);
    }
    this.before = null;
    button.removeAttribute("aria-disabled");
    byId("check-progress").hidden = true;
  }

  show(round, duration) {
    const probes = keysOf(round.platforms);
    // Keys that cannot be used are listed above already; these can, although their probe reported an error.
    const odd = probes.filter(({ key }) => isFailing(key));
    // Times are in whole milliseconds: 0 stands for less than one, and is shown so.
    const times = probes.filter(({ key }) => key.status === "healthy" && !isFailing(key)).map(({ key }) => key.response_time_ms || 0.5);
    const { healthy_keys: good, total_keys: all } = round.summary;
    const rows = odd.slice(0, REASONS_MAX).map((item) => {
      const row = createReason();
      updateReason(row, { ...keyReason(item), why: `still used, but its probe met: ${item.key.error}` });
      return row;
    });
    const failed = odd.length > 0 ? `, ${odd.length} without a good answer` : "";
    const spread = times.length > 0 ? `, the slowest answered in ${milliseconds(Math.max(...times))}` : "";
    this.place(`Checked at ${clock(Date.parse(round.timestamp))} in ${milliseconds(duration)}: ${good - odd.length} of ${many(all, "key")} healthy${failed}${spread}.`, rows);
  }

  fail(error) {
    if (error.status === 401) this.onRefused();
    this.place(`The check did not finish: ${error.message}`, []);
  }

  place(words, rows) {
    const close = element("button", { class: "quiet", type: "button" }, "Dismiss");
    const host = byId("check-result");
    close.addEventListener("click", () => {
      host.hidden = true;
      byId("check").focus();
    });
    host.replaceChildren(element("p", { class: "row" }, element("span", {}, words), close), element("ul", { class: "reasons" }, ...rows));
    host.hidden = false;
  }
}

function startOf({ timestamp, uptime_seconds: uptime }) {
  return Date.parse(timestamp) - 1000 * uptime;
}
