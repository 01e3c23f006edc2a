"""A gateway in a thread of this process, for as long as a block runs. Not covered: composing it."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from data.errors import EnvironmentLacks


@contextlib.contextmanager
def in_background(server: Any, url: str) -> Iterator[None]:
    """Runs a uvicorn server that answers at `url`.

    Raises:
        EnvironmentLacks: it could not open its port.
    """
    thread = threading.Thread(target=server.run, name="gateway")
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise EnvironmentLacks(f"the gateway could not open {url}; see the lines above")
            time.sleep(0.05)
        yield
    finally:
        server.should_exit = True
        thread.join()
