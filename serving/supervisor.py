"""Keeps an engine running: what crashes is started again, at the same address, with growing pauses in between.

The first start is waited for and may fail; after it, whoever asks meanwhile is told that the engine is away (503), and the
gateway's readiness comes back by itself. Not covered: an engine that lives and does not answer, which vLLM ends itself.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from data.errors import KefuError
from serving import child
from serving.engine import POLL_S, STOP_TIMEOUT_S, Engine, Launch

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backoff:
    """Pauses between starts, in seconds: twice as long after each failure, up to a most; short again after a good run."""

    first_s: float = 1.0
    most_s: float = 60.0
    good_run_s: float = 300.0

    def pause(self, failures: int) -> float:
        """The pause after this many failures in a row (1 or more)."""
        return min(self.first_s * 2.0 ** min(failures - 1, 32), self.most_s)


class Supervisor:
    """One engine and its restarts."""

    def __init__(self, launch: Launch, backoff: Backoff) -> None:
        self._launch, self._backoff = launch, backoff
        self._stopping, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="engine supervisor", daemon=True)
        self.restarts = 0
        self.engine: Engine = launch.start()

    def open(self) -> None:
        """Waits for the first start, then watches; raises as `Launch.wait`."""
        self._launch.wait(self.engine)
        self._thread.start()

    def close(self) -> None:
        """Ends the watch and the engine."""
        self._stopping.set()
        with self._lock:
            child.stop(self.engine.process, STOP_TIMEOUT_S)
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        failures, since = 0, time.monotonic()
        while not self._stopping.wait(POLL_S):
            if self.engine.alive:
                continue
            failures = 1 if time.monotonic() - since > self._backoff.good_run_s else failures + 1
            status, pause = self.engine.process.returncode, self._backoff.pause(failures)
            _log.error(
                "the engine died (exit status %s); it starts again in %.1f s; %s", status, pause, self._launch.ending()
            )
            if self._stopping.wait(pause):
                return
            since = time.monotonic()
            self._start_again()

    def _start_again(self) -> None:
        with self._lock:
            child.stop(self.engine.process, 0)  # workers that outlived it hold its memory
            if self._stopping.is_set():
                return
            self.engine = self._launch.start()
            self.restarts += 1
        try:
            self._launch.wait(self.engine)
        except KefuError as error:
            if not self._stopping.is_set():
                _log.error("the engine did not come back: %s", error)
                child.stop(self.engine.process, 0)
        else:
            _log.warning("the engine answers again (restart %d)", self.restarts)


@contextlib.contextmanager
def supervised(launch: Launch, backoff: Backoff | None = None) -> Iterator[Supervisor]:
    """Keeps an engine running while the block runs.

    Raises:
        BadInput, EnvironmentLacks: the first start failed.
    """
    supervisor = Supervisor(launch, backoff or Backoff())
    try:
        supervisor.open()
        yield supervisor
    finally:
        supervisor.close()
