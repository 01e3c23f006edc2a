/** The page's language: chosen by the browser, switchable at any time. What is on the page is translated in place. */

import { wantedLanguage } from "./address.js";
import { keep, kept } from "./storage.js";
import { texts } from "./texts.js";

const LANGUAGES = Object.keys(texts);
let current = LANGUAGES[0];

/** The language in use: `zh` or `en`. */
export const language = () => current;

/** The text of a key, `{name}` filled in; `otherwise` (or the key itself) where there is none. */
export function t(key, values = {}, otherwise = key, code = current) {
  const text = texts[code][key] ?? otherwise;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Gives an element a translated text. */
export function say(node, key, values) {
  node.dataset.t = key;
  fill(node, values);
}

/** Gives an element a translated accessible name, which is its tooltip, too. */
export function label(node, key, values) {
  node.dataset.tLabel = key;
  fill(node, values);
}

/** Translates everything below an element again. */
export function translate(root) {
  const marked = "[data-t], [data-t-label], [data-t-title], [data-t-placeholder]";
  for (const node of root.querySelectorAll(marked)) fill(node);
}

/** The language to begin with: the address's, the one chosen before, or the first of the browser's that we have. */
export function firstLanguage() {
  const wanted = [wantedLanguage, kept("language"), ...navigator.languages];
  const codes = wanted.map((tag) => (tag ?? "").toLowerCase().split("-")[0]);
  return codes.find((code) => LANGUAGES.includes(code)) ?? "en";
}

/** Speaks another language from now on; `chosen` by the reader is remembered. */
export function speak(code, { chosen = false } = {}) {
  current = code;
  document.documentElement.lang = code === "zh" ? "zh-CN" : code;
  if (chosen) keep("language", code);
  document.title = t("title");
  translate(document);
  document.dispatchEvent(new Event("kefu:language"));
}

/** The language that a text is in, for fonts and screen readers: any Chinese character makes it Chinese. */
export const languageOf = (text) => (/\p{Script=Han}/u.test(text) ? "zh-CN" : "en");

function fill(node, values) {
  if (values) node.dataset.values = JSON.stringify(values);
  const { t: text, tLabel, tTitle, tPlaceholder, values: stored } = node.dataset;
  const given = stored ? JSON.parse(stored) : {};
  if (text) node.textContent = t(text, given, given.otherwise);
  if (tLabel) {
    node.setAttribute("aria-label", t(tLabel, given));
    if (node.matches("button, a")) node.title = t(tLabel, given);
  }
  if (tTitle) node.title = t(tTitle, given);
  if (tPlaceholder) node.placeholder = t(tPlaceholder, given);
}
