// Numbers, times and elements. Everything that came from a log becomes text, never markup.

const WHOLE = new Intl.NumberFormat("en-US");
const SHORT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

/** Null is not zero: it is shown as a dash. */
export const whole = (number) => (number === null || number === undefined ? "–" : WHOLE.format(number));
export const short = (number) => (number === null || number === undefined ? "–" : SHORT.format(number));

export function dollars(micros) {
  if (micros === null || micros === undefined) return "unpriced";
  const places = Math.abs(micros) < 10_000 && micros !== 0 ? 4 : 2;
  return `$${(micros / 1e6).toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places })}`;
}

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  let left = count;
  while (left >= 1000 && at < units.length - 1) [left, at] = [left / 1000, at + 1];
  return `${at ? left.toFixed(1) : left} ${units[at]}`;
}

export function age(seconds) {
  if (seconds === null || seconds === undefined) return "never";
  const left = Math.max(0, Math.round(seconds));
  if (left < 90) return `${left} s ago`;
  if (left < 5400) return `${Math.round(left / 60)} min ago`;
  if (left < 172_800) return `${Math.round(left / 3600)} h ago`;
  return `${Math.round(left / 86_400)} days ago`;
}

export const since = (text) => (text ? age((Date.now() - Date.parse(text)) / 1000) : "never");
export const minute = (text) => (text ? text.slice(0, 16).replace("T", " ") : "–");

/** el("p", {class: "x"}, "text", child): attributes that are null or false are left out. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

/** Replace what a place shows; what is null or false is left out. */
export function fill(place, ...children) {
  place.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** A table: columns are {name, title, is_number, cell(row)}. */
export function table(columns, rows, rowAttributes = () => ({})) {
  return el(
    "table",
    {},
    el("thead", {}, el("tr", {}, columns.map((column) => el("th", { scope: "col", class: column.is_number ? "number" : null }, column.title)))),
    el(
      "tbody",
      {},
      rows.map((row) =>
        el(
          "tr",
          rowAttributes(row),
          columns.map((column, at) => el(at ? "td" : "th", { class: column.is_number ? "number" : null, scope: at ? null : "row" }, column.cell(row))),
        ),
      ),
    ),
  );
}

/** A table that may be wider than the page; it can be scrolled by keys. */
export function scrolled(label, ...children) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, ...children);
}

export function command(text) {
  return el("code", { class: "command" }, text);
}

/** Say why there is nothing; with what to type next where that is known. */
export function nothing(why, next = null) {
  return el("div", { class: "nothing", "data-testid": "nothing" }, el("p", {}, why), next && el("p", {}, command(next)));
}
