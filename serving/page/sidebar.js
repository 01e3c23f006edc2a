/** The list of conversations: beside the thread where there is room, else a drawer over it. */

import { Failure, forget } from "./api.js";
import { at, h, icon } from "./dom.js";
import { label, languageOf, say } from "./language.js";

/** Fills the list from `conversations` and connects it to the chat. */
export function list(chat, conversations) {
  const [sidebar, menu, items, none, question] = [
    "sidebar",
    "menu",
    "conversations",
    "no-conversations",
    "question",
  ].map(at);
  const narrow = matchMedia("(max-width: 60rem)");
  const ask = deletion(chat, conversations);

  menu.addEventListener("click", () => slide(menu.getAttribute("aria-expanded") !== "true"));
  narrow.addEventListener("change", () => slide(false));
  sidebar.addEventListener(
    "keydown",
    (event) => event.key === "Escape" && narrow.matches && (slide(false), menu.focus()),
  );
  document.addEventListener("pointerdown", (event) => {
    if (!sidebar.contains(event.target) && !menu.contains(event.target)) slide(false);
  });
  for (const button of [at("new-chat"), at("restart")]) {
    button.addEventListener("click", () => {
      chat.restart();
      slide(false);
      question.focus();
    });
  }
  chat.addEventListener("changed", show);
  document.addEventListener("kefu:language", show);
  slide(false);
  show();

  function slide(open) {
    menu.setAttribute("aria-expanded", String(open));
    sidebar.toggleAttribute("data-open", open);
    sidebar.inert = narrow.matches && !open;
    if (open) at("new-chat").focus();
  }

  function show() {
    const known = conversations.all();
    const held = items.contains(document.activeElement);
    none.hidden = known.length > 0;
    items.replaceChildren(...known.map(item));
    if (held) (items.querySelector("[aria-current]") ?? at("new-chat")).focus();
  }

  function item({ id, title }) {
    const open = h(
      "button",
      {
        type: "button",
        class: "conversation",
        lang: languageOf(title),
        "aria-current": id === conversations.current && "true",
      },
      title,
    );
    if (!title) say(open, "untitled");
    open.addEventListener("click", () => {
      if (id !== conversations.current) chat.open(id);
      slide(false);
      question.focus();
    });
    const bin = h("button", { type: "button", class: "bare small", onclick: () => ask(id, title, bin) }, icon("bin"));
    label(bin, "forget_one", { title });
    return h("li", {}, open, bin);
  }
}

/** Asks before a conversation is deleted, here and on the server. */
function deletion(chat, conversations) {
  const [dialog, what, problem, confirm] = ["forget", "forget-what", "forget-problem", "forget-confirm"].map(at);
  let current = null;
  at("forget-cancel").addEventListener("click", () => dialog.close());
  confirm.addEventListener("click", async () => {
    confirm.disabled = true;
    try {
      await forget(current);
      gone(current);
    } catch (failure) {
      const kind = failure instanceof Failure ? failure.kind : "server";
      if (kind === "conversation") gone(current);
      else show(kind);
    }
    confirm.disabled = false;
  });
  return (id, title) => {
    current = id;
    what.textContent = title;
    problem.hidden = true;
    dialog.showModal();
  };

  function gone(id) {
    dialog.close();
    const here = id === conversations.current;
    conversations.remove(id);
    if (here) chat.restart();
    else chat.dispatchEvent(new Event("changed"));
    at("new-chat").focus();
  }

  function show(kind) {
    problem.hidden = false;
    say(problem, `error.${kind}`);
  }
}
