// What is shown, and nothing else: it lives in the address, so that a link says what its sender saw.

export const WINDOWS = { "24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days", all: "all" };
export const MEASURES = {
  total: "all tokens",
  uncached: "without cache reads",
  output: "output",
  calls: "calls",
  cost: "cost, USD",
};
export const SERIES = ["agent", "model", "repo"];
export const DIMENSIONS = ["repo", "model", "task", "session", "agent", "provider", "branch", "host"];
export const FILTERS = ["agent", "source", "provider", "model", "repo", "task"];
export const VIEWS = { measured: "what was used", tasks: "by task: allocated" };

/** By what a view is broken down first. */
export const FIRST = { measured: "repo", tasks: "task" };

const DEFAULTS = {
  window: "30d",
  view: "measured",
  estimated: false,
  superseded: false,
  measure: "total",
  series: "agent",
  by: "repo",
  day: null,
  session: null,
  call: null,
};

const ONE_OF = { window: WINDOWS, view: VIEWS, measure: MEASURES };

/** Read the address; what it does not know it takes for the default, and a filter only by a known name. */
export function read(search) {
  const asked = new URLSearchParams(search);
  const state = { ...DEFAULTS, filters: {} };
  for (const name of Object.keys(ONE_OF)) if (asked.get(name) in ONE_OF[name]) state[name] = asked.get(name);
  if (SERIES.includes(asked.get("series"))) state.series = asked.get("series");
  state.by = DIMENSIONS.includes(asked.get("by")) ? asked.get("by") : FIRST[state.view];
  for (const name of ["estimated", "superseded"]) state[name] = asked.get(name) === "1";
  if (/^\d{4}-\d{2}-\d{2}$/.test(asked.get("day") ?? "")) state.day = asked.get("day");
  for (const name of ["session", "call"]) state[name] = asked.get(name) || null;
  for (const name of FILTERS) if (asked.has(name)) state.filters[name] = asked.get(name);
  return state;
}

/** Write it as a query; defaults are left out. */
export function write(state) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (name === "filters" || value === (name === "by" ? FIRST[state.view] : DEFAULTS[name]) || value === null) continue;
    query.set(name, value === true ? "1" : String(value));
  }
  for (const [name, value] of Object.entries(state.filters)) query.set(name, value);
  const text = query.toString();
  return text ? `?${text}` : location.pathname;
}
