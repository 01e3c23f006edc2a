/**
 * The page inside a shop's own page (`/?embed=1` in an iframe), signed in by the page around it, which says
 * `frame.contentWindow.postMessage({type: "kefu:sign-in", customerToken, apiKey}, ORIGIN_OF_KEFU)`
 * when it hears `kefu:ready`, and again when a token is renewed; for another customer it loads the frame anew. Who may
 * embed the page at all is the server's decision (`frame-ancestors`), so that the page around is one that may sign in.
 */

import { signIn } from "./credentials.js";

const PATIENCE_MS = 1000;

/** Takes credentials from the page around, and only from it. Resolves at the first, or when none came soon. */
export function signedIn() {
  if (window.parent === window) return Promise.resolve();
  return new Promise((resolve) => {
    window.addEventListener("message", ({ source, data }) => {
      if (source !== window.parent || data?.type !== "kefu:sign-in") return;
      signIn(data);
      resolve();
    });
    window.parent.postMessage({ type: "kefu:ready" }, "*"); // says nothing but that the page listens
    setTimeout(resolve, PATIENCE_MS);
  });
}
