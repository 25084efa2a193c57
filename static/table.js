// A table that keeps its rows: on a phone each row becomes a block of labelled values, still a table to a screen reader.

import { element, reconcile, setAttribute, setShape, setText, shape } from "./dom.js";

export class Table {
  /**
   * `columns`: `{label, kind?, draw(cell, item)}`; the first one names the row. A `kind` is a class of the cells.
   * `levelOf(item)` colours a row: good, wait, bad, open or off.
   */
  constructor(caption, columns, keyOf, levelOf = () => "good") {
    this.columns = columns;
    this.keyOf = keyOf;
    this.levelOf = levelOf;
    const heads = columns.map(({ label, kind = "" }) => element("th", { scope: "col", role: "columnheader", class: kind }, label));
    this.body = element("tbody", { role: "rowgroup" });
    this.node = element(
      "table",
      { role: "table" },
      element("caption", { class: "hidden" }, caption),
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...heads)),
      this.body,
    );
  }

  render(items) {
    reconcile(this.body, items, this.keyOf, () => this.row(), (row, item) => {
      setAttribute(row, "data-level", this.levelOf(item));
      this.columns.forEach((column, index) => column.draw(row.children[index], item));
    });
  }

  row() {
    const cells = this.columns.map(({ label, kind = "" }, index) =>
      index === 0
        ? element("th", { scope: "row", role: "rowheader", class: kind })
        : element("td", { role: "cell", class: kind, "data-label": label }),
    );
    return element("tr", { role: "row" }, ...cells);
  }
}

/** The button below a long table: shows all of its rows, or fewer again. */
export class More {
  constructor(redraw) {
    this.open = false;
    this.node = element("button", { class: "quiet", type: "button" });
    this.node.addEventListener("click", () => {
      this.open = !this.open;
      redraw();
    });
  }

  render(hidden, fewer, all) {
    this.node.hidden = hidden;
    setText(this.node, this.open ? fewer : all);
    setAttribute(this.node, "aria-expanded", String(this.open));
  }
}

/** A column of plain text. */
export function textColumn(label, textOf, kind) {
  return { label, kind, draw: (cell, item) => setText(cell, textOf(item)) };
}

/** A column of figures, right-aligned. */
export function numberColumn(label, textOf) {
  return textColumn(label, textOf, "number");
}

/** The shape of a level, next to its words. */
export function drawLevel(cell, level, words) {
  if (!cell.firstChild) cell.append(element("span", { class: "state" }, shape(level), element("span")));
  const [mark, label] = cell.firstChild.children;
  setShape(mark, level);
  setText(label, words);
}

/** A bar that fills to `share` (0 to 1), next to its text. */
export function drawMeter(cell, share, words, level = "plain") {
  if (!cell.firstElementChild) {
    cell.replaceChildren(element("span", { class: "meter", "aria-hidden": "true" }, element("span")), element("span", { class: "words" }));
  }
  const [meter, label] = cell.children;
  setAttribute(meter, "data-level", level);
  meter.firstElementChild.style.width = `${100 * Math.min(1, Math.max(0, share || 0))}%`;
  setText(label, words);
}
