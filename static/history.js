// What is known of the last 15 minutes: the differences between the totals of successive seconds, and, for a time
// that this page has not watched, the last requests as far back as they reach.

/** The longest span that is shown, and the length of the bins that divide it. */
export const SPAN_MS_MAX = 15 * 60_000;
export const BIN_MS = 5000;
/** Two samples further apart than this enclose a time that was not watched. */
const GAP_MS_MAX = 4000;
const RATE_WINDOW_MS = 10_000;
/** How many requests the proxy remembers. Where it lists fewer, they are all since its start. */
const RECENT_MAX = 100;
/** A bin spans five seconds, and of each second only the last requests are known. */
const LATENCIES_MAX = 5 * RECENT_MAX;

/** Kinds of errors, by who has to act on them. */
const ERROR_GROUPS = {
  platform: ["server", "network", "timeout"],
  limit: ["auth", "rate_limited"],
  client: ["client", "canceled"],
};

/** Codes of answers that were cut short, whatever their status, and not by their client. */
const PLATFORM_CODES = ["upstream_error", "idle_timeout", "internal_error"];

export function errorCount(errors, kinds = Object.values(ERROR_GROUPS).flat()) {
  return kinds.reduce((sum, kind) => sum + errors[kind], 0);
}

export class History {
  constructor() {
    this.bins = [];
    this.last = null;
    this.window = [];
  }

  add(stats) {
    const now = Date.parse(stats.timestamp);
    const { uptime_seconds: uptime, totals, recent } = stats;
    const sample = { time: now, uptime, requests: totals.requests };
    for (const [group, kinds] of Object.entries(ERROR_GROUPS)) sample[group] = errorCount(totals.errors, kinds);
    const last = this.last;
    this.last = sample;
    const restarted = last !== null && (uptime < last.uptime || sample.requests < last.requests);
    if (last === null || restarted || now <= last.time || now - last.time > GAP_MS_MAX) {
      this.window = [sample];
      this.recall(stats, now, last?.time ?? 0);
      return;
    }
    this.window.push(sample);
    while (this.window.length > 2 && now - this.window[0].time > RATE_WINDOW_MS) this.window.shift();
    this.count(last, sample, recent);
  }

  count(last, sample, recent) {
    const bin = this.bin(Math.floor(sample.time / BIN_MS) * BIN_MS);
    bin.watched += sample.time - last.time;
    bin.requests += sample.requests - last.requests;
    for (const group of Object.keys(ERROR_GROUPS)) bin[group] += Math.max(0, sample[group] - last[group]);
    for (const request of recent.slice(0, sample.requests - last.requests)) note(bin, request);
    measure(bin);
  }

  /** Fills the time since `from` with the last requests, listed in the order of their ends. */
  recall({ recent, uptime_seconds: uptime }, now, from) {
    const known = recent.length < RECENT_MAX ? now - 1000 * uptime : endOf(recent.at(-1));
    const begin = Math.max(from, known, now - SPAN_MS_MAX);
    const requests = recent.filter((request) => endOf(request) > begin);
    for (let start = Math.floor(begin / BIN_MS) * BIN_MS; start < now; start += BIN_MS) {
      const bin = this.bin(start);
      bin.watched += Math.min(now, bin.end) - Math.max(begin, start);
      for (const request of requests.filter((one) => Math.floor(endOf(one) / BIN_MS) * BIN_MS === start)) {
        bin.requests += 1;
        const group = errorGroup(request);
        if (group) bin[group] += 1;
        note(bin, request);
      }
      measure(bin);
    }
  }

  /** The bin that begins at `start`, which is the last one or a new one after it. */
  bin(start) {
    let bin = this.bins.at(-1);
    if (bin === undefined || bin.start < start) {
      if (bin) bin.latencies = [];
      bin = { start, end: start + BIN_MS, watched: 0, requests: 0, platform: 0, limit: 0, client: 0, latencies: [], p50: null, p95: null };
      this.bins.push(bin);
      while (this.bins[0].start <= start - SPAN_MS_MAX) this.bins.shift();
    }
    return bin;
  }

  /** Requests per second over the last ten seconds; null until there are two samples. */
  rate() {
    const first = this.window[0];
    const last = this.window.at(-1);
    return this.window.length < 2 ? null : (1000 * (last.requests - first.requests)) / (last.time - first.time);
  }
}

function endOf(request) {
  return Date.parse(request.time) + request.total_ms;
}

function errorGroup({ status, code }) {
  if (code === "canceled" || code === "stopping") return "client";
  if (status === null || status >= 500 || PLATFORM_CODES.includes(code)) return "platform";
  if (status === 429 || (status > 400 && status < 404)) return "limit";
  return status >= 400 || code !== null ? "client" : null;
}

function note(bin, request) {
  if (request.first_byte_ms != null && bin.latencies.length < LATENCIES_MAX) bin.latencies.push(request.first_byte_ms);
}

function measure(bin) {
  const sorted = [...bin.latencies].sort((left, right) => left - right);
  bin.p50 = quantile(sorted, 0.5);
  bin.p95 = quantile(sorted, 0.95);
}

function quantile(sorted, share) {
  return sorted.length === 0 ? null : sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
