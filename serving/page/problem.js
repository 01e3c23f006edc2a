/** A failure told plainly, with what can be done about it. */

import { h, icon } from "./dom.js";
import { say } from "./language.js";

const NO_RETRY = new Set(["too_long", "refused", "not_found", "conversation", "history_missing"]);

/** `offers`: {retry, settings, restart}, functions for the buttons that fit the failure. */
export class Problem {
  #timer = null;

  constructor({ kind, detail, retryAfter }, { retry, settings, restart }) {
    const buttons = [];
    if (kind === "unauthorized" || kind === "forbidden") buttons.push(button("settings", settings));
    if (kind === "conversation" || kind === "history_missing") buttons.push(button("new_chat", restart));
    this.retry = NO_RETRY.has(kind) ? null : button("retry", retry);
    if (this.retry) buttons.push(this.retry);
    this.node = h(
      "div",
      { class: "problem", role: "alert" },
      icon("alert"),
      h("div", {}, h("p", { t: `error.${kind}` }), detail ? h("p", { class: "detail", lang: "en" }, detail) : null),
      buttons.length ? h("div", { class: "card-actions" }, buttons) : null,
    );
    if (this.retry && retryAfter) this.#countDown(Date.now() + Math.min(retryAfter, 600) * 1000);
  }

  #countDown(until) {
    const tick = () => {
      const seconds = Math.ceil((until - Date.now()) / 1000);
      this.retry.disabled = seconds > 0;
      if (seconds > 0) return say(this.retry, "retry_in", { seconds });
      clearInterval(this.#timer);
      return say(this.retry, "retry");
    };
    this.#timer = setInterval(tick, 500);
    tick();
  }
}

function button(key, onclick) {
  return h("button", { type: "button", t: key, onclick });
}
