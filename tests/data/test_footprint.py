"""The peak memory of a process and its descendants: what is freed was there, what is shared is there once."""

import os
import signal
import time

import psutil
from tenacity import Retrying, stop_after_delay, wait_fixed

from data.footprint import INTERVAL_S, Footprint, footprint

SIZE = 300_000_000


def seen(memory: Footprint, megabytes: float) -> None:
    """Waits until so much was sampled, however busy the machine."""
    for wait in Retrying(stop=stop_after_delay(30), wait=wait_fixed(0.05)):
        with wait:
            assert memory.peak_mb > megabytes


def test_the_peak_is_kept_when_memory_is_freed() -> None:
    before = psutil.Process().memory_info().rss / 1e6
    with footprint() as memory:
        block = b"x" * SIZE
        seen(memory, before + SIZE / 1e6 * 0.8)
        del block
        time.sleep(2 * INTERVAL_S)
    assert memory.peak_mb > before + SIZE / 1e6 * 0.8


def test_pages_of_two_processes_count_once() -> None:
    block = b"x" * SIZE
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        with footprint() as memory:
            seen(memory, len(block) / 1e6)
        resident = sum(psutil.Process(pid).memory_info().rss for pid in (os.getpid(), child)) / 1e6
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert len(block) / 1e6 < memory.peak_mb < resident - SIZE / 1e6 * 0.8
