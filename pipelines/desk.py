"""A service desk: a gateway before a running engine, with a shop of its own, scripted tool results and a record of the calls
that ran.

Reads are recorded where a tool returned something, writes are taken from the shop's own record. Desks take turns, so that
an engine is asked by several customers at once. Not covered: the conversation (`evals/customer.py`).
"""

import contextlib
import functools
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import httpx

from data.artifact import home
from data.errors import BadInput
from data.schema import Language
from evals.customer import Call
from evals.questions import Question, Recall
from evals.scenario import Scenario
from pipelines.background import in_background
from pipelines.fresh_shop import OWNER, FreshShop, State
from serving.customer_keys import CustomerKeys
from serving.database import Database
from serving.engine import free_port, running_engine
from serving.gateway import create_app
from serving.identity import mint
from serving.orders import ShopTables
from serving.release import Release
from serving.settings import GatewaySettings
from serving.tool import Tool
from serving.toolset import TOOLS

SERVED_NAME = "checked"
MOST = 8  # desks before one engine
KEYS = CustomerKeys.of(b"only a check signs in here".ljust(64, b"."))
ENGINE_TIMEOUT_S, TIMEOUT_S = 300.0, 900.0  # of one engine call, of a whole request
T = TypeVar("T")
U = TypeVar("U")
S = TypeVar("S", Scenario, Question, Recall)


@dataclass
class Desk:
    """One gateway and its shop, for one customer at a time."""

    url: str
    shop: FreshShop
    _scenario: Scenario | None = None
    _reads: list[Call] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)  # writes that were told already

    def open(self, scenario: Scenario) -> State:
        """Makes the shop new for a scenario; returns its orders."""
        self._scenario = scenario
        self._reads.clear()
        self._known.clear()
        return self.shop.open(scenario)

    def ran(self) -> list[Call]:
        """The calls that ran since this was last asked, reads first."""
        written = self.shop.written()
        found = [*self._reads, *(call for key, call in written.items() if key not in self._known)]
        self._reads.clear()
        self._known |= written.keys()
        return found

    def client(self, *, signed_in: bool = True) -> httpx.Client:
        """A client of the endpoint; signed in, it is the owner of a scenario's own orders."""
        headers = {"X-Customer-Token": mint(OWNER, KEYS, lifetime_s=24 * 3600)} if signed_in else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S, trust_env=False)

    def recorded(self, tool: Tool) -> Tool:
        """The tool, whose reads are noted and answered by the script. Whether an order is the customer's own stays with the
        tool: a script never opens another's."""
        if tool.asks is not None:
            return tool
        function: Callable[..., str] = tool.function

        @functools.wraps(function)
        def noted(own: Any, **arguments: Any) -> str:
            call, scenario = Call(tool=tool.name, arguments=arguments), self._scenario
            scripted = scenario.tool_results.get(tool.name) if scenario else None
            foreign = scenario is not None and scenario.concerns_others(call.function)
            result = function(own, **arguments) if scripted is None or foreign else scripted
            self._reads.append(call.model_copy(update={"result": result}))
            return result

        return replace(tool, function=noted)


@dataclass(frozen=True)
class Asked:
    """The release that is asked, at an engine elsewhere if `engine_url` names one."""

    release: Release
    engine_url: str | None = None
    engine_model: str = SERVED_NAME
    thinking: bool = False
    language: Language | None = None  # the only one in which it is asked

    def spoken(self, path: Path, rows: Sequence[S]) -> list[S]:
        """The rows of a file that are to be asked.

        Raises:
            BadInput: there is none in the language.
        """
        found = [row for row in rows if self.language in (None, row.language)]
        if not found:
            raise BadInput(f"{path}: none of its {len(rows)} rows is in the language {self.language}")
        return found

    @contextlib.contextmanager
    def desks(self, jobs: int) -> Iterator["Desks"]:
        """Desks before one engine: as many as it serves well at once, and no more than there are jobs.

        Raises:
            EnvironmentLacks: the engine cannot be started.
        """
        width = max(1, min(jobs, MOST, self.release.recipe.serve.engine.max_num_seqs))
        with contextlib.ExitStack() as stack:
            url = stack.enter_context(self._engine())
            made = [_open_desk(self.release, url, self.engine_model) for _ in range(width)]
            yield Desks([stack.enter_context(desk) for desk in made])

    @contextlib.contextmanager
    def _engine(self) -> Iterator[str]:
        if self.engine_url is not None:
            yield self.engine_url.rstrip("/").removesuffix("/v1")
            return
        serve, log = self.release.recipe.serve, home() / "logs" / "engine-check.log"
        with running_engine(self.release.model, serve, served_names=[self.engine_model], log=log) as engine:
            yield engine.base_url


class Desks:
    """Desks that take turns."""

    def __init__(self, desks: Sequence[Desk]) -> None:
        self._free: queue.SimpleQueue[Desk] = queue.SimpleQueue()
        self._number = len(desks)
        for desk in desks:
            self._free.put(desk)

    def each(self, jobs: Sequence[T], work: Callable[[Desk, T], U], done: Callable[[int], None]) -> list[U]:
        """`work` on every job at whichever desk is free; results in the order of the jobs, `done` hears how many."""
        finished: list[None] = []

        def one(job: T) -> U:
            desk = self._free.get()
            try:
                return work(desk, job)
            finally:
                self._free.put(desk)
                finished.append(None)
                done(len(finished))

        pool = ThreadPoolExecutor(self._number)
        try:
            return list(pool.map(one, jobs))
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _open_desk(release: Release, engine_url: str, engine_model: str) -> Iterator[Desk]:
    """A desk on loopback while the block runs; its databases go with it."""
    import uvicorn

    with TemporaryDirectory() as folder, contextlib.closing(_shop(folder)) as database:
        port = free_port()
        desk = Desk(f"http://127.0.0.1:{port}", FreshShop(database))
        settings = GatewaySettings(
            release=release,
            engine_base_url=engine_url,
            engine_model=engine_model,
            customer_keys=KEYS,
            shop_url=_url(folder, "shop"),
            conversations_url=_url(folder, "conversations"),
            predict_intent=False,
            engine_timeout_s=ENGINE_TIMEOUT_S,
            request_timeout_s=TIMEOUT_S,
        )
        app = create_app(settings, tools=[desk.recorded(tool) for tool in TOOLS])
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning")
        with in_background(uvicorn.Server(config), desk.url):
            yield desk


def _shop(folder: str) -> Database:
    return Database.open(_url(folder, "shop"), ShopTables)


def _url(folder: str, name: str) -> str:
    return f"sqlite:///{folder}/{name}.db"
