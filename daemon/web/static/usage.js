// From the answer of /usage to what is drawn. Nothing is added up across classes here.

const FIELDS = { total: "total_tokens", uncached: "total_without_cache_read_tokens", output: "output_tokens", calls: "calls", cost: "cost_usd_micros" };

/** The number of a row that is asked for; null stays null. */
export function figure(row, measure) {
  const value = row?.[FIELDS[measure]];
  return value === undefined ? null : value;
}

/** The largest seven of what days are stacked by; others become one. */
export function leading(rows, series, measure) {
  const sums = new Map();
  for (const row of rows) {
    const name = row[series] ?? null;
    sums.set(name, (sums.get(name) ?? 0) + (figure(row, measure) ?? 0));
  }
  return [...sums].sort((a, b) => b[1] - a[1] || String(a[0]).localeCompare(String(b[0]))).slice(0, 7).map(([name]) => name);
}

/** Every day between the first and the last, so that a day of nothing is seen to be one. */
export function daysBetween(first, last, most = 400) {
  const days = [];
  for (let at = Date.parse(`${first}T00:00Z`); at <= Date.parse(`${last}T00:00Z`) && days.length < most; at += 86_400_000)
    days.push(new Date(at).toISOString().slice(0, 10));
  return days;
}

/** Rows of several classes, one for each value of a dimension, classes side by side. */
export function sideBySide(rows, by, measure) {
  const merged = new Map();
  for (const row of rows) {
    const key = row[by] ?? null;
    if (!merged.has(key)) merged.set(key, { key });
    const into = merged.get(key);
    into[row.measurement] = figure(row, measure);
    into[`${row.measurement}_row`] = row;
  }
  return [...merged.values()].sort(
    (a, b) => (b.measured ?? b.allocated ?? 0) - (a.measured ?? a.allocated ?? 0) || (b.estimated ?? 0) - (a.estimated ?? 0),
  );
}
