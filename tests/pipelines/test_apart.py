"""Work in a process of its own: what it says, returns and raises arrives; no process is left."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from data.artifact import ArtifactStore, Corpus, write_json
from data.errors import BadInput, EnvironmentLacks
from pipelines.apart import apart


def double(number: int) -> tuple[int, int]:
    return os.getpid(), 2 * number


def count(limit: int, say: Callable[[int, str], None]) -> int:
    for number in range(limit):
        say(number, "steps")
    return limit


def refuse(path: Path) -> None:
    raise BadInput(f"{path}: no such thing")


def stumble() -> None:
    [][1]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def linger(say: Callable[[int], None]) -> None:
    say(os.getpid())
    time.sleep(600)


def grow(store: ArtifactStore, megabytes: int) -> Corpus:
    def make(folder: Path) -> None:
        block = ctypes.create_string_buffer(megabytes * 1_000_000)
        ctypes.memset(block, 1, len(block))
        time.sleep(0.5)  # to be seen
        write_json(folder / "facts.json", len(block))

    return store.build(Corpus, make, inputs={}, section=None, code="")


def test_work_is_done_elsewhere() -> None:
    pid, result = apart(double, 21)
    assert (result, pid != os.getpid(), psutil.pid_exists(pid)) == (42, True, False)


def test_what_it_says_is_heard_in_order() -> None:
    heard: list[tuple[int, str]] = []
    assert apart(count, 5, hear=lambda number, what: heard.append((number, what))) == 5
    assert heard == [(number, "steps") for number in range(5)]


def test_errors_come_back_as_they_were(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such thing"):
        apart(refuse, tmp_path)
    with pytest.raises(RuntimeError, match=r"(?s)IndexError.*in stumble"):
        apart(stumble)


def test_a_killed_process_is_told() -> None:
    with pytest.raises(EnvironmentLacks, match=r"exit code -9.*for memory"):
        apart(die)


def test_who_stops_listening_leaves_no_process() -> None:
    pids: list[int] = []

    def stop(pid: int) -> None:
        pids.append(pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apart(linger, hear=stop)
    assert not psutil.pid_exists(pids[0])


def test_it_dies_with_who_started_it() -> None:
    code = "from pipelines.apart import apart; from tests.pipelines.test_apart import linger; apart(linger, hear=print)"
    starter = subprocess.Popen([sys.executable, "-uc", code], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    starter.kill()
    starter.wait()
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
    assert not psutil.pid_exists(pid)


def test_its_memory_counts_and_goes(tmp_path: Path) -> None:
    corpus = apart(grow, ArtifactStore(tmp_path), 500)
    here = psutil.Process().memory_info().rss / 1e6
    assert corpus.manifest["peak_memory_mb"] > here + 450
