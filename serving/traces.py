"""Traces in MLflow: a share of the requests, with spans for the FAQ, the engine and the tools, and what customers thought of
the answers.

One thread does it, off every request's way: it redacts, then sends. What does not fit into its queue is dropped and counted;
while MLflow does not answer everything is, and nobody waits. It rests four times as long as it works, as it shares the
processor with those who serve. Not covered: traces of requests that were not drawn for the sample.
"""

import hashlib
import hmac
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from data.errors import EnvironmentLacks
from serving.answer_ids import nobodys_id, random_part
from serving.logs import log_problem
from serving.observation import Observation
from serving.trace_form import Unreadable, trace_form
from serving.trace_store import Thumbs, TraceStore

QUEUE, AWAY_S, REST = 128, 30.0, 4.0
TRIES, AGAIN_S = 4, 5.0  # for feedback that comes before its trace
CLOSE_S, WAIT_S = 5.0, 0.5
_WARM_UP = Observation(asked=[{"role": "user", "content": "Hello, 你好, I am Anna Li"}])


class Traces:
    """Sends a share of the requests of one endpoint to one MLflow."""

    def __init__(self, uri: str, share: float, key: bytes, count: Callable[[str], None]) -> None:
        """`count` is told what became of each: sent, dropped, withheld (not redacted), failed, judged, unready."""
        self._uri, self._share, self._count = uri, share, count
        self._key = hmac.digest(key, b"kefu traces", hashlib.sha256).hex()
        self._queue: queue.Queue[Observation | Thumbs] = queue.Queue(QUEUE)
        self._later: list[tuple[float, Thumbs, int]] = []  # when, what, how many tries are left
        self._away_until, self._closing = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    def start(self) -> None:
        """Starts the thread; it loads MLflow and the recognizers at once, not with the first request."""
        self._thread.start()

    def close(self) -> None:
        """Sends what waits, for a few seconds at most."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def drawn(self, answer_id: str) -> bool:
        """Whether the request with this answer is in the sample; the id decides, so that all processes agree."""
        return int(random_part(answer_id)[:8], 16) < self._share * 2**32

    def offer(self, seen: Observation) -> None:
        """Takes a finished request if it is in the sample; one that was refused is none."""
        if seen.mode == "none" or 400 <= seen.status < 499:
            return
        seen = seen if seen.answer_id else replace(seen, answer_id=nobodys_id())
        if self.drawn(seen.answer_id or ""):
            self._put(seen)

    def feedback(self, thumbs: Thumbs) -> None:
        """Takes what a customer thought of an answer if its request is in the sample."""
        if self.drawn(thumbs.answer_id):
            self._put(thumbs)

    def _put(self, item: Observation | Thumbs) -> None:
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self._count("dropped")

    def _run(self) -> None:
        store = TraceStore(self._uri)
        self._guarded("unready", lambda: (trace_form(_WARM_UP, self._key), store.connect()))
        while not (self._closing.is_set() and self._queue.empty()):
            if time.monotonic() < self._away_until:
                self._drop()
            else:
                self._next(store)

    def _next(self, store: TraceStore) -> None:
        """Does what is due, or waits a little for it."""
        due = next((one for one in self._later if one[0] <= time.monotonic()), None)
        if due is not None:
            self._later.remove(due)
            self._guarded("failed", lambda: self._judge(store, due[1], due[2]))
            return
        try:
            item = self._queue.get(timeout=WAIT_S)
        except queue.Empty:
            return
        if isinstance(item, Thumbs):
            self._guarded("failed", lambda: self._judge(store, item, TRIES))
        else:
            self._guarded("failed", lambda: self._send(store, item))

    def _drop(self) -> None:
        """What came while MLflow does not answer."""
        try:
            self._queue.get(timeout=WAIT_S)
        except queue.Empty:
            return
        self._count("dropped")

    def _guarded(self, failed: str, work: Callable[[], object]) -> None:
        """Works, whatever comes of it, and rests."""
        began = time.monotonic()
        try:
            work()
        except (Unreadable, EnvironmentLacks) as problem:
            self._count("withheld")
            log_problem("not traced", problem)
        except Exception as problem:  # whatever MLflow and its drivers raise: a trace is never worth an answer
            self._count(failed)
            self._away_until = time.monotonic() + AWAY_S
            log_problem("MLflow takes no traces", problem)
        self._closing.wait(min(REST * (time.monotonic() - began), AWAY_S))

    def _send(self, store: TraceStore, seen: Observation) -> None:
        store.send(seen, trace_form(seen, self._key), self._session(seen))
        self._count("sent")

    def _judge(self, store: TraceStore, thumbs: Thumbs, tries: int) -> None:
        if store.judge(thumbs):
            self._count("judged")
        elif tries > 1 and len(self._later) < QUEUE:  # its trace is still on the way
            self._later.append((time.monotonic() + AGAIN_S, thumbs, tries - 1))
        else:
            self._count("dropped")

    def _session(self, seen: Observation) -> str | None:
        """The conversation under another name: callers choose ids, and may put a customer's name into one."""
        conversation = seen.kefu.get("conversation_id")
        if not conversation:
            return None
        return hmac.new(self._key.encode(), conversation.encode(), hashlib.sha256).hexdigest()[:32]
