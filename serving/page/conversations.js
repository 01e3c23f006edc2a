/**
 * The conversations that this browser knows: ids and titles; what was said stays on the server. A page that is
 * embedded in a shop keeps no list, only the conversation of its tab.
 */

import { keep, keepHere, kept, keptHere } from "./storage.js";

const MOST = 100;
const TITLE = 60; // characters

export class Conversations {
  constructor({ listed }) {
    this.listed = listed;
    this.current = keptHere("conversation");
  }

  /** The known ones, the latest first: {id, title, at}. */
  all() {
    if (!this.listed) return [];
    try {
      const found = JSON.parse(kept("conversations") ?? "[]");
      return found.filter(({ id, title }) => typeof id === "string" && typeof title === "string");
    } catch {
      return [];
    }
  }

  /** Makes one the tab's own; null: the next question opens a new one. */
  choose(id) {
    this.current = id;
    keepHere("conversation", id);
  }

  /** The current one, opened and put on top by a question. */
  touch(question) {
    const id = this.current ?? newId();
    this.choose(id);
    const known = this.all().find((one) => one.id === id);
    const title = known?.title ?? [...question.replace(/\s+/g, " ").trim()].slice(0, TITLE).join("");
    this.#save([{ id, title, at: Date.now() }, ...this.all().filter((one) => one.id !== id)]);
    return id;
  }

  remove(id) {
    if (this.current === id) this.choose(null);
    this.#save(this.all().filter((one) => one.id !== id));
  }

  #save(list) {
    if (this.listed) keep("conversations", JSON.stringify(list.slice(0, MOST)));
  }
}

/** 128 random bits; unlike `crypto.randomUUID` also where the page is not served over HTTPS. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `page-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
