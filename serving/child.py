"""Processes that we start and that never outlive us.

Each is in a process group of its own: Ctrl-C reaches us alone, and we end them in the right order. Not covered: restarts
(`serving/supervisor.py`).
"""

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

KEPT_LOGS = 5
_PR_SET_PDEATHSIG = 1


def start(command: Sequence[str], *, log: Path, env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Starts a process that writes into `log`; on Linux it gets SIGTERM when the thread that started it dies, of whatever.

    Earlier logs are kept as `log.1` (the latest) to `log.5`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    _keep(log)
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )


def stop(process: "subprocess.Popen[bytes]", grace_s: float) -> None:
    """Asks the process to end, waits, then kills what is left of its group."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=grace_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, for an error message."""
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])
    except OSError:
        return "(no log)"


def die_with_parent(number: signal.Signals) -> Callable[[], object] | None:
    """What a new process calls first, to get the signal when the thread that started it dies; None but on Linux. Prepared
    before, as little is safe between fork and exec."""
    if sys.platform != "linux":
        return None
    return functools.partial(ctypes.CDLL(None).prctl, _PR_SET_PDEATHSIG, int(number))


def _keep(log: Path) -> None:
    """Moves a log, and those before it, one place on; the last one goes."""
    for place in range(KEPT_LOGS, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            earlier = log.with_name(f"{log.name}.{place - 1}") if place > 1 else log
            earlier.replace(log.with_name(f"{log.name}.{place}"))
