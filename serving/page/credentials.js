/**
 * Who asks: an API key and a customer token, both optional. They last as long as the tab, in a frame as long as the
 * page, and go to this page's own server and nowhere else.
 */

import { embedded } from "./address.js";
import { keepHere, keptHere } from "./storage.js";

const NAMES = ["apiKey", "customerToken"];
const held = Object.fromEntries(NAMES.map((name) => [name, (!embedded && keptHere(name)) || ""]));

/** The headers that carry them. */
export function signature() {
  return {
    ...(held.apiKey && { Authorization: `Bearer ${held.apiKey}` }),
    ...(held.customerToken && { "X-Customer-Token": held.customerToken }),
  };
}

/** What is held: {apiKey, customerToken}. */
export const credentials = () => ({ ...held });

/** Takes those that are given as text; says whether anything changed. */
export function signIn(given) {
  const before = JSON.stringify(held);
  for (const name of NAMES) {
    if (typeof given[name] !== "string") continue;
    held[name] = given[name].trim().replace(/[^\x21-\x7e]/g, ""); // what no header could carry is no credential
    if (!embedded) keepHere(name, held[name]);
  }
  return JSON.stringify(held) !== before;
}
