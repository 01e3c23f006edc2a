/** The list of turns and its scrolling: it follows what grows, unless the reader has scrolled up. */

const NEAR = 96; // pixels from the end that still count as the end

export class Thread extends EventTarget {
  #following = true;

  constructor({ list, scroll, toEnd }) {
    super();
    Object.assign(this, { list, scroll, toEnd });
    scroll.addEventListener("scroll", () => this.#look(), { passive: true });
    toEnd.addEventListener("click", () => this.#end());
    new ResizeObserver(() => this.follow()).observe(list);
  }

  get empty() {
    return this.list.childElementCount === 0;
  }

  add(...nodes) {
    this.list.append(...nodes);
    this.dispatchEvent(new Event("changed"));
    this.#end();
  }

  clear() {
    this.list.replaceChildren();
    this.dispatchEvent(new Event("changed"));
    this.#end();
  }

  /** Keeps the end in sight, if it was. */
  follow() {
    if (this.#following) this.#end();
  }

  #end() {
    this.scroll.scrollTop = this.scroll.scrollHeight;
    this.#following = true;
    this.toEnd.hidden = true;
  }

  #look() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroll;
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR;
    this.toEnd.hidden = this.#following;
  }
}
