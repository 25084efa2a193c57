// Figures and times as a person reads them: numbers grouped, times in the reader's time zone, a dash for unknown values.

const NONE = "–";
const whole = new Intl.NumberFormat("en");

/** Milliseconds since 1970 as a time of day, without seconds, and with the day. */
export const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format;
export const minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" }).format;
export const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" }).format;

/** Up to 99,999 in full, then with k, M, G or T and three digits. */
export function count(value) {
  if (value == null) return NONE;
  if (value < 100_000) return whole.format(value);
  return scaled(value, 1000, ["", "k", "M", "G", "T"], "");
}

export function bytes(value) {
  if (value == null) return NONE;
  return scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB"], " ");
}

function scaled(value, base, units, gap) {
  let step = 0;
  while (value >= base * 0.9995 && step < units.length - 1) {
    value /= base;
    step += 1;
  }
  const words = step > 0 && value < 999.5 ? value.toPrecision(3) : whole.format(Math.round(value));
  return words + gap + units[step];
}

/** A rate or another small figure: two decimals below 0.1, one below 100. */
export function decimal(value) {
  if (value == null) return NONE;
  if (value === 0) return "0";
  if (value < 0.1) return value.toFixed(2);
  return value < 100 ? value.toFixed(1).replace(/\.0$/, "") : whole.format(Math.round(value));
}

export function percent(part, all) {
  if (!all) return NONE;
  const value = (100 * part) / all;
  if (part > 0 && value < 0.1) return "< 0.1 %";
  if (part < all && value >= 99.5) return "> 99 %";
  return `${value > 0 && value < 10 ? value.toFixed(1).replace(/\.0$/, "") : Math.round(value)} %`;
}

export function milliseconds(value) {
  if (value == null) return NONE;
  if (value > 0 && value < 1) return "< 1 ms";
  if (value < 999.5) return `${Math.round(value)} ms`;
  return value < 9995 && value % 1000 > 0 ? `${(value / 1000).toFixed(2)} s` : span(value / 1000);
}

/** A duration in its two largest units, between which a line may end. */
export function span(seconds) {
  if (seconds == null) return NONE;
  seconds = Math.max(0, Math.round(seconds));
  const units = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0 s";
  const parts = [];
  for (const [unit, size] of units.slice(first, first + 2)) {
    const number = Math.floor(seconds / size);
    seconds -= number * size;
    if (number > 0) parts.push(`${number}\u00a0${unit}`);
  }
  return parts.join(" ");
}

/** How long before `now` `time` was, both in milliseconds since 1970. */
export function ago(time, now) {
  if (time == null) return NONE;
  const seconds = (now - time) / 1000;
  return seconds < 2 ? "now" : `${span(seconds).split(" ", 1)} ago`;
}

/** The milliseconds of an RFC 3339 timestamp, or null if there is none. */
export function instant(text) {
  return text === null ? null : Date.parse(text);
}

export function text(value) {
  return value == null || value === "" ? NONE : String(value);
}

/** `1 key`, `2 keys`. */
export function many(number, word) {
  return `${whole.format(number)} ${word}${number === 1 ? "" : "s"}`;
}
