// The connection to /events: opens it, notices when it is cut or silent, and reopens it. It knows nothing of the page.

import { Refused, events, request } from "./api.js";

/** The proxy sends an event every second; this much silence means that the connection is dead. */
const SILENCE_MS_MAX = 5000;
const PAUSE_MS_FIRST = 500;
const PAUSE_MS_MAX = 8000;
/** What is switched off may be switched on again. */
const PAUSE_MS_CLOSED = 30_000;

/**
 * Calls `onStats(stats)` every second and `onLine(line)` when the connection's state changes:
 * `{state: "connecting" | "live"}`, `{state: "cut", retryAt}`, `{state: "locked" | "closed", refused}`.
 */
export class Feed {
  constructor(onStats, onLine) {
    this.onStats = onStats;
    this.onLine = onLine;
    this.pause = PAUSE_MS_FIRST;
    this.attempt = null;
    this.wake = null;
    window.addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
  }

  /** Starts over: when the page opens, with a new key, or because the reader asks for it. */
  start() {
    clearTimeout(this.wake);
    this.wake = null;
    this.attempt?.abort();
    this.attempt = new AbortController();
    this.follow(this.attempt);
  }

  /** Skips the rest of a pause. */
  hurry() {
    if (this.wake !== null) this.start();
  }

  async follow(attempt) {
    let refused = null;
    let watch = null;
    try {
      let heard = Date.now();
      watch = setInterval(() => Date.now() - heard > SILENCE_MS_MAX && attempt.abort("silent"), 1000);
      for await (const event of events(await request("/events", { signal: attempt.signal }))) {
        heard = Date.now();
        if (attempt !== this.attempt) return;
        if (event.name !== "stats") continue;
        const stats = JSON.parse(event.data);
        this.pause = PAUSE_MS_FIRST;
        this.onLine({ state: "live" });
        this.onStats(stats);
      }
    } catch (error) {
      if (error instanceof Refused) refused = error;
    } finally {
      clearInterval(watch);
    }
    if (attempt === this.attempt) this.ended(refused);
  }

  ended(refused) {
    if (refused?.status === 401 || refused?.code === "sample_key") return this.onLine({ state: "locked", refused });
    if (refused?.status === 403 || refused?.status === 404) {
      this.wake = setTimeout(() => this.start(), PAUSE_MS_CLOSED);
      return this.onLine({ state: "closed", refused });
    }
    this.wake = setTimeout(() => this.start(), this.pause);
    this.onLine({ state: "cut", retryAt: Date.now() + this.pause });
    this.pause = Math.min(this.pause * 2, PAUSE_MS_MAX);
  }
}
