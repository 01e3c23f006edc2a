"""The peak memory of a stretch of work, children included, by sampling; and giving memory back after it.

Not covered: GPU memory.
"""

import ctypes
import gc
import multiprocessing
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

INTERVAL_S = 0.2


class Footprint:
    """The largest resident size seen, in MB (10^6 bytes); read it after the `with` block."""

    peak_mb: float = 0.0


@contextmanager
def footprint() -> Iterator[Footprint]:
    """Samples the resident memory of this process and its descendants until the block ends; in a process that
    `multiprocessing` started, that of its parent and all of the parent's descendants."""
    result, stop = Footprint(), threading.Event()
    sampler = threading.Thread(target=_sample, args=(result, stop), daemon=True)
    sampler.start()
    try:
        yield result
    finally:
        stop.set()
        sampler.join()


def give_back_memory() -> None:
    """Returns freed memory to the system: a stage's gigabytes would otherwise stay with this process while the next runs."""
    gc.collect()
    trim_heap()


def trim_heap() -> None:
    """Returns what malloc holds free; without looking for cycles, which takes a quarter of a second."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def _sample(result: Footprint, stop: threading.Event) -> None:
    parent = multiprocessing.parent_process()
    process = psutil.Process(parent.pid if parent else None)
    while True:
        result.peak_mb = max(result.peak_mb, _resident_mb(process))
        if stop.wait(INTERVAL_S):
            return


def _resident_mb(process: psutil.Process) -> float:
    total = 0
    for member in (process, *process.children(recursive=True)):
        try:
            total += member.memory_info().rss
        except psutil.Error:  # it ended between the listing and the reading
            continue
    return total / 1e6
