"""The peak memory of a process and its descendants: what is freed was there, what is shared is there once."""

import os
import signal
import time

import psutil

from data.footprint import footprint

SIZE = 300_000_000


def test_the_peak_is_kept_when_memory_is_freed() -> None:
    before = psutil.Process().memory_info().rss / 1e6
    with footprint() as memory:
        block = b"x" * SIZE
        time.sleep(0.5)
        del block
    assert memory.peak_mb > before + SIZE / 1e6 * 0.8


def test_pages_of_two_processes_count_once() -> None:
    block = b"x" * SIZE
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        with footprint() as memory:
            time.sleep(0.5)
        resident = sum(psutil.Process(pid).memory_info().rss for pid in (os.getpid(), child)) / 1e6
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert len(block) / 1e6 < memory.peak_mb < resident - SIZE / 1e6 * 0.8
