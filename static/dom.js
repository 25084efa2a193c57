// Elements made of text: nothing on this page parses HTML, so a foreign name cannot become an element.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes; children are nodes or text. */
export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function drawing(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function byId(id) {
  return document.getElementById(id);
}

/** Writes only what differs, so that selections and screen readers are not disturbed. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** The shape that shows a level without colour: good, wait, bad, open, off. */
export function shape(level) {
  return drawing("svg", { class: "shape", "data-level": level, "aria-hidden": "true" }, drawing("use", { href: `#shape-${level}` }));
}

export function setShape(node, level) {
  setAttribute(node, "data-level", level);
  setAttribute(node.firstElementChild, "href", `#shape-${level}`);
}

/**
 * Makes the children of `parent` those of `items`, in order. A child stays the same node as long as its key is there,
 * so that focus, selection and open parts survive an update; the focus of a child that leaves goes to `parent`.
 */
export function reconcile(parent, items, keyOf, create, update) {
  const known = (parent.known ??= new Map());
  const wanted = new Map(items.map((item) => [keyOf(item), item]));
  for (const [key, node] of known) {
    if (wanted.has(key)) continue;
    if (node.contains(document.activeElement)) {
      parent.tabIndex = -1;
      parent.focus({ preventScroll: true });
    }
    node.remove();
    known.delete(key);
  }
  let place = parent.firstChild;
  for (const [key, item] of wanted) {
    let node = known.get(key);
    if (!node) known.set(key, (node = create(item)));
    update(node, item);
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
}
