/** Thumbs under an answer: up counts at once, down asks why first. */

import { rate } from "./api.js";
import { h, icon } from "./dom.js";
import { say } from "./language.js";

let forms = 0;

/** The two thumbs of the answer `id`, and the form that the second one opens. */
export function feedback(id) {
  let settled = false;
  const up = thumb("thumb-up", "helpful", () => send("up"));
  const down = thumb("thumb-down", "unhelpful", () => (form.hidden && !settled ? open() : close()));
  const told = h("span", { class: "told", role: "status" });
  const field = `comment-${++forms}`;
  const text = h("textarea", { id: field, rows: 2, maxlength: 2000, "aria-describedby": `${field}-hint` });
  const form = h(
    "form",
    { class: "comment", hidden: true, onsubmit: submit, onkeydown: (event) => event.key === "Escape" && close() },
    h("label", { for: field, t: "comment" }),
    text,
    h("p", { id: `${field}-hint`, class: "quiet", t: "comment_hint" }),
    h("div", { class: "card-actions" }, h("button", { class: "primary", t: "send_rating" }), h("button", { type: "button", t: "cancel", onclick: close })),
  );
  down.setAttribute("aria-expanded", "false");
  return { buttons: [up, down, told], form };

  function open() {
    form.hidden = false;
    down.setAttribute("aria-expanded", "true");
    text.focus();
    form.scrollIntoView({ block: "nearest" });
  }

  function close() {
    form.hidden = true;
    down.setAttribute("aria-expanded", "false");
    down.focus();
  }

  function submit(event) {
    event.preventDefault();
    send("down", text.value.trim());
  }

  async function send(rating, comment) {
    if (settled) return;
    settled = true; // a second click while the first is on its way, or after it, does nothing
    try {
      await rate(id, rating, comment);
      (rating === "up" ? up : down).setAttribute("aria-pressed", "true");
      say(told, "rated");
    } catch (failure) {
      settled = failure.status === 404 || failure.status === 405;
      say(told, settled ? "rating_off" : "rating_failed");
    }
    if (!settled) return;
    if (!form.hidden) close();
    for (const button of [up, down]) button.setAttribute("aria-disabled", "true"); // still in reach of the keyboard
  }
}

function thumb(drawing, key, onclick) {
  return h("button", { type: "button", class: "bare small", "aria-pressed": "false", tLabel: key, onclick }, icon(drawing));
}
