"""The peak memory of a stretch of work, children included, by sampling; and giving memory back after it.

Pages that several processes share, such as libraries, count once.

Not covered: GPU memory.
"""

import ctypes
import gc
import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

INTERVAL_S = 0.2
NEW_PEAK = 1.01  # what resident memory must have grown by for its shares to be looked at


class Footprint:
    """The most memory seen, in MB (10^6 bytes); read it after the `with` block."""

    peak_mb: float = 0.0


@contextmanager
def footprint() -> Iterator[Footprint]:
    """Samples the memory of this process and its descendants until the block ends; in a process that
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
    most = 0.0
    while True:
        family = [process, *process.children(recursive=True)]
        resident = sum(_bytes(member, _resident) for member in family)
        if resident > most * NEW_PEAK:  # telling shared pages apart takes 20 ms a gigabyte, in which the process waits
            most = resident
            result.peak_mb = max(result.peak_mb, sum(_bytes(member, _proportional) for member in family) / 1e6)
        if stop.wait(INTERVAL_S):
            return


def _bytes(process: psutil.Process, of: Callable[[psutil.Process], int]) -> int:
    try:
        return of(process)
    except psutil.Error:  # it ended between the listing and the reading
        return 0


def _resident(process: psutil.Process) -> int:
    size: int = process.memory_info().rss
    return size


def _proportional(process: psutil.Process) -> int:
    """What a process holds, a page that several share divided among them (PSS); where no system tells, the resident size."""
    try:
        size: int = getattr(process.memory_full_info(), "pss", 0)
    except psutil.AccessDenied:
        size = 0
    return size or _resident(process)
