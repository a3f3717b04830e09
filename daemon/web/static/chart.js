// Days as stacked bars: measured solid, estimated hatched on top, superseded an outline that is in no sum.
// A day with work and no measured token has a dashed frame: it is not an idle one.

import { el, svg, short } from "./format.js";

const HEIGHT = 240;
const LEFT = 52;
const BOTTOM = 24;
const TOP = 10;

/**
 * Draw.
 *
 * days: [{day, parts: [{name, slot, value, of}], outline, is_flatline, label, is_incomplete}], oldest first
 * show(number) -> text; pick(day) is called for a chosen one
 */
export function draw(place, { days, show, pick, picked, title }) {
  const width = Math.max(240, place.clientWidth);
  const most = Math.max(1, ...days.map((day) => Math.max(sum(day), day.outline ?? 0)));
  const { top, steps } = scale(most);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const step = (width - LEFT) / Math.max(1, days.length);
  const bar = Math.max(2, Math.min(48, step * 0.78));
  const chart = svg(
    "svg",
    { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "group", "aria-label": title },
    patterns(),
    steps.map((value) => [
      svg("line", { x1: LEFT, x2: width, y1: y(value), y2: y(value), class: "grid" }),
      svg("text", { x: LEFT - 8, y: y(value) + 4, class: "axis", "text-anchor": "end" }, show(value)),
    ]).flat(),
  );
  const every = Math.ceil(days.length / Math.max(1, Math.floor((width - LEFT) / 64)));
  days.forEach((day, at) => {
    const x = LEFT + at * step + (step - bar) / 2;
    const group = svg("g", {
      class: "day",
      role: "button",
      tabindex: at === anchor(days, picked) ? 0 : -1,
      "aria-label": day.label,
      "aria-pressed": day.day === picked ? "true" : "false",
      "data-testid": "day",
      "data-day": day.day,
      "data-gap": day.is_flatline ? "flatline" : null,
      onclick: () => pick(day.day),
      onkeydown: (event) => keys(event, group, () => pick(day.day)),
    });
    group.append(svg("title", {}, day.label), svg("rect", { x: LEFT + at * step, y: TOP, width: step, height: HEIGHT - TOP - BOTTOM, class: "hit" }));
    let base = 0;
    for (const part of day.parts.filter((each) => each.value > 0)) {
      const [from, to] = [y(base), y(base + part.value)];
      group.append(svg("rect", { x, y: to, width: bar, height: Math.max(0.75, from - to), class: `part ${part.of} slot${part.slot}`, "data-of": part.of, "data-name": part.name }));
      base += part.value;
    }
    if (day.outline) group.append(svg("rect", { x: x - 1.5, y: y(day.outline), width: bar + 3, height: Math.max(1, y(0) - y(day.outline)), class: "outline", "data-of": "superseded" }));
    if (day.is_flatline) group.append(svg("rect", { x: LEFT + at * step + 1, y: TOP, width: Math.max(3, step - 2), height: HEIGHT - TOP - BOTTOM, class: "flatline" }));
    chart.append(group);
    if (at % every === 0) chart.append(svg("text", { x: x + bar / 2, y: HEIGHT - 7, class: "axis", "text-anchor": "middle" }, day.day.slice(5)));
  });
  chart.append(svg("line", { x1: LEFT, x2: width, y1: y(0), y2: y(0), class: "base" }));
  place.replaceChildren(chart);
}

const sum = (day) => day.parts.reduce((all, part) => all + part.value, 0);

/** Where Tab enters the bars: the picked day, else the last. */
function anchor(days, picked) {
  const at = days.findIndex((day) => day.day === picked);
  return at < 0 ? days.length - 1 : at;
}

function keys(event, group, choose) {
  const bars = [...group.parentNode.querySelectorAll(".day")];
  const at = bars.indexOf(group);
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: bars.length - 1 }[event.key];
  if (event.key === "Enter" || event.key === " ") choose();
  else if (to === undefined || !bars[to]) return;
  else bars[to].focus();
  event.preventDefault();
}

/** Round steps of 1, 2 or 5, so that the axis can be read. */
function scale(most) {
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 5, 10].find((each) => each * power >= rough) * power;
  const count = Math.ceil(most / unit);
  return { top: count * unit, steps: Array.from({ length: count + 1 }, (_, at) => at * unit) };
}

function patterns() {
  return svg(
    "defs",
    {},
    Array.from({ length: 8 }, (_, slot) =>
      svg(
        "pattern",
        { id: `hatch${slot}`, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
        svg("rect", { width: 6, height: 6, class: `hatch-back slot${slot}` }),
        svg("rect", { width: 2.5, height: 6, class: `hatch-line slot${slot}` }),
      ),
    ),
  );
}

/** A bar of evidence for a table: what is measured, what estimated, what was superseded. */
export function evidence(row, most) {
  const share = (value) => `${most ? (100 * (value ?? 0)) / most : 0}%`;
  const said = [
    `measured ${short(row.measured ?? 0)}`,
    row.allocated ? `allocated ${short(row.allocated)}` : null,
    row.estimated ? `estimated ${short(row.estimated)}` : null,
    row.superseded ? `superseded ${short(row.superseded)}` : null,
  ].filter(Boolean);
  const parts = ["measured", "allocated", "estimated", "superseded"].filter((name) => row[name]);
  return el(
    "span",
    { class: "evidence", role: "img", "aria-label": said.join(", "), title: said.join(", ") },
    parts.map((name) => {
      const part = el("i", { class: name });
      part.style.width = share(row[name]);
      return part;
    }),
  );
}
