/** The endpoint over HTTP: every request of the page is made here. */

import { Answer } from "./answer.js";
import { setClock } from "./clock.js";
import { signature } from "./credentials.js";
import { events } from "./sse.js";

export const MODEL = "kefu";
const SHORT_MS = 15_000;
const CODES = {
  conversation_not_found: "conversation",
  context_length_exceeded: "too_long",
  rate_limit_exceeded: "busy",
  deadline_exceeded: "timeout",
};
const STATUSES = {
  401: "unauthorized",
  403: "forbidden",
  404: "not_found",
  413: "too_long",
  429: "busy",
  503: "unavailable",
  504: "timeout",
};
const TYPES = { invalid_request_error: "refused", authentication_error: "unauthorized", server_error: "unavailable" };

/** A request that failed. `kind` is a key of `texts.js` (`error.…`); `detail` is the server's own sentence, if any. */
export class Failure extends Error {
  constructor(kind, { status = 0, code = null, detail = "", retryAfter = 0 } = {}) {
    super(detail || kind);
    Object.assign(this, { kind, status, code, detail, retryAfter });
  }
}

/**
 * Asks for an answer and yields it each time it has grown. Its end without `[DONE]` is a failure: what is shown may be
 * half of it.
 */
export async function* ask(body, signal) {
  const response = await request("POST", "v1/chat/completions", {
    body: { model: MODEL, stream: true, ...body },
    signal,
  });
  const answer = new Answer();
  try {
    for await (const data of events(response.body)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw failureOf(0, chunk.error);
      answer.add(chunk);
      yield answer;
    }
  } catch (error) {
    if (error instanceof Failure || error.name === "AbortError") throw error;
    throw new Failure("cut", { detail: error instanceof SyntaxError ? "" : error.message });
  }
  throw new Failure("cut");
}

/** What serves: the model's names, the release's digest, whether a question would be answered now. */
export async function served() {
  const [models, ready] = await Promise.all([
    request("GET", "v1/models").then((response) => response.json()),
    fetch("readyz", { signal: AbortSignal.timeout(SHORT_MS) }).then((response) => response.json()),
  ]);
  return { names: models.data.map((model) => model.id), ...ready };
}

/** The messages of a conversation, as the server remembers them. */
export async function conversation(id) {
  return (await request("GET", `v1/conversations/${encodeURIComponent(id)}`)).json();
}

/** Has the server forget a conversation. */
export const forget = (id) => request("DELETE", `v1/conversations/${encodeURIComponent(id)}`);

/** Says how good an answer was: `up` or `down`, and why. */
export const rate = (id, rating, comment) =>
  request("POST", "v1/feedback", { body: comment ? { id, rating, comment } : { id, rating } });

async function request(method, path, { body, signal = AbortSignal.timeout(SHORT_MS) } = {}) {
  const headers = { ...(body && { "Content-Type": "application/json" }), ...signature() };
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: body && JSON.stringify(body), credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(error.name === "TimeoutError" ? "timeout" : "unreachable");
  }
  setClock(response.headers.get("Date"));
  if (response.ok) return response;
  const told = await response.json().then(
    (json) => json.error ?? {},
    () => ({}),
  );
  throw failureOf(response.status, told, Number(response.headers.get("Retry-After")) || 0);
}

/** An error in OpenAI's shape; one that comes in the middle of a stream has no status (0), only its code and type. */
function failureOf(status, { message = "", code = null, type = "" }, retryAfter = 0) {
  const kind = CODES[code] ?? STATUSES[status] ?? TYPES[type] ?? (status >= 400 && status < 500 ? "refused" : "server");
  return new Failure(kind, { status, code, detail: message, retryAfter });
}
