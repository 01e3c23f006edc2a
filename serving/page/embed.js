/**
 * The page inside a shop's own page (`/?embed=1` in an iframe), signed in by the page around it, which says
 * `frame.contentWindow.postMessage({type: "kefu:sign-in", customerToken, apiKey, conversation}, ORIGIN_OF_KEFU)`
 * when it hears `kefu:ready`, and again when a token is renewed; for another customer it loads the frame anew. Each of
 * the three may be left out. `conversation` goes on with one: browsers may keep nothing for a frame of another site, so
 * that the page around hears `{type: "kefu:conversation", id}` and keeps the id from page to page. Who may embed the page
 * at all is the server's decision (`frame-ancestors`), so that the page around is one that may sign in.
 */

import { signIn } from "./credentials.js";

const PATIENCE_MS = 1000;
let around = null; // the origin of the page around, once it has spoken

/** Takes credentials from the page around, and only from it. Resolves to its first message, or to {} if none came soon. */
export function signedIn() {
  if (window.parent === window) return Promise.resolve({});
  return new Promise((resolve) => {
    window.addEventListener("message", ({ source, origin, data }) => {
      if (source !== window.parent || data?.type !== "kefu:sign-in") return;
      around = origin;
      signIn(data);
      resolve(data);
    });
    window.parent.postMessage({ type: "kefu:ready" }, "*"); // says nothing but that the page listens
    setTimeout(() => resolve({}), PATIENCE_MS);
  });
}

/** Tells the page around which conversation this is; null: none yet. */
export function tellConversation(id) {
  if (around && around !== "null") window.parent.postMessage({ type: "kefu:conversation", id }, around);
}
