"""The queue before the engine and the deadline of a request: first come, first served, nobody too many, nobody lost."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from serving.deadline import Deadline
from serving.errors import DeadlineExceeded, Overloaded
from serving.seats import Seats
from serving.visit import Visit, seated, spent


async def test_so_many_are_seated_so_many_wait_and_the_next_is_sent_away() -> None:
    now = [0.0]
    seats = Seats(2, 2, patience_s=100, clock=lambda: now[0])
    first, second = await seats.take(), await seats.take()
    now[0] = 8.0
    seats.give(first)  # one stays 8 s
    await seats.take()
    order: list[str] = []

    async def wait(name: str) -> None:
        await seats.take()
        order.append(name)

    waiting = [asyncio.create_task(wait("a")), asyncio.create_task(wait("b"))]
    await asyncio.sleep(0)
    assert (seats.taken, seats.waiting) == (2, 2)
    with pytest.raises(Overloaded, match="2 requests wait already") as refused:
        await seats.take()
    assert refused.value.status == 503 and refused.value.headers == {
        "Retry-After": "12"
    }  # third in line, 8 s, two seats
    seats.give(second)
    seats.give(second)
    await asyncio.gather(*waiting)
    assert order == ["a", "b"]


async def test_who_would_be_late_is_not_let_wait() -> None:
    now = [0.0]
    seats = Seats(1, 50, patience_s=10, clock=lambda: now[0])
    first = await seats.take()
    now[0] = 11.0
    seats.give(first)
    await seats.take()
    with pytest.raises(Overloaded):
        await seats.take()


def test_the_queue_is_in_the_metrics() -> None:
    registry = CollectorRegistry()
    Seats(1, 1, 1).register(registry)
    assert b"kefu_engine_queue 0.0" in generate_latest(registry)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=25), st.integers(1, 3), st.integers(0, 3))
def test_no_seat_is_lost_whoever_leaves_whenever(steps: list[tuple[int, bool]], places: int, queue: int) -> None:
    async def scenario() -> None:
        seats = Seats(places, queue, patience_s=1e9)

        async def visit(pauses: int) -> None:
            guest = Visit(seats)
            with guest.inside():
                await asyncio.gather(seated(), seated())  # two calls at a time
                assert seats.taken <= places
                for _ in range(pauses):
                    await asyncio.sleep(0)

        tasks = []
        for pauses, leaves in steps:
            tasks.append(asyncio.create_task(visit(pauses)))
            await asyncio.sleep(0)
            assert seats.waiting <= queue
            if leaves:
                tasks[len(tasks) // 2].cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, Overloaded | asyncio.CancelledError)
        assert (seats.taken, seats.waiting) == (0, 0)
        for _ in range(places):
            await asyncio.wait_for(seats.take(), 1)

    asyncio.run(scenario())


async def test_tokens_find_their_request_from_any_task_of_it() -> None:
    one, other = Visit(Seats(1, 1, 1)), Visit(Seats(1, 1, 1))

    async def call(tokens: int) -> None:
        await asyncio.sleep(0)
        await asyncio.to_thread(spent, tokens)

    async def request(visit: Visit, tokens: int) -> None:
        with visit.inside():
            await asyncio.gather(call(tokens), call(tokens))

    await asyncio.gather(request(one, 5), request(other, 7))
    spent(100)  # outside of any
    assert (one.tokens, other.tokens) == (10, 14)


async def test_what_outlives_its_request_takes_no_seat() -> None:
    seats, over = Seats(1, 0, 1), asyncio.Event()

    async def late() -> None:
        await over.wait()
        await seated()

    with Visit(seats).inside():
        task = asyncio.create_task(late())
    over.set()
    await task
    assert seats.taken == 0


async def test_a_deadline_cancels_work_and_streams() -> None:
    closed = []

    async def slow() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(60)
            yield 2
        finally:
            closed.append(True)

    with pytest.raises(DeadlineExceeded, match=r"longer than 0\.01 s"):
        await Deadline(0.01).keep(asyncio.sleep(60))
    seen = []
    with pytest.raises(DeadlineExceeded):
        async for number in Deadline(0.01).over(slow()):
            seen.append(number)
    assert seen == [1] and closed == [True]


async def test_a_deadline_leaves_what_is_in_time_alone() -> None:
    async def chunks() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    async def fails() -> None:
        raise TimeoutError("of its own")

    assert [number async for number in Deadline(5).over(chunks())] == [0, 1, 2]
    with pytest.raises(TimeoutError, match="of its own"):
        await Deadline(5).keep(fails())
