// The page: the address says what is shown, the server says the numbers, and this draws them.

import { ask, Failed, takeToken } from "./api.js";
import { draw, evidence } from "./chart.js";
import * as drill from "./drill.js";
import { command, dollars, el, fill, nothing, short, since, table, whole } from "./format.js";
import * as panels from "./panels.js";
import { DIMENSIONS, FIRST, MEASURES, read, SERIES, VIEWS, WINDOWS, write } from "./state.js";
import { daysBetween, figure, leading, sideBySide } from "./usage.js";

const REFRESH_MS = 30_000;
/** Of a table; whoever wants all of many asks the command. */
const ROWS_DRAWN = 200;
const STALE_SECONDS = 900;
const $ = (id) => document.getElementById(id);

let state = read(location.search);
let known = null; // the last answers, so that another drawing needs no question
let asking = null;

const show = (value) => (state.measure === "cost" ? dollars(value) : short(value));

// -- what is shown ---------------------------------------------------------------------------------------------------

function go(change, { isStep = true } = {}) {
  state = { ...state, ...change };
  history[isStep ? "pushState" : "replaceState"](null, "", write(state));
  load();
}

function controls() {
  choices($("windows"), "window", WINDOWS, "Window");
  choices($("views"), "view", VIEWS, "View");
  const isTasks = state.view === "tasks";
  fill(
    $("classes"),
    el("legend", {}, "Classes"),
    toggle("measured", true, { disabled: true, title: isTasks ? "not drawn in this view" : "always shown" }, !isTasks),
    toggle("estimated", false, { disabled: isTasks }, state.estimated),
    toggle("superseded", false, { disabled: isTasks }, state.superseded),
  );
  options($("measure"), MEASURES, state.measure, (value) => go({ measure: value }));
  options($("series"), Object.fromEntries((isTasks ? ["task"] : SERIES).map((each) => [each, each])), isTasks ? "task" : state.series, (value) => go({ series: value }));
  $("series").disabled = isTasks;
  fill(
    $("dimensions"),
    (isTasks ? ["task", "repo", "agent", "model"] : DIMENSIONS).map((name) =>
      el("button", { type: "button", "aria-pressed": dimension() === name ? "true" : "false", "data-testid": `by-${name}`, onclick: () => go({ by: name }) }, name),
    ),
  );
  const filters = Object.entries(state.filters);
  $("filters").hidden = !filters.length;
  fill(
    $("filters"),
    filters.map(([name, value]) =>
      el("li", {}, el("button", { type: "button", "data-testid": "filter", "aria-label": `remove the filter ${name} ${value}`, onclick: () => unfilter(name) }, `${name}: ${value} ×`)),
    ),
  );
}

const dimension = () => (state.view === "tasks" && !["task", "repo", "agent", "model"].includes(state.by) ? "task" : state.by);
const LABELS = { measured: "measured, always", estimated: "+ estimated", superseded: "show superseded" };

function unfilter(name) {
  const { [name]: _, ...left } = state.filters;
  go({ filters: left });
}

function choices(place, name, all, title) {
  fill(
    place,
    el("legend", {}, title),
    Object.entries(all).map(([value, text]) =>
      el("button", { type: "button", "aria-pressed": state[name] === value ? "true" : "false", "data-testid": `${name}-${value}`, onclick: () => go({ [name]: value, ...(name === "view" ? { by: FIRST[value] } : {}), day: null, session: null, call: null }) }, text),
    ),
  );
}

function toggle(name, isLocked, attributes, isOn) {
  return el(
    "button",
    { type: "button", "aria-pressed": isOn ? "true" : "false", class: isLocked ? "locked" : null, "data-testid": `class-${name}`, ...attributes, onclick: () => go({ [name]: !state[name] }) },
    LABELS[name],
  );
}

function options(place, all, chosen, choose) {
  fill(place, Object.entries(all).map(([value, text]) => el("option", { value, selected: value === chosen }, text)));
  place.onchange = () => choose(place.value);
}

// -- questions -------------------------------------------------------------------------------------------------------

function query(by) {
  return { group_by: by, window: state.window, include: "estimated,superseded,allocated", ...state.filters };
}

/** Which classes the table shows. By task measured tokens are shares of it, and what belongs to none. */
function shown() {
  if (state.view === "tasks") return ["allocated"];
  return ["measured", ...(state.estimated ? ["estimated"] : []), ...(state.superseded ? ["superseded"] : []), ...(dimension() === "task" ? ["allocated"] : [])];
}

/** Of very many groups those with the most tokens are asked for: more than are drawn, so that classes of one stand together. */
const tableQuery = () => ({ ...query(dimension()), include: null, measurement: shown().join(","), limit: 5 * ROWS_DRAWN });

const series = () => (state.view === "tasks" ? "task" : state.series);

async function load() {
  controls();
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  document.body.setAttribute("aria-busy", "true");
  try {
    const [health, status, days, rows, quality, found] = await Promise.all([
      ask("health", {}, signal),
      ask("status", {}, signal),
      ask("usage", query(`day,${series()}`), signal),
      ask("usage", tableQuery(), signal),
      ask("quality", { since: state.window === "all" ? null : state.window }, signal),
      ask("findings", {}, signal),
    ]);
    known = { health, status, days, rows, quality, found };
    $("trouble").hidden = true;
    render();
    await deeper(signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    trouble(error);
  } finally {
    if (!signal.aborted) document.body.removeAttribute("aria-busy");
  }
}

/** A failure is shown as one; what was drawn before is marked old, and nothing becomes zero. */
function trouble(error) {
  if (!(error instanceof Failed)) console.error(error);
  const kind = error instanceof Failed ? error.kind : "defect";
  $("trouble").hidden = false;
  $("trouble").dataset.kind = kind;
  const isUnasked = error.status === 401 || error.status === 403;
  fill(
    $("trouble"),
    el("p", { class: "line" }, isUnasked ? "This page needs the address that tallystick serve printed: its end holds the token." : error.message),
    el("p", {}, known ? `What stands below was read ${since(known.readAt)} and is not renewed.` : "Nothing is known; that is not zero."),
    error.next ? el("p", {}, command(error.next)) : null,
  );
  document.body.classList.toggle("old", known !== null);
  if (!known) panels.verdict($("verdict"), { state: "unknown", line: "TALLYSTICK UNKNOWN - the page cannot ask the server", findings: [] });
}

// -- drawing ---------------------------------------------------------------------------------------------------------

function render() {
  const { health, status, days, rows, quality, found } = known;
  known.readAt ??= new Date().toISOString();
  document.body.classList.remove("old");
  panels.verdict($("verdict"), health);
  panels.cards($("cards"), days.totals, state);
  chart(days, quality);
  breakdown(rows);
  panels.freshness($("freshness"), status);
  panels.runs($("runs"), health, status);
  panels.quality($("quality"), quality, days);
  panels.findings($("findings"), found, health);
  panels.foot($("foot"), days, status);
  const seconds = days.as_of.at ? (Date.now() - Date.parse(days.as_of.at)) / 1000 : null;
  const isOld = seconds === null || seconds > STALE_SECONDS || health.heartbeat_age_seconds === null;
  fill($("age"), `evidence up to ${since(days.as_of.at)}${health.heartbeat_age_seconds === null ? "; no daemon runs: this does not grow" : ""}`);
  $("age").dataset.old = isOld ? "1" : "0";
}

function chart(document_, quality) {
  const of = state.view === "tasks" ? "allocated" : "measured";
  const name = series();
  const dated = document_.rows.filter((row) => row.day);
  const drawn = dated.filter((row) => row.measurement === of || (of === "measured" && row.measurement === "estimated" && state.estimated));
  const leaders = leading(dated.filter((row) => row.measurement === of), name, state.measure);
  const slot = (row) => (leaders.includes(row[name] ?? null) ? leaders.indexOf(row[name] ?? null) : 7);
  const flat = new Set(quality.flatline_days.map((each) => each.day));
  const present = [...new Set([...drawn.map((row) => row.day), ...flat, ...(state.superseded ? dated.map((row) => row.day) : [])])].sort();
  $("days-title").textContent = state.view === "tasks" ? "Days, allocated to tasks" : "Days";
  const undated = document_.rows.filter((row) => !row.day && row.measurement === of).reduce((all, row) => all + (figure(row, state.measure) ?? 0), 0);
  fill(
    $("days-note"),
    [
      of === "allocated" ? "The measured tokens, sliced by task: another view of the same tokens." : null,
      flat.size ? `${flat.size} flatline ${flat.size === 1 ? "day" : "days"}: work, and no measured token.` : null,
      undated ? `${show(undated)} lie on no day: their time cannot be trusted.` : null,
    ]
      .filter(Boolean)
      .join(" "),
  );
  $("days-table").hidden = !present.length;
  if (!present.length) {
    fill($("chart"), emptiness(document_));
    fill($("legend"));
    return;
  }
  const days = daysBetween(firstDay(present), present.at(-1)).map((day) => {
    const own = drawn.filter((row) => row.day === day).sort((a, b) => (a.measurement === b.measurement ? slot(a) - slot(b) : a.measurement === of ? -1 : 1));
    const parts = own.map((row) => ({ name: row[name] ?? "(none)", slot: slot(row), of: row.measurement, value: figure(row, state.measure) ?? 0 }));
    const outline = state.superseded && of === "measured" ? dated.filter((row) => row.day === day && row.measurement === "superseded").reduce((all, row) => all + (figure(row, state.measure) ?? 0), 0) : 0;
    const all = (kind) => parts.filter((part) => part.of === kind).reduce((sum, part) => sum + part.value, 0);
    const said = [`${day}: ${show(all(of))} ${of}`, all("estimated") ? `${show(all("estimated"))} estimated` : null, outline ? `${show(outline)} superseded` : null, flat.has(day) ? "flatline: work, and no measured token" : null];
    return { day, parts, outline, is_flatline: flat.has(day), label: said.filter(Boolean).join(", ") };
  });
  known.drawn = days;
  draw($("chart"), { days, show, pick: (day) => go({ day, session: null, call: null }), picked: state.day, title: `${MEASURES[state.measure]} by day, stacked by ${name}` });
  const names = [...new Set(drawn.map((row) => row[name] ?? null))].sort((a, b) => slotOf(leaders, a) - slotOf(leaders, b));
  legend(names, leaders);
  fill(
    $("days-table").querySelector("div"),
    table(
      [
        { title: "day", cell: (row) => row.day },
        { title: of, is_number: true, cell: (row) => show(row.parts.filter((part) => part.of === of).reduce((all, part) => all + part.value, 0)) },
        { title: "estimated", is_number: true, cell: (row) => (state.estimated && of === "measured" ? show(row.parts.filter((part) => part.of === "estimated").reduce((all, part) => all + part.value, 0)) : "not shown") },
        { title: "superseded", is_number: true, cell: (row) => (state.superseded && of === "measured" ? show(row.outline) : "not shown") },
        { title: "flatline", cell: (row) => (row.is_flatline ? "yes" : "") },
      ],
      days,
    ),
  );
}

/** A window begins where it begins, and not with its first call; "all" begins with the first day of anything. */
function firstDay(present) {
  const length = { "7d": 7, "30d": 30, "90d": 90 }[state.window];
  if (!length) return present[0];
  const first = new Date(Date.now() - length * 86_400_000).toISOString().slice(0, 10);
  return first < present[0] ? first : present[0];
}

const slotOf = (leaders, name) => (leaders.includes(name) ? leaders.indexOf(name) : 7);

function legend(names, leaders) {
  const shown = names.filter((name) => leaders.includes(name));
  fill(
    $("legend"),
    shown.map((name) => el("li", {}, el("i", { class: `key slot${slotOf(leaders, name)}` }), filterButton(series(), name))),
    names.length > shown.length ? el("li", {}, el("i", { class: "key slot7" }), `${names.length - shown.length} others`) : null,
    state.estimated && state.view === "measured" ? el("li", {}, el("i", { class: "key hatched" }), "estimated") : null,
    state.superseded && state.view === "measured" ? el("li", {}, el("i", { class: "key outlined" }), "superseded, in no sum") : null,
    known.quality.flatline_days.length ? el("li", {}, el("i", { class: "key flat" }), "flatline day") : null,
  );
}

/** What can be asked of the API as a filter is a button. */
function filterButton(name, value) {
  if (value === null) return `(no ${name})`;
  if (!["agent", "model", "repo", "provider", "task"].includes(name)) return String(value);
  return el("button", { type: "button", class: "link", title: `show only ${name} ${value}`, onclick: () => go({ filters: { ...state.filters, [name]: value } }) }, String(value));
}

/** Nothing to draw has a reason; each has its own words. */
function emptiness(document_) {
  if (document_.as_of.seq === null || !document_.sources) {
    if (document_.unreadable_paths) return nothing(`Logs are there, and ${document_.unreadable_paths} places cannot be read: this is not zero.`, "tallystick doctor");
    return nothing("No agent's log was ever read here: nothing is known, which is not zero.", "tallystick ingest");
  }
  if (state.view === "tasks") return nothing("Nothing in this window is allocated to a task.", "tallystick task --help");
  if (Object.keys(state.filters).length) return nothing("Nothing in this window passes the filters.");
  if (state.window !== "all") return nothing(`No call lies in this window; ${whole(document_.sources)} files were read. Choose a longer one.`);
  if (document_.unmetered_sources) return nothing(`${whole(document_.unmetered_sources)} files were read that state no usage: nothing is known of them.`, "tallystick sessions");
  return nothing(`${whole(document_.sources)} files were read, and none of them holds a call.`, "tallystick doctor");
}

function breakdown(document_) {
  const by = dimension();
  $("table-title").textContent = state.view === "tasks" ? "Allocated by" : "By";
  const wanted = shown();
  const merged = sideBySide(document_.rows.filter((row) => wanted.includes(row.measurement)), by, state.measure);
  const missing = document_.rows_not_shown ? "?" : "–";
  if (!merged.length) {
    fill($("table"), emptiness(document_));
    return;
  }
  const most = Math.max(...merged.map((row) => Math.max(0, ...wanted.map((name) => row[name] ?? 0))));
  const main = (row) => row.measured_row ?? row.allocated_row ?? row.estimated_row ?? row.superseded_row;
  fill(
    $("table"),
    table(
      [
        { title: by, cell: (row) => (by === "session" && row.key ? el("button", { type: "button", class: "link", "data-testid": "to-session", onclick: () => go({ session: row.key, day: null, call: null }) }, row.key) : row.key === null ? el("span", { class: "quiet" }, none(by)) : filterButton(by, row.key)) },
        ...wanted.map((name) => ({ title: name, is_number: true, cell: (row) => (row[`${name}_row`] ? el("span", { title: whole(row[name]) }, show(row[name])) : missing) })),
        { title: "evidence", cell: (row) => evidence(row, most) },
        { title: "calls", is_number: true, cell: (row) => whole(main(row).calls) },
        { title: "cost", is_number: true, cell: (row) => costOf(main(row)) },
        { title: "flags", cell: (row) => flags(main(row)) },
      ],
      merged.slice(0, ROWS_DRAWN),
      (row) => ({ "data-testid": "row", "data-key": row.key ?? "" }),
    ),
    merged.length > ROWS_DRAWN
      ? el("p", { class: "quiet" }, `${document_.rows_not_shown ? "More than " : ""}${merged.length - ROWS_DRAWN} others: `, command(`tallystick usage --by ${by}`))
      : null,
  );
}

const none = (by) => ({ repo: "(unattributed)", task: "(unallocated)", model: "(no model stated)" })[by] ?? `(no ${by})`;

function costOf(row) {
  if (row.cost_usd_micros === undefined) return "–";
  if (row.cost_usd_micros === null) return el("span", { class: "flag" }, "unpriced");
  return row.unpriced_calls ? el("span", { title: `${whole(row.unpriced_calls)} calls are unpriced` }, `${dollars(row.cost_usd_micros)} + ?`) : dollars(row.cost_usd_micros);
}

function flags(row) {
  const found = Object.entries(row.quality ?? {}).filter(([, count]) => count);
  return found.map(([name, count]) => el("span", { class: "pill flag", title: `${count} calls` }, `${name.replaceAll("_", " ")} ${count}`));
}

// -- evidence --------------------------------------------------------------------------------------------------------

async function deeper(signal) {
  const isOpen = state.day || state.session || state.call;
  $("drill").hidden = !isOpen;
  if (!isOpen) return;
  drill.crumbs($("crumbs"), state, go);
  try {
    await evidenceOf(signal);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    fill($("drill-body"), nothing(error.message, error.next ?? null));
  }
}

async function evidenceOf(signal) {
  const body = $("drill-body");
  if (state.call) {
    $("drill-title").textContent = "One call and its evidence";
    const said = await ask(`explain/${encodeURIComponent(state.call)}`, {}, signal);
    const row = said.rows.find((each) => each.source_id === state.call) ?? said.rows[0];
    if (row) drill.call(body, row);
    else fill(body, nothing("This call counts no more."));
  } else if (state.session) {
    $("drill-title").textContent = "One session: its calls";
    drill.calls(body, await ask(`explain/${encodeURIComponent(state.session)}`, {}, signal), state, go);
  } else {
    $("drill-title").textContent = `Sessions of ${state.day}`;
    const next = new Date(Date.parse(`${state.day}T00:00Z`) + 86_400_000).toISOString().slice(0, 10);
    const include = state.estimated ? "estimated" : null;
    const said = await ask("usage", { group_by: "session,agent", since: state.day, until: next, include, ...state.filters }, signal);
    drill.sessions(body, said.rows, go);
  }
}

// -- the rest --------------------------------------------------------------------------------------------------------

const THEMES = ["auto", "light", "dark"];

function theme(chosen) {
  document.documentElement.dataset.theme = chosen;
  $("theme").textContent = `theme: ${chosen}`;
  localStorage.setItem("theme", chosen);
}

takeToken();
theme(THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto");
$("theme").onclick = () => theme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % 3]);
$("drill-close").onclick = () => go({ day: null, session: null, call: null });
$("controls").onsubmit = (event) => event.preventDefault();
addEventListener("keydown", (event) => event.key === "Escape" && !$("drill").hidden && go({ day: null, session: null, call: null }));
addEventListener("popstate", () => {
  state = read(location.search);
  load();
});
let wide = 0;
new ResizeObserver(() => {
  const width = $("chart").clientWidth;
  if (known && width !== wide) chart(known.days, known.quality);
  wide = width;
}).observe($("chart"));
setInterval(() => document.visibilityState === "visible" && load(), REFRESH_MS);
load();
