// What this tab has seen of the last 15 minutes, from the differences between the totals of one second and the next.

/** The longest time that is shown, in pieces of this length. */
export const SPAN_MS_MAX = 15 * 60_000;
export const BIN_MS = 5000;
const BINS_MAX = SPAN_MS_MAX / BIN_MS;
/** Two samples further apart than this enclose a time that nobody watched: it stays a gap. */
const GAP_MS_MAX = 4000;
const RATE_WINDOW_MS = 10_000;
/** Of a busy second only the last 100 requests are known, so a bin has five times that. */
const LATENCIES_MAX = 500;

/** Errors that are the platforms' or the keys' fault, and those that clients caused. */
export const PLATFORM_ERRORS = ["rate_limited", "auth", "server", "network", "timeout"];
export const CLIENT_ERRORS = ["client", "canceled"];

export function errorCount(errors, kinds = [...PLATFORM_ERRORS, ...CLIENT_ERRORS]) {
  return kinds.reduce((sum, kind) => sum + (errors[kind] ?? 0), 0);
}

export class History {
  constructor() {
    this.bins = [];
    this.last = null;
    this.window = [];
    this.since = null;
  }

  add(stats) {
    const now = Date.parse(stats.timestamp);
    const sample = {
      time: now,
      uptime: stats.uptime_seconds,
      requests: stats.totals.requests,
      platformErrors: errorCount(stats.totals.errors, PLATFORM_ERRORS),
      clientErrors: errorCount(stats.totals.errors, CLIENT_ERRORS),
      newest: identity(stats.recent[0]),
    };
    const last = this.last;
    this.last = sample;
    this.since ??= now;
    const restarted = last !== null && (sample.uptime < last.uptime || sample.requests < last.requests);
    if (last === null || restarted || now <= last.time || now - last.time > GAP_MS_MAX) {
      this.window = [sample];
      return;
    }
    this.window.push(sample);
    while (this.window.length > 2 && now - this.window[0].time > RATE_WINDOW_MS) this.window.shift();
    this.count(last, sample, stats.recent);
  }

  count(last, sample, recent) {
    const start = Math.floor(sample.time / BIN_MS) * BIN_MS;
    let bin = this.bins.at(-1);
    if (bin?.start !== start) {
      if (bin) bin.latencies = null;
      bin = { start, end: start + BIN_MS, watched: 0, requests: 0, platformErrors: 0, clientErrors: 0, latencies: [], p50: null, p95: null };
      this.bins.push(bin);
      while (this.bins[0].start <= start - BINS_MAX * BIN_MS) this.bins.shift();
    }
    bin.watched += sample.time - last.time;
    bin.requests += sample.requests - last.requests;
    bin.platformErrors += Math.max(0, sample.platformErrors - last.platformErrors);
    bin.clientErrors += Math.max(0, sample.clientErrors - last.clientErrors);
    for (const request of recent) {
      if (identity(request) === last.newest || bin.latencies.length >= LATENCIES_MAX) break;
      if (request.first_byte_ms != null) bin.latencies.push(request.first_byte_ms);
    }
    const sorted = [...bin.latencies].sort((left, right) => left - right);
    bin.p50 = quantile(sorted, 0.5);
    bin.p95 = quantile(sorted, 0.95);
  }

  /** Requests a second over the last ten seconds; null until two samples are there. */
  rate() {
    const first = this.window[0];
    const last = this.window.at(-1);
    return this.window.length < 2 ? null : (1000 * (last.requests - first.requests)) / (last.time - first.time);
  }
}

/** A request has no number of its own, and clients may choose its id: the time makes it one of a kind. */
export function identity(request) {
  return request ? `${request.time} ${request.request_id} ${request.total_ms}` : "";
}

function quantile(sorted, share) {
  return sorted.length === 0 ? null : sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
