/** Thumbs under an answer: up counts at once, down asks why first; a later one replaces it. */

import { rate } from "./api.js";
import { h, icon } from "./dom.js";
import { say } from "./language.js";

let forms = 0;

/** The two thumbs of the answer `id`, and the form that the second one opens. */
export function feedback(id) {
  let sending = false;
  const up = thumb("thumb-up", "helpful", () => send("up"));
  const down = thumb("thumb-down", "unhelpful", () => (form.hidden ? open() : close()));
  const told = h("span", { class: "told", role: "status" });
  const field = `comment-${++forms}`;
  const text = h("textarea", { id: field, rows: 2, maxlength: 2000, "aria-describedby": `${field}-hint` });
  const form = h(
    "form",
    { class: "comment", hidden: true, onsubmit: submit, onkeydown: leave },
    h("label", { for: field, t: "comment" }),
    text,
    h("p", { id: `${field}-hint`, class: "quiet", t: "comment_hint" }),
    h(
      "div",
      { class: "card-actions" },
      h("button", { class: "primary", t: "send_rating" }),
      h("button", { type: "button", t: "cancel", onclick: close }),
    ),
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

  function leave(event) {
    if (event.key !== "Escape") return;
    event.stopPropagation(); // it would stop an answer that is on its way, too
    close();
  }

  function submit(event) {
    event.preventDefault();
    send("down", text.value.trim());
  }

  async function send(rating, comment) {
    if (sending) return;
    sending = true;
    say(told, "rating");
    try {
      await rate(id, rating, comment);
      up.setAttribute("aria-pressed", String(rating === "up"));
      down.setAttribute("aria-pressed", String(rating === "down"));
      say(told, "rated");
      if (!form.hidden) close();
    } catch (failure) {
      say(told, reason(failure));
    }
    sending = false;
  }
}

/** Why a rating was not taken: there is no such function, the answer is another sign-in's, or try again. */
function reason({ status, code }) {
  if (code === "answer_not_found") return "rating_lost";
  return status === 404 || status === 405 ? "rating_off" : "rating_failed";
}

function thumb(drawing, key, onclick) {
  return h(
    "button",
    { type: "button", class: "bare small", "aria-pressed": "false", tLabel: key, onclick },
    icon(drawing),
  );
}
