/** Where the customer writes: grows with the text, sends by Enter, leaves an input method's Enter alone. */

import { at } from "./dom.js";
import { keepHere, keptHere } from "./storage.js";

/** Connects the form to a chat. */
export function compose(chat) {
  const [form, text, send, stop, thinking] = ["composer", "question", "send", "stop", "thinking"].map(at);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const question = text.value.trim();
    if (!question || chat.busy) return;
    text.value = "";
    fit();
    chat.send(question);
  });
  text.addEventListener("input", fit);
  text.addEventListener("keydown", (event) => {
    // 229: Safari ends a composition before the Enter that chose its characters arrives
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    form.requestSubmit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && chat.busy && !document.querySelector("dialog[open]")) chat.stop();
  });
  stop.addEventListener("click", () => chat.stop());
  thinking.addEventListener("click", () => think(!chat.thinking));
  chat.addEventListener("acted", rest);
  chat.addEventListener("busy", () => {
    const held = document.activeElement === send || document.activeElement === stop;
    send.hidden = chat.busy;
    stop.hidden = !chat.busy;
    if (held) rest();
  });
  think(keptHere("thinking") === "on");
  fit();

  /** Where the focus goes when its button is no more; on a phone not to the text, whose keyboard would hide all. */
  function rest() {
    (matchMedia("(hover: hover)").matches ? text : at("scroll")).focus({ preventScroll: true });
  }

  function think(on) {
    chat.thinking = on;
    thinking.setAttribute("aria-pressed", String(on));
    keepHere("thinking", on ? "on" : null);
  }

  function fit() {
    send.disabled = text.value.trim() === "";
    text.rows = 1;
    const line = parseFloat(getComputedStyle(text).lineHeight);
    text.rows = Math.min(8, Math.max(1, Math.round(text.scrollHeight / line)));
  }
}
