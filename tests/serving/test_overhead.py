"""The gateway's cost, measured: bars of the endpoint on an idle machine with two cores."""

import asyncio

import pytest

from tests.serving.overhead import measured, memory_over, processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_overhead_at_a_hundred_requests_a_second() -> None:
    with processes() as (control, gateway, process):
        figures = asyncio.run(measured(control, gateway, process, rate=100, seconds=30))
    p50, p99 = figures.overhead
    assert figures.failed == 0 and p50 <= 2 and p99 <= 8, figures


def test_memory_is_flat() -> None:
    with processes(delay_ms=1) as (_, gateway, process):
        sizes = asyncio.run(memory_over(gateway, process, 100_000))
    assert gateway.failed == 0 and sizes[-1] < 1.05 * sizes[1], sizes
