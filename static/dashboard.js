// The dashboard: takes the figures from the feed, passes them to each part of the page, and shows the connection's state.

import { json, rootKey } from "./api.js";
import { Clients } from "./clients.js";
import { byId, setAttribute, setText } from "./dom.js";
import { Feed } from "./feed.js";
import { clock, count, decimal, milliseconds, span } from "./format.js";
import { Health } from "./health.js";
import { History, SPAN_MS_MAX } from "./history.js";
import { Overview } from "./overview.js";
import { Platforms } from "./platforms.js";
import { Plot } from "./plot.js";
import { Prompt } from "./prompt.js";
import { Requests } from "./requests.js";

/** A refused configuration and the routes come from /info, which is requested this often. */
const INFO_MS = 3000;
/** A page that was just opened has little to show: its plots begin with a shorter span. */
const SPAN_MS_FIRST = 3 * 60_000;
/** The feature in /info that goes with enable_key_validation: without it no key is asked for. */
const CLIENT_KEYS = "client keys with limits";
const GATE_WORDS = "From another machine, the figures are shown to holders of a root key only. It stays in this browser tab and is sent as a header, never in an address.";
const GATE_WORDS_LOCAL = "The figures are shown on the proxy's own machine only, at 127.0.0.1 or ::1: enable_key_validation is off in config.json, so that no key opens them from elsewhere.";

class Dashboard {
  constructor() {
    this.history = new History();
    this.overview = new Overview();
    this.platforms = new Platforms();
    this.clients = new Clients();
    this.requests = new Requests();
    this.prompt = new Prompt();
    this.health = new Health(() => this.feed.start());
    this.plots = plots(byId("plots"));
    this.routes = new Map();
    this.info = null;
    this.stats = null;
    this.line = { state: "connecting" };
    this.feed = new Feed((stats) => this.take(stats), (line) => this.show(line));
    byId("gate-form").addEventListener("submit", (event) => this.unlock(event));
    byId("forget").addEventListener("click", () => this.lock());
    byId("retry").addEventListener("click", () => this.feed.start());
    byId("closed-retry").addEventListener("click", () => this.feed.start());
    setInterval(() => this.countDown(), 500);
    setInterval(() => document.hidden || this.ask(), INFO_MS);
    this.ask();
    this.feed.start();
  }

  take(stats) {
    this.stats = stats;
    this.history.add(stats);
    this.overview.render(stats, this.history.rate());
    this.platforms.render(stats, this.routes);
    this.clients.render(stats);
    this.requests.render(stats, this.routes);
    this.prompt.render(stats, this.routes, this.takesKeys());
    this.health.render(stats);
    this.draw(Date.parse(stats.timestamp));
    this.about();
  }

  draw(now) {
    const { bins } = this.history;
    const young = bins.length === 0 || now - bins[0].start < SPAN_MS_FIRST;
    setText(byId("plots-title").firstChild, young ? "Last 3 minutes " : "Last 15 minutes ");
    for (const plot of this.plots) plot.render(bins, now, young ? SPAN_MS_FIRST : SPAN_MS_MAX);
    setText(byId("plots-note"), this.plots[0].gaps().length > 0 ? "Grey: no data." : "");
  }

  /** Version, routes and a refused configuration; public, so it is requested behind the gate as well. */
  async ask() {
    if (this.line.state === "cut" || this.line.state === "closed") return;
    try {
      this.info = await json("/info");
    } catch {
      return;
    }
    this.routes = new Map();
    for (const name of this.info.enabled_platforms) {
      const route = this.info.endpoints[name];
      if (route?.startsWith(`/${name}/`)) this.routes.set(name, route.replace(/\*$/, ""));
    }
    this.fitGate();
    byId("config-error").hidden = !this.info.config_error;
    setText(byId("config-error-text"), this.info.config_error ?? "");
    this.about();
  }

  about() {
    const uptime = this.stats?.uptime_seconds;
    const parts = [this.info ? `version ${this.info.version}` : null, uptime == null ? null : `up ${span(uptime)}`];
    setText(byId("about"), parts.filter(Boolean).join(" · "));
  }

  show(line) {
    const before = this.line.state;
    this.line = line;
    const seen = this.stats !== null;
    const hadGateFocus = byId("gate").contains(document.activeElement);
    const view = line.state === "locked" || line.state === "closed" ? line.state : seen || line.state === "live" ? "figures" : "loading";
    setAttribute(document.body, "data-view", view);
    setAttribute(document.body, "data-line", line.state);
    const words = { connecting: "Connecting…", live: "Live", cut: "Cut off", locked: "Locked", closed: "Switched off" };
    setText(byId("line"), words[line.state]);
    byId("gate").hidden = line.state !== "locked";
    byId("closed").hidden = line.state !== "closed";
    byId("overview").hidden = view === "locked" || view === "closed";
    byId("cut").hidden = line.state !== "cut";
    byId("forget").hidden = rootKey.read() === null || line.state === "locked";
    if (line.state === "cut" && before !== "cut") this.sayCut(seen);
    if (line.state === "cut" && !seen) this.overview.say("bad", "The proxy does not answer");
    if (line.state === "locked") this.askForKey(line.refused);
    if (line.state === "closed") {
      setText(byId("closed-text"), line.refused.message);
      document.title = "Switched off – ai-api-proxy";
    }
    if (hadGateFocus && byId("gate").hidden) byId("content").focus();
    if (line.state === "live" && before !== "live") this.ask();
    this.countDown();
  }

  sayCut(seen) {
    const when = seen ? ` The figures below are from ${clock(Date.parse(this.stats.timestamp))}.` : "";
    setText(byId("cut-text"), `The line to the proxy is cut.${when}`);
    document.title = "Cut off – ai-api-proxy";
  }

  countDown() {
    if (this.line.state !== "cut") return;
    const seconds = Math.ceil((this.line.retryAt - Date.now()) / 1000);
    setText(byId("cut-countdown"), seconds > 0 ? `Trying again in ${seconds} s` : "Trying…");
  }

  /** Undefined until /info has answered. */
  takesKeys() {
    return this.info?.features.includes(CLIENT_KEYS);
  }

  /** A key is asked for only where keys are accepted. */
  fitGate() {
    const takesKeys = this.takesKeys() ?? true;
    const title = takesKeys ? "A root key, please" : "The figures are not shown from here";
    byId("gate-form").hidden = !takesKeys;
    setText(byId("gate-title"), title);
    setText(byId("gate-text"), takesKeys ? GATE_WORDS : GATE_WORDS_LOCAL);
    if (this.line.state === "locked") document.title = `${title} – ai-api-proxy`;
  }

  askForKey(refused) {
    this.fitGate();
    setText(byId("gate-error"), rootKey.read() === null && refused.code !== "sample_key" ? "" : refused.message);
    rootKey.forget();
    byId("gate-key").focus();
  }

  unlock(event) {
    event.preventDefault();
    const key = byId("gate-key").value.trim();
    if (!key) return;
    rootKey.keep(key);
    byId("gate-key").value = "";
    this.feed.start();
  }

  lock() {
    rootKey.forget();
    location.reload();
  }
}

function plots(host) {
  // A rate needs at least about a second.
  const perSecond = (bin) => (bin.watched < 900 ? null : (1000 * bin.requests) / bin.watched);
  return [
    new Plot(host, {
      title: "Requests",
      unit: "per second",
      format: decimal,
      floor: 1,
      series: [{ name: "requests", kind: "area", tone: "main", value: perSecond }],
    }),
    new Plot(host, {
      title: "Errors",
      unit: "in 5 seconds",
      format: count,
      floor: 4,
      series: [
        { name: "platform", kind: "bar", tone: "bad", value: (bin) => bin.platform },
        { name: "key or limit", kind: "bar", tone: "wait", value: (bin) => bin.limit },
        { name: "client", kind: "bar", tone: "dim", value: (bin) => bin.client },
      ],
    }),
    new Plot(host, {
      title: "First byte",
      unit: "after the request",
      format: milliseconds,
      floor: 10,
      series: [
        { name: "p95", kind: "line", tone: "dim", value: (bin) => bin.p95 },
        { name: "p50", kind: "line", tone: "main", value: (bin) => bin.p50 },
      ],
    }),
  ];
}

new Dashboard();
