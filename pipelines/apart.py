"""Work in a process of its own: the memory that it takes goes with it.

A long training tears the heap: it leaves gigabytes with its process, which nothing gives back while that process lives.
Not covered: engines and other programs (`serving/child.py`).
"""

import contextlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from data.errors import EnvironmentLacks, KefuError
from serving.child import die_with_parent

T = TypeVar("T")
GRACE_S = 10


def apart(work: Callable[..., T], *arguments: Any, hear: Callable[..., None] | None = None) -> T:
    """`work(*arguments)`, done by a new process; everything that goes there and back is pickled.

    With `hear`, `work` gets a function as its last argument: what it is called with there, `hear` is called with here.

    Raises:
        KefuError: as `work` raised it; what else it raised comes as a RuntimeError with its trace.
        EnvironmentLacks: the process was killed.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(there, os.getpid(), work, arguments, hear is not None))
    process.start()
    there.close()  # so that its end is seen here when the process is gone
    try:
        while True:
            word, said = here.recv()
            if word == "returned":
                result: T = said
                return result
            if word == "raised":
                raise said
            assert hear is not None
            hear(*said)
    except EOFError as error:
        process.join()
        raise EnvironmentLacks(
            f"the process of this stage ended without a word (exit code {process.exitcode}); if the system killed it for "
            "memory, free some or lower train.tokens_at_once, then run the same command again: it goes on where it stopped"
        ) from error
    finally:
        process.terminate()
        process.join(GRACE_S)
        process.kill()
        process.join()
        here.close()


def _work(there: Connection, parent: int, work: Callable[..., Any], arguments: tuple[Any, ...], heard: bool) -> None:
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the other side ends this one
    if heard:
        arguments = (*arguments, lambda *said: there.send(("said", said)))
    with contextlib.suppress(BrokenPipeError):
        try:
            there.send(("returned", work(*arguments)))
        except KefuError as error:
            there.send(("raised", error))
        except Exception as error:
            there.send(("raised", RuntimeError(f"{error!r}\n{traceback.format_exc()}")))


def _die_with(parent: int) -> None:
    """Where the system can, this process is killed when the thread that waits for it dies, of whatever."""
    if watch := die_with_parent(signal.SIGKILL):
        watch()
        if os.getppid() != parent:  # it died before it could be watched
            os._exit(1)
