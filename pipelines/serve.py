"""The endpoint of one release: its engine, then the gateway before it; and nothing of either when it stops.

Not covered: swapping the release while serving.
"""

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from data.artifact import home
from data.errors import CheckFailed
from pipelines.background import in_background
from pipelines.environment import ServeEnvironment
from pipelines.evaluate import numeric_path
from pipelines.rollout import Resolved
from pipelines.screen import screen
from serving.customer_keys import CustomerKeys
from serving.database import database_url
from serving.demo_shop import seed_demo_shop
from serving.engine import Engine, launch_of, require_port
from serving.hardware import Hardware
from serving.logs import logged_to
from serving.release import Release
from serving.settings import GatewaySettings
from serving.supervisor import supervised

GRACE_S = 20  # for streams that are open when the endpoint is told to stop


@dataclass(frozen=True)
class Endpoint:
    """Where and how a release is to be served."""

    resolved: Resolved
    host: str = "127.0.0.1"
    port: int = 8000
    demo: bool = False
    mechanics: bool = False
    any_path: bool = False
    engine_url: str | None = None  # an engine elsewhere, instead of our own
    champion: Callable[[], Release] | None = None  # the release that should serve now, asked again for a new FAQ

    def check(self) -> None:
        """Refuses, before anything is started, what must not or cannot be served.

        Raises:
            CheckFailed: a release that is for mechanics, or was evaluated on another numeric path.
            EnvironmentLacks: the port is taken.
        """
        info = self.resolved.release.info
        if info.purpose == "mechanics" and not self.mechanics:
            raise CheckFailed(
                f"{info.name} proves mechanics and answers nothing useful; serve it with --mechanics if that is meant"
            )
        require_port(self.port, self.host)
        if self.engine_url is None and not self.any_path:
            path = numeric_path(self.resolved.release.model)
            if path != info.numeric_path:
                raise CheckFailed(
                    f"{info.name} was evaluated as {info.numeric_path}; here it is {path}: "
                    f"{Hardware.detect().explain(path)}. Evaluate it here first (kefu evaluate --cases FILE), "
                    "then serve it with --any-path"
                )

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.host}:{self.port}"


def serve(endpoint: Endpoint) -> None:
    """Serves until SIGINT or SIGTERM; then open streams end, the engine is stopped, and no process is left."""
    with stoppable(), logged_to(home() / "logs" / "gateway.jsonl"), gateway(endpoint) as server:
        screen().print(f"[bold green]ready[/]  {endpoint.url}/v1  (models: kefu, Qwen3-1.7B; stop with Ctrl+C)")
        screen().print(f"       {endpoint.url}/  chat page, in Chinese and English")
        server.run()


@contextlib.contextmanager
def serving(endpoint: Endpoint) -> Iterator[str]:
    """Serves while the block runs, in a thread; yields the base URL."""
    with gateway(endpoint) as server, in_background(server, endpoint.url):
        yield endpoint.url


@contextlib.contextmanager
def gateway(endpoint: Endpoint) -> Iterator[Any]:
    """A uvicorn server with the gateway of a release, its engine running; the caller runs it.

    Raises:
        CheckFailed, EnvironmentLacks: as `Endpoint.check`, or the engine does not start.
        BadInput: the environment's settings do not do, or a key is needed and there is none.
    """
    import uvicorn

    from serving.gateway import create_app

    endpoint.check()
    release = endpoint.resolved.release
    conversations_url = database_url("conversations.db")
    settings = GatewaySettings(  # refuses what must not be opened before the engine starts
        release=release,
        engine_base_url="",
        customer_keys=CustomerKeys.open(),
        host=endpoint.host,
        demo=endpoint.demo,
        conversations_url=conversations_url,
        stale=endpoint.resolved.stale,
        champion=endpoint.champion,
        **ServeEnvironment.read().settings(endpoint.host, conversations_url),
    )
    with _engine(endpoint) as engine_url:
        settings = dataclasses.replace(settings, engine_base_url=engine_url)
        if endpoint.demo:
            seed_demo_shop(settings.shop_url)
        config = uvicorn.Config(
            create_app(settings),
            host=endpoint.host,
            port=endpoint.port,
            log_level="warning",
            log_config=None,  # into our own log, without what an exception quotes
            timeout_graceful_shutdown=GRACE_S,
        )
        yield uvicorn.Server(config)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Turns SIGTERM and SIGINT into a quiet end of the block, clean-up included; later ones are ignored meanwhile."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise _Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except _Stopped:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stopped(BaseException):
    """Somebody asked us to stop."""


@contextlib.contextmanager
def _engine(endpoint: Endpoint) -> Iterator[str]:
    if endpoint.engine_url is not None:
        yield endpoint.engine_url.rstrip("/").removesuffix("/v1")
        return
    release = endpoint.resolved.release
    log = home() / "logs" / "engine-serve.log"
    screen().print(f"starting the engine of {release.info.name} ({release.digest[:12]}); its log: {_short(log)}")
    names = dict.fromkeys(("kefu", *release.info.model_names))
    launch = launch_of(release.model, release.recipe.serve, served_names=list(names), log=log)
    with supervised(launch) as supervisor:
        _explain(supervisor.engine)
        yield launch.base_url


def _explain(engine: Engine) -> None:
    screen().print(f"engine ready: {Hardware.detect().explain(engine.numeric_path)}")


def _short(path: Path) -> str:
    return str(path).replace(str(Path.home()), "~", 1)
