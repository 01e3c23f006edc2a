/**
 * The little of Markdown that answers use: paragraphs, lists, fenced code, **bold** and `code`.
 * Links, images and HTML stay the text that they are: what a model writes is never something to click.
 */

import { h } from "./dom.js";

const ITEM = /^\s*(?:([-*•])|(\d{1,3})[.)、])\s+(.*)$/;

/** The nodes of a text, which may still be growing. */
export function rendered(text) {
  return blocks(text).map(element);
}

/** The text's blocks: {kind: "p" | "ul" | "ol" | "pre", lines, start?}. */
export function blocks(text) {
  const found = [];
  let fenced = false;
  for (const line of text.replace(/\r\n?/g, "\n").split("\n")) {
    const last = found.at(-1);
    if (/^\s*```/.test(line)) {
      fenced = !fenced;
      if (fenced) found.push({ kind: "pre", lines: [] });
      else last.closed = true;
    } else if (fenced) {
      last.lines.push(line);
    } else if (line.trim() === "") {
      if (last) last.closed = true;
    } else {
      addLine(found, line);
    }
  }
  return found;
}

function addLine(found, line) {
  const last = found.at(-1);
  const item = ITEM.exec(line);
  if (item) {
    const kind = item[1] ? "ul" : "ol";
    if (last?.kind === kind)
      last.lines.push(item[3]); // also after an empty line
    else found.push({ kind, lines: [item[3]], start: Number(item[2] ?? 1) });
  } else if (last && !last.closed && last.kind === "p") {
    last.lines.push(line);
  } else if (last && !last.closed && last.kind !== "pre" && /^\s{2,}/.test(line)) {
    last.lines[last.lines.length - 1] += ` ${line.trim()}`; // an item goes on
  } else {
    found.push({ kind: "p", lines: [line] });
  }
}

function element({ kind, lines, start }) {
  if (kind === "pre") return h("pre", { tabindex: "0" }, h("code", {}, lines.join("\n")));
  if (kind === "p")
    return h(
      "p",
      {},
      lines.flatMap((line, at) => (at ? [h("br"), ...inline(line)] : inline(line))),
    );
  const items = lines.map((line) => h("li", {}, inline(line)));
  return h(kind, { start: kind === "ol" && start !== 1 ? start : null }, items);
}

function inline(line) {
  const text = line.replace(/^#{1,6}\s+(.*)$/, "**$1**");
  return text
    .split(/(\*\*[^*]+\*\*|`[^`]+`)/)
    .filter(Boolean)
    .map((part) => {
      if (/^\*\*[^*]+\*\*$/.test(part)) return h("strong", {}, part.slice(2, -2));
      if (/^`[^`]+`$/.test(part)) return h("code", {}, part.slice(1, -1));
      return part;
    });
}
