/** What the server did or would do, as cards: calls of tools, and a write that waits for the customer's yes. */

import { now } from "./clock.js";
import { h, icon } from "./dom.js";
import { languageOf, say, t } from "./language.js";

const ICONS = { ok: "check", done: "check", proposed: "question" };

/** A handled call: its name and how it ended; its arguments unfold. */
export function toolCard({ name, arguments: given, status }) {
  const state = h("span", { class: "pill" });
  say(state, `status.${status}`, { otherwise: status });
  const title = h("span", { class: "card-name" });
  say(title, `tool.${name}`, { otherwise: name });
  const subject = given?.order_id ? h("span", { class: "card-subject" }, String(given.order_id)) : null;
  const summary = h("summary", {}, icon(ICONS[status] ?? "alert"), title, subject, state, icon("chevron"));
  return h("details", { class: "card tool", "data-status": status }, summary, argumentList(given));
}

/** The question before a write. Its buttons call `settle(yes)`; it ends by `close(key)`, or when its time is over. */
export class ConfirmationCard {
  open = true; // the buttons still count
  #timer = null;

  constructor(confirmation, settle) {
    this.confirmation = confirmation;
    this.expires = Date.parse(confirmation.expires_at);
    this.title = h("span", { class: "card-name" });
    say(this.title, `tool.${confirmation.tool}`, { otherwise: confirmation.tool });
    this.left = h("span", { class: "pill" });
    this.yes = this.#button("primary", "confirm_yes", () => settle(true));
    this.no = this.#button("", "confirm_no", () => settle(false));
    this.actions = h("div", { class: "card-actions" }, this.yes, this.no);
    const heading = h("h3", {}, h("span", { class: "unseen", t: "confirm_title" }), " ", this.title);
    const head = h("div", { class: "card-head" }, icon("question"), heading, this.left);
    this.node = h(
      "section",
      { class: "card confirmation", tLabel: "confirm_title" },
      head,
      argumentList(confirmation.arguments),
      this.actions,
    );
    this.#tick();
    if (this.open) this.#timer = setInterval(() => this.#tick(), 1000);
  }

  /** What would be done, in words. */
  get what() {
    return t(`tool.${this.confirmation.tool}`, {}, this.confirmation.tool);
  }

  /** Holds the buttons while an answer is on its way. */
  hold(held) {
    this.yes.disabled = this.no.disabled = held;
  }

  /** Ends the card: the buttons give way to what became of it. */
  close(key) {
    if (!this.open) return;
    this.open = false;
    clearInterval(this.#timer);
    this.node.dataset.closed = key;
    this.left.remove();
    this.actions.replaceWith(h("p", { class: "card-end", t: key }));
  }

  #button(kind, key, settle) {
    return h("button", { type: "button", class: kind, t: key, onclick: settle });
  }

  #tick() {
    const seconds = Math.floor((this.expires - now()) / 1000);
    if (!(seconds > 0)) return this.close("confirm_expired");
    const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    return say(this.left, "confirm_left", { time });
  }
}

function argumentList(given) {
  const rows = Object.entries(given ?? {}).map(([name, value]) => {
    const term = h("dt", {});
    say(term, `argument.${name}`, { otherwise: name });
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return h("div", {}, term, h("dd", { lang: languageOf(text) }, text));
  });
  return h("dl", { class: "facts" }, rows);
}
