/**
 * The page inside a shop's own page (`/?embed=1` in an iframe), signed in by the page around it, which says
 * `frame.contentWindow.postMessage({type: "kefu:sign-in", customerToken, apiKey, conversation}, ORIGIN_OF_KEFU)`
 * when it hears `kefu:ready`, and again when a token is renewed; for another customer it loads the frame anew. Each of
 * the three may be left out. `conversation` goes on with one: browsers may keep nothing for a frame of another site, so
 * that the page around hears `{type: "kefu:conversation", id}` and keeps the id from page to page. Who may embed the
 * page at all is the server's decision (`frame-ancestors`), so that the page around is one that may sign in.
 */

import { signIn } from "./credentials.js";

const PATIENCE_MS = 1000;
let around = null; // the origin of the page around, once it has spoken

/**
 * Takes credentials from the page around, and only from it. `begin` is called with its first message; with {} if there
 * is no page around, and if it has not spoken soon.
 */
export function takeSignIn(begin) {
  if (window.parent === window) return begin({});
  const late = setTimeout(() => begin({}), PATIENCE_MS);
  window.addEventListener("message", ({ source, origin, data }) => {
    if (source !== window.parent || data?.type !== "kefu:sign-in") return;
    signIn(data);
    clearTimeout(late);
    const first = around === null;
    around = origin;
    if (first) begin(data);
  });
  return window.parent.postMessage({ type: "kefu:ready" }, "*"); // says nothing but that the page listens
}

/** Tells the page around which conversation this is; null: none yet. */
export function tellConversation(id) {
  if (around && around !== "null") window.parent.postMessage({ type: "kefu:conversation", id }, around);
}
