// From a bar to its day, to a session, to a call, to the bytes of a file that say so.

import { command, dollars, el, fill, minute, nothing, scrolled, table, whole } from "./format.js";

export function crumbs(place, state, go) {
  const steps = [["all days", { day: null, session: null, call: null }]];
  if (state.day) steps.push([state.day, { session: null, call: null }]);
  if (state.session) steps.push([`session ${tail(state.session)}`, { call: null }]);
  if (state.call) steps.push([`call ${tail(state.call)}`, {}]);
  fill(
    place,
    el("ol", {}, steps.map(([text, change], at) => el("li", {}, at === steps.length - 1 ? el("span", { "aria-current": "page" }, text) : el("button", { type: "button", onclick: () => go(change) }, text)))),
  );
}

export function sessions(place, rows, go) {
  if (!rows.length) {
    fill(place, nothing("No measured call lies on this day in what is shown. A dashed frame says that there was work all the same."));
    return;
  }
  fill(
    place,
    scrolled(
      "Sessions",
      table(
        [
          { title: "session", cell: (row) => (row.session ? el("button", { type: "button", class: "link", "data-testid": "session", onclick: () => go({ session: row.session, call: null }) }, row.session) : "(no session)") },
          { title: "agent", cell: (row) => row.agent },
          { title: "calls", is_number: true, cell: (row) => whole(row.calls) },
          { title: "tokens", is_number: true, cell: (row) => whole(row.total_tokens) },
          { title: "cost", is_number: true, cell: (row) => cost(row) },
          { title: "class", cell: (row) => el("span", { class: `pill ${row.measurement}` }, row.measurement) },
        ],
        rows,
      ),
    ),
  );
}

export function calls(place, explained, state, go) {
  const rows = explained.rows.filter((row) => !state.day || !row.called_at || row.called_at.startsWith(state.day));
  if (!rows.length) {
    fill(place, nothing("No call of this session counts on this day.", `tallystick explain ${state.session}`));
    return;
  }
  fill(
    place,
    scrolled(
      "Calls",
      table(
        [
          { title: "call", cell: (row) => el("button", { type: "button", class: "link", "data-testid": "call", onclick: () => go({ call: row.source_id }) }, row.source_id) },
          { title: "at", cell: (row) => minute(row.called_at) },
          { title: "model", cell: (row) => row.model ?? "(none)" },
          { title: "input", is_number: true, cell: (row) => whole(row.input_tokens) },
          { title: "cache read", is_number: true, cell: (row) => whole(row.cache_read_tokens) },
          { title: "cache write", is_number: true, cell: (row) => whole(row.cache_write_tokens) },
          { title: "output", is_number: true, cell: (row) => whole(row.output_tokens) },
          { title: "said by", cell: (row) => `${row.evidence.length} lines, ${row.superseded.length} superseded` },
        ],
        rows,
      ),
    ),
    el("p", { class: "quiet" }, "The same: ", command(`tallystick explain ${state.session}`)),
  );
}

export function call(place, row) {
  const facts = [
    ["counted by", `${row.rule} (${row.formula})`],
    ["class", row.measurement],
    ["model", row.model ?? "none stated"],
    ["tokens", `input ${whole(row.input_tokens)}, cache read ${whole(row.cache_read_tokens)}, cache write ${whole(row.cache_write_tokens)}, output ${whole(row.output_tokens)}`],
    ["repository", row.repo ?? `none: ${row.repo_gap ?? "unknown"}`],
    ["flags", row.flags.length ? row.flags.join(", ") : "none"],
    ["price", price(row)],
  ];
  fill(
    place,
    el("dl", { class: "facts" }, facts.map(([name, said]) => el("div", {}, el("dt", {}, name), el("dd", {}, said)))),
    el("h3", {}, "Evidence"),
    scrolled("Evidence", lines(row.evidence, "role")),
    row.superseded.length ? el("h3", {}, "Superseded: the same call, said again") : null,
    row.superseded.length ? scrolled("Superseded", lines(row.superseded, "reason")) : null,
    el("p", { class: "quiet" }, "The same: ", command(`tallystick explain ${row.source_id}`)),
  );
}

function lines(rows, why) {
  return table(
    [
      { title: "event", cell: (row) => `#${whole(row.seq)}` },
      { title: why, cell: (row) => row[why] ?? "–" },
      { title: "file", cell: (row) => el("span", { class: "path", "data-testid": "file" }, row.source ?? row.producer ?? "–") },
      { title: "bytes", cell: (row) => el("span", { "data-testid": "range" }, row.offset_bytes === null ? (row.item_key ?? "–") : `${whole(row.offset_bytes)} + ${whole(row.length_bytes)}`) },
      { title: "parser", cell: (row) => el("span", { "data-testid": "parser" }, row.parser ? `${row.parser} v${row.parser_version}` : "–") },
    ],
    rows,
    () => ({ "data-testid": "evidence-row" }),
  );
}

function price(row) {
  if (row.cost_usd_micros === null || row.cost_usd_micros === undefined) return "unpriced";
  const of = row.price ?? {};
  return of.book ? `${dollars(row.cost_usd_micros)} by ${of.book} ${of.book_version}: ${of.matched_model}` : dollars(row.cost_usd_micros);
}

const cost = (row) => (row.cost_usd_micros === undefined ? "–" : `${dollars(row.cost_usd_micros)}${row.cost_usd_micros !== null && row.unpriced_calls ? " +?" : ""}`);
const tail = (id) => (id.length > 14 ? `…${id.slice(-12)}` : id);
