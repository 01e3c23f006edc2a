/** Elements made without markup: whatever comes from outside is a text node, never HTML. */

import { label, say } from "./language.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. Attributes whose value is false or null are left out; `on…` adds a listener; `t` and `tLabel` are keys
 * of `texts.js` for its text and its accessible name.
 */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "t") say(node, value);
    else if (name === "tLabel") label(node, value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** A drawing of `icons.svg`; decoration only. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `page/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** The page's element with this id. */
export const at = (id) => document.getElementById(id);
