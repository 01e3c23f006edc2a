"""Interrupts: SIGTERM is one, and none is lost, wherever it falls; the flow's own server is tested with the main job."""

import os
import signal
import sys
import time
import weakref

import pytest

from pipelines.orchestration import interruptible


class Thing:
    """Something that a weak reference can watch."""


def test_sigterm_interrupts_and_everything_is_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM), sys.unraisablehook
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    assert (signal.getsignal(signal.SIGTERM), sys.unraisablehook) == before


def test_an_interrupt_that_python_ignores_comes_again() -> None:
    def interrupted(_: weakref.ref[Thing]) -> None:
        raise KeyboardInterrupt

    thing = Thing()
    watch = weakref.ref(thing, interrupted)
    with pytest.raises(KeyboardInterrupt), interruptible():
        del thing
        assert watch() is None
        time.sleep(10)


def test_other_ignored_errors_are_reported_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: weakref.ref[Thing]) -> None:
        raise ValueError("broken callback")

    reported: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda ignored: reported.append(ignored.exc_value))
    thing = Thing()
    watch = weakref.ref(thing, broken)
    with interruptible():
        del thing
    assert watch() is None
    assert [str(error) for error in reported] == ["broken callback"]
