"""A PostgreSQL of our own, for the mark `services`: a test module imports the fixture."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from serving.engine import free_port


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The URL of an empty PostgreSQL of our own; it refuses to run as root, so root lends it another user."""
    folders = [Path(found).parent for found in [shutil.which("initdb")] if found]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    assert folders, "the mark `services` needs PostgreSQL: apt-get install postgresql"
    user = "nobody" if os.geteuid() == 0 else None
    data, port = Path(tempfile.mkdtemp(prefix="kefu-postgresql-")), free_port()
    if user:
        shutil.chown(data, user)
    setup = [str(folders[-1] / "initdb"), "-D", str(data), "-U", "kefu", "-A", "trust", "-E", "UTF8"]
    subprocess.run(setup, user=user, cwd=data, check=True, stdout=subprocess.DEVNULL)
    command = [str(folders[-1] / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(data)]
    server = subprocess.Popen(command, user=user, cwd=data, stderr=subprocess.DEVNULL)
    try:
        url = f"postgresql+psycopg://kefu@127.0.0.1:{port}/postgres"
        _wait(make_url(url).set(drivername="postgresql").render_as_string())
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # its fast way: does not wait for clients
        server.wait(timeout=30)
        shutil.rmtree(data)


def _wait(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "PostgreSQL did not start"
            time.sleep(0.1)
