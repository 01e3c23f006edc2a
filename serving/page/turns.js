/** The two kinds of turns on the page: what the customer said, and an answer from its first word to its end. */

import { toolCard } from "./cards.js";
import { h, icon } from "./dom.js";
import { feedback } from "./feedback.js";
import { label, languageOf, say } from "./language.js";
import { rendered } from "./markdown.js";
import { Problem } from "./problem.js";

/** What the customer said. */
export function questionTurn(text) {
  return h("li", { class: "turn question" }, heading("you"), h("p", { class: "bubble", lang: languageOf(text) }, text));
}

/** An answer. It waits, grows, and then is done, stopped or failed (`data-state`). */
export class AnswerTurn {
  #frame = 0;
  #answer = null;

  constructor() {
    this.thoughts = h("div", { class: "thoughts" });
    this.summary = h("span", {});
    this.thinking = h(
      "details",
      { class: "thinking", hidden: true },
      h("summary", {}, icon("thought"), this.summary, icon("chevron")),
      this.thoughts,
    );
    this.wait = h(
      "p",
      { class: "wait" },
      h("span", { class: "dots", "aria-hidden": "true" }),
      h("span", { class: "unseen", t: "waiting" }),
    );
    this.text = h("div", { class: "text" });
    this.cards = h("div", { class: "cards" });
    this.foot = h("div", { class: "turn-foot" });
    this.node = h(
      "li",
      { class: "turn answer", "data-state": "waiting" },
      heading("agent"),
      this.thinking,
      this.wait,
      this.text,
      this.cards,
      this.foot,
    );
  }

  /** Shows what there is so far, at the next frame. */
  grow(answer) {
    this.#answer = answer;
    this.#frame ||= requestAnimationFrame(() => this.#draw("growing"));
  }

  /** The answer is whole. */
  finish(answer) {
    this.#answer = answer;
    this.#draw("done");
    const { tools = [], cache, intent } = answer.kefu ?? {};
    this.cards.append(...tools.filter((tool) => tool.status !== "proposed").map(toolCard));
    const row = h("div", { class: "meta" });
    if (cache) row.append(this.#badge("cache", "cache_hint", { id: cache.id }, "bookmark"));
    if (answer.finish === "length") row.append(h("span", { class: "pill", t: "cut_by_length" }));
    const voice = answer.id ? feedback(answer.id) : { buttons: [], form: null };
    row.append(this.#copy(), ...voice.buttons);
    if (intent) row.append(h("code", { class: "intent", "data-t-title": "intent_hint" }, intent));
    this.foot.append(row);
    if (voice.form) this.foot.append(voice.form);
  }

  /** The customer stopped it; what came stays. */
  stop(again) {
    this.#draw("stopped");
    const retry = h("button", { type: "button", class: "link", t: "again", onclick: again });
    this.foot.append(h("div", { class: "meta" }, h("span", { class: "pill", t: "stopped" }), retry));
  }

  /** It failed; `offers` are what can be done about it (see `problem.js`). What came before stays. */
  fail(failure, offers) {
    this.#draw("failed");
    this.problem = new Problem(failure, offers);
    this.foot.append(this.problem.node);
  }

  /** Goes from the page. */
  remove() {
    cancelAnimationFrame(this.#frame);
    this.node.remove();
  }

  /** What a reader of the page hears of it. */
  get spoken() {
    return this.text.innerText; // its blocks apart
  }

  #draw(state) {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.node.dataset.state = state;
    const text = this.#answer?.text ?? "";
    const thinking = this.#answer?.thinking ?? "";
    this.text.replaceChildren(...rendered(text));
    this.text.lang = languageOf(text);
    this.thinking.hidden = !thinking;
    say(this.summary, text || state !== "growing" ? "thoughts" : "thinking_now");
    this.thoughts.replaceChildren(...rendered(thinking));
    this.thoughts.lang = languageOf(thinking);
    this.wait.hidden = Boolean(text) || !["waiting", "growing"].includes(state);
  }

  #copy() {
    const button = h("button", { type: "button", class: "bare small", tLabel: "copy" }, icon("copy"));
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(this.#answer.text);
      label(button, "copied");
      button.replaceChildren(icon("check"));
    });
    button.hidden = !navigator.clipboard; // there is none where the page is not served over HTTPS
    return button;
  }

  #badge(key, hint, values, drawing) {
    const text = h("span", {});
    say(text, key);
    const badge = h(
      "span",
      { class: "pill badge", "data-t-title": hint, "data-values": JSON.stringify(values) },
      icon(drawing),
      text,
    );
    say(badge.appendChild(h("span", { class: "unseen" })), hint, values);
    return badge;
  }
}

function heading(key) {
  return h("h2", { class: "unseen", t: key });
}
