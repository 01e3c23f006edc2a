/** One answer as it arrives, chunk by chunk. */

const OPEN = "<think>";
const CLOSE = "</think>";

/** What a stream has said so far. */
export class Answer {
  id = null;
  finish = null;
  kefu = null;
  #content = "";
  #reasoning = "";

  /** Takes one chunk of chat completions. */
  add(chunk) {
    this.id ??= chunk.id;
    this.kefu = chunk.kefu ?? this.kefu;
    for (const { delta = {}, finish_reason: finish } of chunk.choices ?? []) {
      this.#content += delta.content ?? "";
      this.#reasoning += delta.reasoning ?? delta.reasoning_content ?? "";
      this.finish = finish ?? this.finish;
    }
  }

  /** The answer itself. */
  get text() {
    return separated(this.#content).text;
  }

  /** The thinking before it; empty where there was none or none was asked for. */
  get thinking() {
    return (separated(this.#content).thinking || this.#reasoning).trim();
  }
}

/** Parts content into thinking and text. `return_reasoning` puts the thinking in front, between its two marks. */
export function separated(content) {
  const start = content.trimStart();
  if (!start.startsWith(OPEN)) return { thinking: "", text: OPEN.startsWith(start) ? "" : content };
  const end = start.indexOf(CLOSE);
  if (end < 0) return { thinking: withoutBeginning(start.slice(OPEN.length), CLOSE), text: "" };
  return { thinking: start.slice(OPEN.length, end), text: start.slice(end + CLOSE.length).trimStart() };
}

/** `text` without the first characters of `mark` that it may end with while the rest is on its way. */
function withoutBeginning(text, mark) {
  for (let length = mark.length - 1; length > 0; length--) {
    if (text.endsWith(mark.slice(0, length))) return text.slice(0, -length);
  }
  return text;
}
