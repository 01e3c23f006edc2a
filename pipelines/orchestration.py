"""How the command line wants Prefect to behave: no noise, nothing sent home, and a server of its own where none is named.

What the user has set stays. Not covered: the flow.
"""

import atexit
import contextlib
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from data.artifact import home
from data.errors import EnvironmentLacks
from serving import child
from serving.engine import free_port

DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # stages print their own lines
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
}
START_TIMEOUT_S = 120  # a busy laptop takes its time
STOP_TIMEOUT_S = 5


def configure_prefect() -> None:
    """Sets Prefect's environment for this process; call it before Prefect is imported."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    folder = Path(os.environ.setdefault("PREFECT_HOME", str(home() / "prefect")))
    folder.mkdir(parents=True, exist_ok=True)  # Prefect itself makes one level only


@contextlib.contextmanager
def prefect_running() -> Iterator[None]:
    """A block in which flows run: on the server that is configured (`PREFECT_API_URL`), or on one of this process's own.

    The server lives until the interpreter ends: Prefect sends its last words then, and repeats them for minutes to a server
    that is gone, as its own temporary one is after a Ctrl-C.

    Raises:
        EnvironmentLacks: the server does not start (its last lines are shown).
    """
    configure_prefect()
    from prefect.settings import PREFECT_API_URL, temporary_settings

    url = PREFECT_API_URL.value() or _own_server()
    with interruptible(), temporary_settings({PREFECT_API_URL: url}):
        yield


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """A block that SIGTERM interrupts as Ctrl-C does, for certain: in a weak reference's callback or a finalizer, SQLAlchemy's
    say, Python ignores whatever is raised, and the interrupt would be lost; it comes again then."""
    hook = sys.unraisablehook

    def again(ignored: "sys.UnraisableHookArgs") -> None:
        if isinstance(ignored.exc_value, Exception):
            hook(ignored)
        else:  # KeyboardInterrupt, or what Prefect makes of SIGTERM; later, as this here would ignore it, too
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGTERM, before)


@functools.cache
def _own_server() -> str:
    port, log = free_port(), home() / "logs" / "prefect.log"
    command = [sys.executable, "-m", "prefect", "server", "start", "--no-ui", "--no-services"]
    process = child.start([*command, "--host", "127.0.0.1", "--port", str(port)], log=log, env=os.environ)
    atexit.register(child.stop, process, STOP_TIMEOUT_S)
    url, deadline = f"http://127.0.0.1:{port}/api", time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/health").is_success:
                return url
        time.sleep(0.1)
    raise EnvironmentLacks(
        "Prefect's server did not start; try again, or start one (prefect server start) and set PREFECT_API_URL. "
        f"The end of {log}:\n{child.last_lines(log)}"
    )
