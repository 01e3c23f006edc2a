"""What the gateway costs: the same requests at a fixed rate through it and straight to the engine, and its memory meanwhile.

Run as `python -m tests.serving.overhead` (`make bench`). Gateway and engine are processes of their own; the engine costs next
to nothing and answers after 20 ms. Requests leave on a clock, whether earlier ones are back or not, and are timed from when
they were due, so that a stall is seen in full. Control and gateway take turns of a few seconds, so that both meet the same
machine. All features are on, with one engine call a turn: signed-in customers, conversations, FAQ, tools, checks of claims,
metrics. Not covered: streams, what an engine costs.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import psutil

from serving import child
from serving.engine import free_port
from serving.identity import mint

ROOT = Path(__file__).resolve().parents[2]
KEY = b"k" * 64
TURN_S = 5.0  # of control or gateway before the other's
WARM = 300  # requests before anything is measured
TURNS = 4  # of a conversation
MEBI = 2**20


@dataclass
class Figures:
    """Milliseconds at the 50th and 99th percentile, the gateway's CPU time a request in ms, and MiB of its memory."""

    requests: int = 0
    rate: float = 0.0
    failed: int = 0
    control_p50: float = 0.0
    control_p99: float = 0.0
    gateway_p50: float = 0.0
    gateway_p99: float = 0.0
    cpu: float = 0.0
    memory: list[float] = field(default_factory=list)

    @property
    def overhead(self) -> tuple[float, float]:
        """What the gateway adds at p50 and at p99, in ms."""
        return self.gateway_p50 - self.control_p50, self.gateway_p99 - self.control_p99


class Caller:
    """Posts requests over keep-alive connections; as cheap as a client can be."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.sent = 0
        self.failed = 0

    async def ask(self) -> None:
        """One question of a signed-in customer in a conversation."""
        number, self.sent = self.sent, self.sent + 1
        question = {
            "model": "kefu",
            "messages": [{"role": "user", "content": f"Where is my order, please? It is number {number}."}],
            "conversation_id": f"{os.getpid()}-{number // TURNS}",
        }
        raw = json.dumps(question).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"X-Customer-Token: {self.token}\r\nContent-Length: {len(raw)}\r\n\r\n"
        )
        self._idle = [pair for pair in self._idle if not pair[0].at_eof()]
        pair = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self.port)
        pair[1].write(head.encode() + raw)
        answer = await pair[0].readuntil(b"\r\n\r\n")
        size = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await pair[0].readexactly(int(size.split(b":")[1]))
        self.failed += b" 200 " not in answer[:16] or b"packed" not in body
        self._idle.append(pair)

    async def at_a_rate(self, rate: float, seconds: float) -> list[float]:
        """Asks on a clock; seconds from when each was due to its last byte."""
        loop = asyncio.get_running_loop()
        began = loop.time() + 0.01

        async def timed(due: float) -> float:
            await self.ask()
            return loop.time() - due

        asked = []
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(due - loop.time())
            asked.append(asyncio.ensure_future(timed(due)))
        return list(await asyncio.gather(*asked))

    async def as_many(self, count: int, at_once: int = 16) -> None:
        """Asks `count` times, as fast as they are answered."""

        async def one_after_the_other() -> None:
            for _ in range(count // at_once):
                await self.ask()

        await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))


async def measured(control: Caller, gateway: Caller, process: psutil.Process, rate: float, seconds: float) -> Figures:
    """Latencies at `rate` requests a second, `seconds` for each of the two."""
    for caller in (control, gateway):
        await caller.as_many(WARM)
    times: dict[str, list[float]] = {"control": [], "gateway": []}
    memory, cpu = [process.memory_info().rss / MEBI], sum(process.cpu_times()[:2])
    for _ in range(max(1, round(seconds / TURN_S))):
        times["control"] += await control.at_a_rate(rate, min(TURN_S, seconds))
        times["gateway"] += await gateway.at_a_rate(rate, min(TURN_S, seconds))
        memory.append(process.memory_info().rss / MEBI)
    p50, p99 = (np.percentile(times["control"], share) * 1000 for share in (50, 99))
    figures = Figures(
        len(times["gateway"]), rate, control.failed + gateway.failed, float(p50), float(p99), memory=memory
    )
    figures.cpu = 1000 * (sum(process.cpu_times()[:2]) - cpu) / figures.requests
    figures.gateway_p50, figures.gateway_p99 = (float(np.percentile(times["gateway"], s)) * 1000 for s in (50, 99))
    return figures


async def memory_over(gateway: Caller, process: psutil.Process, requests: int) -> list[float]:
    """MiB of the gateway at ten points of so many requests."""
    await gateway.as_many(2000)
    sizes = [process.memory_info().rss / MEBI]
    for _ in range(10):
        await gateway.as_many(requests // 10)
        sizes.append(process.memory_info().rss / MEBI)
    return sizes


@contextmanager
def processes(delay_ms: float = 20.0) -> Iterator[tuple[Caller, Caller, psutil.Process]]:
    """Callers of a bare engine and of a gateway before it, and the gateway's process."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        engine, gateway = free_port(), free_port()
        commands = {
            "engine": ["tests.serving.bare_engine", "--port", str(engine), "--delay-ms", str(delay_ms)],
            "gateway": [
                "tests.serving.bare_gateway",
                "--port",
                str(gateway),
                "--engine",
                str(engine),
                "--folder",
                folder,
            ],
        }
        started = {}
        for name, command in commands.items():
            log = Path(folder) / f"{name}.log"
            env = {**os.environ, "PYTHONPATH": str(ROOT)}
            started[name] = child.start([sys.executable, "-m", *command], log=log, env=env)
            stack.callback(child.stop, started[name], 5)
        _wait(engine), _wait(gateway)
        token = mint("c-100", KEY, 3600 * 12)
        yield Caller(engine, token), Caller(gateway, token), psutil.Process(started["gateway"].pid)


def _wait(port: int) -> None:
    """Until somebody answers on a port."""
    import socket

    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, f"nobody answers on port {port}"
        time.sleep(0.05)


def main() -> None:
    """Measures and prints; the last line is JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rate", type=float, default=100.0, help="requests a second")
    options.add_argument("--seconds", type=float, default=60.0, help="of the control, and of the gateway")
    options.add_argument("--requests", type=int, default=0, help="then so many more, for the memory")
    given = options.parse_args()
    with processes() as (control, gateway, process):
        figures = asyncio.run(measured(control, gateway, process, given.rate, given.seconds))
        if given.requests:
            figures.memory = asyncio.run(memory_over(Caller(gateway.port, gateway.token), process, given.requests))
    p50, p99 = figures.overhead
    print(f"{figures.requests} requests at {figures.rate:g} a second, {figures.failed} failed")
    print(f"control  p50 {figures.control_p50:7.2f} ms   p99 {figures.control_p99:7.2f} ms")
    print(f"gateway  p50 {figures.gateway_p50:7.2f} ms   p99 {figures.gateway_p99:7.2f} ms")
    print(f"overhead p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   (bars: 2 and 8)")
    print(f"CPU of the gateway {figures.cpu:.2f} ms a request")
    print("memory  ", " ".join(f"{size:.0f}" for size in figures.memory), "MiB")
    print(json.dumps({**asdict(figures), "overhead_p50": p50, "overhead_p99": p99}))


if __name__ == "__main__":
    main()
