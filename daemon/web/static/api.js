// Questions to our own server, and to nobody else. A failure is a failure, never an empty answer.

const TOKEN = "tallystick-token";

/** The token comes behind the # of the printed address, which no server sees; the tab keeps it. */
export function takeToken() {
  const found = /^#token=([A-Za-z0-9_-]+)$/.exec(location.hash);
  if (!found) return;
  sessionStorage.setItem(TOKEN, found[1]);
  history.replaceState(null, "", location.pathname + location.search);
}

export class Failed extends Error {
  /** kind: a code of the API, or "unreachable"; next: what to type, null where nothing is known. */
  constructor(kind, message, next = null, status = 0) {
    super(message);
    Object.assign(this, { kind, next, status });
  }
}

export async function ask(path, query = {}, signal) {
  const parameters = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== ""));
  const text = parameters.toString();
  const token = sessionStorage.getItem(TOKEN);
  let answer;
  try {
    answer = await fetch(`/api/v1/${path}${text ? `?${text}` : ""}`, {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failed("unreachable", "tallystick serve does not answer.", "tallystick serve --port 8765");
  }
  let said = null;
  try {
    said = await answer.json();
  } catch {
    if (answer.ok) throw new Failed("broken", "The answer is no JSON.", null, answer.status);
  }
  if (answer.ok) return said;
  throw new Failed(said?.kind ?? "failed", said?.title ?? `The server answered ${answer.status}.`, said?.next ?? null, answer.status);
}
