/** The chat page: puts its parts together. */

import { embedded } from "./address.js";
import { Chat } from "./chat.js";
import { compose } from "./composer.js";
import { Conversations } from "./conversations.js";
import { at, h } from "./dom.js";
import { takeSignIn, tellConversation } from "./embed.js";
import { firstLanguage, speak } from "./language.js";
import { dress, settings } from "./settings.js";
import { list } from "./sidebar.js";
import { Thread } from "./thread.js";

const STARTERS = ["starter.1", "starter.2", "starter.3", "starter.4"];

document.documentElement.toggleAttribute("data-embed", embedded);
dress();
speak(firstLanguage());

const conversations = new Conversations({ listed: !embedded });
const thread = new Thread({ list: at("thread"), scroll: at("scroll"), toEnd: at("to-end") });
const panel = settings(() => reopen());
const chat = new Chat({
  thread,
  conversations,
  announce,
  offers: { settings: panel.open, restart: () => chat.restart() },
});

thread.addEventListener("changed", () => at("welcome").toggleAttribute("hidden", !thread.empty));
chat.addEventListener("failed", panel.look);
chat.addEventListener("busy", () => chat.busy || panel.lookAgain());
at("starters").append(...STARTERS.map((key) => h("li", {}, h("button", { type: "button", t: key, onclick: start }))));
compose(chat);
list(chat, conversations);
chat.addEventListener("changed", () => tellConversation(conversations.current));
takeSignIn(begin);
if (!embedded && matchMedia("(hover: hover)").matches) at("question").focus(); // a phone's keyboard would hide the page

/** Begins with the conversation that the page around goes on with, or with the tab's own. */
function begin({ conversation }) {
  panel.look();
  if (chat.busy || !thread.empty) return; // the reader was faster
  if (isId(conversation)) conversations.choose(conversation);
  reopen();
}

/** Shows the tab's conversation, if it has one. */
function reopen() {
  if (conversations.current) chat.open(conversations.current);
}

function isId(given) {
  return typeof given === "string" && given.length > 0 && given.length <= 128;
}

function start(event) {
  at("question").focus();
  chat.send(event.currentTarget.textContent);
}

/** Says something to screen readers. */
function announce(text) {
  at("announcer").textContent = text;
}
