/**
 * What the browser keeps: preferences and the list of conversations for good, credentials for this tab only.
 * Where storage is forbidden (a private window, a frame of another site) it lasts as long as the page.
 */

const PREFIX = "kefu.";
const fallback = new Map();

/** A value kept for good; null if there is none. */
export const kept = (name) => read("localStorage", name);
export const keep = (name, value) => write("localStorage", name, value);

/** A value kept while this tab is open. */
export const keptHere = (name) => read("sessionStorage", name);
export const keepHere = (name, value) => write("sessionStorage", name, value);

function read(area, name) {
  try {
    return window[area].getItem(PREFIX + name);
  } catch {
    return fallback.get(area + name) ?? null;
  }
}

function write(area, name, value) {
  try {
    if (value === null || value === "") window[area].removeItem(PREFIX + name);
    else window[area].setItem(PREFIX + name, value);
  } catch {
    fallback.set(area + name, value || null);
  }
}
