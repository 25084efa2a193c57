// A plot of the last minutes drawn as SVG: an area, lines or stacked bars over bins of a few seconds.

import { drawing, element, setText } from "./dom.js";
import { clock, minute } from "./format.js";
import { BIN_MS } from "./history.js";

const HEIGHT = 148;
const EDGE = { left: 62, right: 6, top: 8, bottom: 22 };
/** Where zero is. */
const BASE = HEIGHT - EDGE.bottom;

export class Plot {
  /**
   * `series`: `{name, kind: "area" | "line" | "bar", tone, value(bin)}`; a value is a number or null. `format` writes
   * a value, `floor` is the least height of the scale, so that noise about zero does not look like a mountain.
   */
  constructor(host, { title, unit, series, format, floor }) {
    Object.assign(this, { title, unit, series, format, floor, bins: [], now: 0, span: 0, cursor: null });
    // The legend shows the values, too: those of the bin under the pointer, else of the last one.
    this.when = element("span");
    this.values = series.map(({ tone }) => element("span", { class: series.length < 2 ? "" : `legend ${tone}` }));
    this.drawing = drawing("svg", { class: "plot", height: HEIGHT, role: "img", tabindex: "0" });
    host.append(
      element(
        "figure",
        { class: "panel" },
        element("figcaption", {}, element("h3", {}, title, " ", element("small", {}, unit))),
        element("p", { class: "readout" }, this.when, ...this.values),
        this.drawing,
      ),
    );
    new ResizeObserver(() => this.draw()).observe(this.drawing);
    this.drawing.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.drawing.addEventListener("pointerleave", () => this.select(null));
    this.drawing.addEventListener("blur", () => this.select(null));
    this.drawing.addEventListener("keydown", (event) => this.key(event));
  }

  /** Shows `span` milliseconds up to `now`. */
  render(bins, now, span) {
    Object.assign(this, { bins, now, span });
    this.from = now - span;
    this.draw();
  }

  point(x) {
    const time = this.from + ((x - EDGE.left) / this.width) * this.span;
    const near = this.bins.find((bin) => time >= bin.start && time < bin.end);
    this.select(near?.start ?? null);
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || this.bins.length === 0) return;
    event.preventDefault();
    const present = this.bins.findIndex((bin) => bin.start === this.cursor);
    const next = present < 0 ? this.bins.length - 1 : present + step;
    this.select(this.bins[Math.max(0, Math.min(this.bins.length - 1, next))].start);
  }

  select(start) {
    this.cursor = start;
    this.draw();
  }

  draw() {
    const whole = this.drawing.clientWidth;
    if (whole === 0 || this.span === 0) return;
    this.width = whole - EDGE.left - EDGE.right;
    const top = niceTop(Math.max(this.floor, this.highest()));
    this.x = (time) => EDGE.left + (Math.max(0, time - this.from) / this.span) * this.width;
    this.y = (value) => BASE - (value / top) * (BASE - EDGE.top);
    this.drawing.replaceChildren(...this.unseen(), ...this.grid(top), ...this.curves(), ...this.mark());
    this.describe();
  }

  highest() {
    let highest = 0;
    for (const bin of this.bins) {
      let stack = 0;
      for (const { kind, value } of this.series) {
        stack = kind === "bar" ? stack + (value(bin) ?? 0) : Math.max(stack, value(bin) ?? 0);
      }
      highest = Math.max(highest, stack);
    }
    return highest;
  }

  /** Times that no bin covers: that nothing is known is not the same as that nothing happened. */
  gaps() {
    const gaps = [];
    let end = this.from;
    for (const { start } of [...this.bins, { start: this.now - BIN_MS }]) {
      if (start - end >= BIN_MS) gaps.push([end, start]);
      end = Math.max(end, start + BIN_MS);
    }
    return gaps;
  }

  unseen() {
    return this.gaps().flatMap(([start, end]) => {
      const x = this.x(start);
      const width = this.x(end) - x;
      const area = drawing("rect", { class: "unseen", x, y: EDGE.top, width, height: BASE - EDGE.top });
      if (width < 70) return [area];
      return [area, tick(x + width / 2, (EDGE.top + BASE) / 2 - 12, "not known")];
    });
  }

  grid(top) {
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      const y = Math.round(this.y(top * share)) + 0.5;
      parts.push(drawing("line", { class: "grid", x1: EDGE.left, x2: EDGE.left + this.width, y1: y, y2: y }));
      parts.push(tick(EDGE.left - 6, y + 4, this.format(top * share), "end"));
    }
    const step = this.span / 3;
    for (let time = Math.ceil(this.from / step) * step; time <= this.now; time += step) {
      const x = this.x(time);
      if (x < EDGE.left + 24 || x > EDGE.left + this.width - 24) continue;
      parts.push(tick(x, HEIGHT - 5, minute(time)));
    }
    return parts;
  }

  curves() {
    const floors = new Map();
    return this.series.flatMap((one) => (one.kind === "bar" ? this.bars(one, floors) : this.line(one)));
  }

  bars({ tone, value }, floors) {
    const room = (this.width * BIN_MS) / this.span;
    // A pixel is left free between bars that are wide enough. The newest bin has not ended.
    const gap = room > 4 ? this.span / this.width : 0;
    return this.bins.flatMap((bin) => {
      const amount = value(bin);
      if (!amount || bin.end <= this.from) return [];
      const floor = floors.get(bin.start) ?? 0;
      floors.set(bin.start, floor + amount);
      const x = this.x(bin.start);
      const y = this.y(floor + amount);
      const width = this.x(Math.min(bin.end - gap, this.now)) - x;
      return [drawing("rect", { class: `bar ${tone}`, x, y, width, height: this.y(floor) - y })];
    });
  }

  line({ kind, tone, value }) {
    const parts = [];
    for (const run of this.runs(value)) {
      const points = run.map(({ time, amount }) => `${this.x(time).toFixed(1)} ${this.y(amount).toFixed(1)}`);
      if (kind === "area") {
        parts.push(drawing("path", { class: `area ${tone}`, d: `M${this.x(run[0].time)} ${BASE}L${points.join("L")}L${this.x(run.at(-1).time)} ${BASE}Z` }));
      }
      // A lone point gets a length of zero: its round ends make it a dot.
      parts.push(drawing("path", { class: `stroke ${tone}`, d: `M${points.join("L")}${run.length === 1 ? "h0" : ""}` }));
    }
    return parts;
  }

  /** Stretches without a gap: times that were not watched are not bridged. */
  runs(value) {
    const runs = [];
    let end = null;
    for (const bin of this.bins) {
      const amount = value(bin);
      if (amount === null || bin.end <= this.from) continue;
      const point = { time: Math.min((bin.start + bin.end) / 2, this.now), amount };
      if (end === bin.start) runs.at(-1).push(point);
      else runs.push([point]);
      end = bin.end;
    }
    return runs;
  }

  chosen() {
    return this.bins.find((bin) => bin.start === this.cursor);
  }

  mark() {
    const bin = this.chosen();
    if (!bin) return [];
    const x = this.x((bin.start + bin.end) / 2);
    return [drawing("line", { class: "cursor", x1: x, x2: x, y1: EDGE.top, y2: BASE })];
  }

  describe() {
    const chosen = this.chosen();
    const shown = chosen ?? this.bins.at(-1);
    const values = this.series.map(({ name, value }) => `${this.series.length < 2 ? "" : `${name} `}${this.format(shown ? value(shown) : null)}`);
    const when = chosen ? clock(chosen.start) : "now";
    setText(this.when, when);
    this.values.forEach((node, place) => setText(node, values[place]));
    this.drawing.setAttribute("aria-label", `${this.title} ${this.unit}, last ${Math.round(this.span / 60_000)} minutes. ${when}: ${values.join(", ")}; highest ${this.format(this.highest())}.`);
  }
}

function tick(x, y, words, anchor = "middle") {
  return drawing("text", { class: "tick", x, y, "text-anchor": anchor }, words);
}

/** The next of 1, 2, 4, 6, 8, 10 times a power of ten, so that half of it reads well too. */
function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].find((step) => step * power >= value) * power;
}
