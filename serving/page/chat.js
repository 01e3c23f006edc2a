/** A conversation on the page: questions out, answers in, one at a time. */

import { ask, conversation, Failure } from "./api.js";
import { Answer } from "./answer.js";
import { ConfirmationCard } from "./cards.js";
import { languageOf, t } from "./language.js";
import { Problem } from "./problem.js";
import { AnswerTurn, questionTurn } from "./turns.js";

/**
 * Raises `busy` (an answer begins or ends), `changed` (the list or the current conversation), `acted` (a button of the
 * thread was pressed and goes away) and `failed`. `thread` shows turns, `announce` speaks to screen readers, `offers`
 * opens the settings and a new chat.
 */
export class Chat extends EventTarget {
  #running = null; // the AbortController of the answer on its way
  #card = null; // the confirmation that waits
  #asked = ""; // the last question, whose language the buttons speak

  constructor({ thread, conversations, announce, offers }) {
    super();
    Object.assign(this, { thread, conversations, announce, offers, thinking: false });
  }

  get busy() {
    return this.#running !== null;
  }

  /** Asks a question. `confirmationId` confirms a write by a button; `declined` says that the other one was pressed. */
  async send(text, { confirmationId = null, declined = false } = {}) {
    if (this.busy) return;
    this.#asked = text;
    this.thread.add(questionTurn(text));
    const id = this.conversations.touch(text);
    const body = { messages: [{ role: "user", content: text }], conversation_id: id };
    if (confirmationId) body.confirmation_id = confirmationId;
    if (this.thinking) Object.assign(body, { enable_thinking: true, return_reasoning: true });
    this.#raise("changed");
    await this.#run(body, declined);
  }

  /** Stops the answer on its way; the server stops working on it, too. */
  stop() {
    this.#running?.abort();
  }

  /** Leaves the conversation for a new one. */
  restart() {
    this.#leave();
    this.conversations.choose(null);
    this.#raise("changed");
  }

  /** Shows a conversation as the server remembers it. */
  async open(id) {
    this.#leave();
    this.conversations.choose(id);
    this.#raise("changed");
    const left = new AbortController();
    this.#running = left; // no question before the earlier ones stand there
    this.#raise("busy");
    let turns = [];
    try {
      turns = (await conversation(id)).messages.map(remembered).filter(Boolean);
    } catch (failure) {
      if (!left.signal.aborted) turns = [this.#unread(failure, id)];
    }
    if (left.signal.aborted) return;
    this.#running = null;
    this.thread.add(...turns);
    this.#raise("busy");
  }

  async #run(body, declined) {
    const [running, card, turn] = [new AbortController(), this.#card, new AnswerTurn()];
    const again = () => {
      if (this.busy) return;
      if (turn.node.nextElementSibling) this.thread.add(questionTurn(body.messages[0].content)); // the talk went on
      turn.remove();
      this.#raise("acted");
      this.#run(body, declined);
    };
    this.#running = running;
    card?.hold(true);
    this.thread.add(turn.node);
    this.announce(t("waiting"));
    this.#raise("busy");
    try {
      let answer = new Answer();
      for await (answer of ask(body, running.signal)) {
        turn.grow(answer);
        this.thread.follow();
      }
      if (!answer.text.trim()) throw new Failure("empty");
      if (this.#running !== running) return; // the reader left in this very moment
      this.#running = null;
      turn.finish(answer);
      this.#settle(card, answer, declined);
      this.#confirmable(answer, turn);
    } catch (error) {
      if (this.#running !== running) return;
      this.#running = null;
      card?.hold(false);
      if (error.name === "AbortError") turn.stop(again);
      else this.#failed(error, turn, again);
    }
    this.thread.follow();
    this.#raise("busy");
  }

  /** What became of the confirmation that was open when the question was asked. */
  #settle(card, answer, declined) {
    const done = answer.kefu?.tools?.some((tool) => tool.status === "done");
    card?.close(done ? "confirm_yes_done" : declined ? "confirm_no_done" : "confirm_void");
  }

  #confirmable(answer, turn) {
    const confirmation = answer.kefu?.confirmation;
    this.#card = confirmation ? new ConfirmationCard(confirmation, (yes) => this.#decide(confirmation, yes)) : null;
    if (this.#card) turn.cards.append(this.#card.node);
    const more = this.#card ? t("confirm_waiting", { what: this.#card.what }) : "";
    this.announce(`${turn.spoken} ${more}`);
  }

  #decide({ id, code }, yes) {
    const spoken = languageOf(this.#asked).slice(0, 2);
    const said = t(yes ? "confirm_said" : "confirm_no_said", { code }, "", spoken);
    this.send(said, yes ? { confirmationId: id } : { declined: true });
    this.#raise("acted");
  }

  #failed(error, turn, retry) {
    const failure = error instanceof Failure ? error : new Failure("server");
    if (failure !== error) console.error(error); // a mistake of this page
    turn.fail(failure, { ...this.offers, retry });
    this.#raise("failed");
  }

  #unread(failure, id) {
    const missing = failure.kind === "conversation";
    const problem = new Problem(
      { kind: missing ? "history_missing" : "history_failed" },
      { ...this.offers, retry: () => this.open(id) },
    );
    const item = document.createElement("li");
    item.append(problem.node);
    return item;
  }

  #leave() {
    this.#running?.abort();
    this.#running = null;
    this.#card?.close("confirm_void");
    this.#card = null;
    this.#asked = "";
    this.thread.clear();
  }

  #raise(name) {
    this.dispatchEvent(new Event(name));
  }
}

function remembered({ role, content }) {
  if (!content || (role !== "user" && role !== "assistant")) return null;
  if (role === "user") return questionTurn(content);
  const turn = new AnswerTurn();
  const answer = new Answer();
  answer.add({ choices: [{ delta: { content } }] });
  turn.finish(answer);
  return turn.node;
}
