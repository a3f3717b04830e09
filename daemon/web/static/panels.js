// Verdict, cards, freshness, data quality, footer: one function for each, data in and elements out.

import { age, bytes, command, dollars, el, fill, minute, nothing, short, since, table, whole } from "./format.js";

const SEVERITIES = ["critical", "warning", "unknown", "info"];

/** The line of `tallystick health`, word for word, and below it what to type. */
export function verdict(place, health) {
  place.dataset.state = health.state;
  const next = [...new Set(health.findings.map((found) => found.next).filter(Boolean))].slice(0, 4);
  fill(
    place,
    el("p", { class: "line" }, el("span", { class: "mark", "aria-hidden": "true" }, { ok: "✓", warning: "!", critical: "✕" }[health.state] ?? "?"), " ", health.line),
    next.length ? el("ul", { class: "next" }, next.map((each) => el("li", {}, command(each)))) : "",
  );
}

const CARDS = {
  measured: "said by the agents' own logs",
  estimated: "nobody measured these; in no measured number",
  superseded: "copies, repeats, replaced estimates: counted elsewhere or not at all",
  allocated: "measured tokens sliced by task: the same tokens again",
};

/** Four classes beside each other; what is off is dimmed and not hidden. */
export function cards(place, totals, state, show) {
  fill(
    place,
    ...Object.entries(CARDS).map(([name, meaning]) => {
      const of = totals[name] ?? {};
      const isOn = name === "measured" ? state.view === "measured" : name === "allocated" ? state.view === "tasks" : state.view === "measured" && state[name];
      const tokens = of.total_tokens ?? null;
      return el(
        "article",
        { class: `card ${name}`, "data-testid": `card-${name}`, "data-on": isOn ? "1" : "0", "data-total": tokens },
        el("h3", {}, name, el("span", { class: "swatch", "aria-hidden": "true" })),
        el("p", { class: "figure", title: tokens === null ? null : `${whole(tokens)} tokens` }, tokens !== null ? short(tokens) : of.calls ? short(of.calls) : "none"),
        el("p", { class: "detail" }, tokens === null && !of.calls ? "nothing in this window" : `${tokens === null ? "" : `${whole(tokens)} tokens · `}${whole(of.calls ?? 0)} ${name === "superseded" ? "statements" : "calls"}`),
        name === "measured" ? el("p", { class: "detail", "data-testid": "cost" }, priced(of)) : null,
        name === "measured" && of.cache_savings_usd_micros ? el("p", { class: "detail" }, `reading from the cache saved ${dollars(of.cache_savings_usd_micros)}`) : null,
        of.incomplete_calls ? el("p", { class: "detail flag" }, `a lower bound: ${whole(of.incomplete_calls)} incomplete`) : null,
        el("p", { class: "meaning" }, meaning, isOn ? null : " (not drawn)"),
      );
    }),
  );
}

function priced(of) {
  if (of.cost_usd_micros === null || of.cost_usd_micros === undefined) return "unpriced";
  return `${dollars(of.cost_usd_micros)}${of.unpriced_calls ? ` + ${whole(of.unpriced_calls)} calls unpriced` : ""}`;
}

export function freshness(place, status) {
  if (!status.rows.length) {
    fill(place, nothing("No agent's log was ever read: nothing is known, which is not zero.", "tallystick ingest"));
    return;
  }
  fill(
    place,
    table(
      [
        { title: "agent", cell: (row) => row.agent },
        { title: "state", cell: (row) => el("span", { class: `state ${row.state}` }, row.state) },
        { title: "last event", cell: (row) => el("time", { datetime: row.newest_source_event_at, title: row.newest_source_event_at }, since(row.newest_source_event_at)) },
        { title: "read up to", cell: (row) => `#${whole(row.newest_seq)}` },
        { title: "unread", is_number: true, cell: (row) => bytes(row.backlog_bytes) },
        { title: "files", is_number: true, cell: (row) => whole(row.files) },
        { title: "unreadable", is_number: true, cell: (row) => (row.unreadable_paths ? el("b", { class: "flag" }, whole(row.unreadable_paths)) : "0") },
      ],
      status.rows,
      (row) => ({ "data-testid": "fresh-row", "data-agent": row.agent }),
    ),
  );
}

/** Who watches, and when it ran last: what never ran says so. */
export function runs(place, health, status) {
  const last = (name) => status.rows.find((row) => row.agent === name)?.newest_ingest_at ?? null;
  const facts = [
    ["last Claude Code evidence", since(last("claude_code"))],
    ["last Codex evidence", since(last("codex"))],
    ["last reconcile", run(health.last_runs?.reconcile)],
    ["last health", run(health.last_runs?.health)],
    ["last invariants", run(health.last_runs?.invariants)],
    ["daemon", health.heartbeat_age_seconds === null ? "no heartbeat" : `heartbeat ${age(health.heartbeat_age_seconds)}`],
  ];
  fill(place, ...facts.map(([name, said]) => fact(name, said, said === "never" || said === "no heartbeat")));
}

function run(found) {
  if (found === null || found === undefined) return "never";
  if (typeof found === "number") return age(found);
  return found.age_seconds === undefined ? since(found.at) : age(found.age_seconds);
}

function fact(name, said, isFlagged = false, id = null) {
  return el("div", { "data-testid": id }, el("dt", {}, name), el("dd", { class: isFlagged ? "flag" : null }, said));
}

export function quality(place, found, usage) {
  const q = found;
  const residual = q.residuals;
  fill(
    place,
    fact("flatline days", whole(new Set(q.flatline_days.map((each) => each.day)).size), q.flatline_days.length > 0, "q-flatlines"),
    fact("fallback events", `${whole(q.fallbacks.events)}, ${whole(q.fallbacks.leaked)} beside a measurement`, q.fallbacks.leaked > 0, "q-fallbacks"),
    fact("unattributed measured sessions", `${whole(q.unattributed.sessions)} (${short(q.unattributed.total_tokens)} tokens)`, q.unattributed.sessions > 0, "q-unattributed"),
    fact("ids counted twice", `${whole(q.duplicates.counted_twice)} of ${whole(q.duplicates.source_ids)}, checked ${since(q.as_of.at)}`, q.duplicates.counted_twice > 0, "q-duplicates"),
    fact("complete witnesses that disagree", whole(q.duplicates.disagreeing), q.duplicates.disagreeing > 0, "q-disagreeing"),
    fact("lines that cannot be read", whole(usage.rejected_lines), usage.rejected_lines > 0, "q-rejected"),
    fact("files that state no usage", whole(usage.unmetered_sources), usage.unmetered_sources > 0, "q-unmetered"),
    fact("places that cannot be read", whole(usage.unreadable_paths), usage.unreadable_paths > 0, "q-unreadable"),
    fact("residual to the agents' own totals", `${whole(residual.tokens)} tokens in ${whole(residual.files)} files`, residual.files > 0, "q-residuals"),
    fact("drift", q.drift.length ? q.drift.map((each) => `${each.agent} ${each.agent_version ?? ""}`.trim()).join(", ") : "none", q.drift.length > 0, "q-drift"),
    fact("calls without a price", unpriced(usage.unpriced), usage.unpriced.length > 0, "q-unpriced"),
  );
}

/** Which models have no price, and why; of many the first. */
function unpriced(rows) {
  if (!rows.length) return "none";
  const said = rows.slice(0, 4).map((row) => `${row.model ?? "no model"}: ${whole(row.calls)} (${row.reason.replaceAll("_", " ")})`);
  return `${said.join(", ")}${rows.length > 4 ? `, ${rows.length - 4} more` : ""}`;
}

export function findings(place, document, health) {
  const rows = [...health.findings.map((row) => ({ ...row, is_health: true })), ...document.rows.filter((row) => !row.acknowledged)];
  rows.sort((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity));
  const acknowledged = document.rows.length - document.rows.filter((row) => !row.acknowledged).length;
  if (!rows.length) {
    fill(place, el("p", { class: "quiet" }, `No finding${acknowledged ? `; ${acknowledged} acknowledged` : ""}.`));
    return;
  }
  fill(
    place,
    el(
      "ul",
      {},
      rows.slice(0, 40).map((row) =>
        el(
          "li",
          { class: row.severity, "data-testid": "finding", "data-rule": row.rule },
          el("b", {}, row.rule.replaceAll("_", " ")),
          el("span", { class: "pill" }, row.severity),
          row.since ? el("time", { datetime: row.since }, ` since ${minute(row.since)}`) : null,
          el("p", {}, row.message ?? (row.evidence ?? []).slice(0, 4).join(" · ")),
          row.next ? command(row.next) : null,
        ),
      ),
    ),
    el("p", { class: "quiet" }, `${rows.length > 40 ? `${rows.length - 40} more; ` : ""}${acknowledged} acknowledged. All: `, command("tallystick findings")),
  );
}

export function foot(place, usage, status) {
  const of = usage.as_of;
  fill(
    place,
    `as of event #${whole(of.seq)}, ${minute(of.at)} UTC · rules ${String(of.rules).slice(0, 8)} · prices ${of.price_book ?? "none: nothing is priced"} · log head `,
    el("code", { title: status.log?.hash ?? "" }, (status.log?.hash ?? "none").slice(0, 12)),
    ` · tables ${whole(status.projection_lag_events)} events behind · days in UTC`,
  );
}
