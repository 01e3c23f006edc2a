"""The endpoint's log: one JSON object a line, with the request's id and without a word that anybody said.

What is logged of a request are numbers and names from closed sets. An exception is logged as its class and where it was
raised, never by its message, which may quote what it failed on. Not covered: what libraries print by themselves; several
processes that write one file.
"""

import json
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

if TYPE_CHECKING:
    from serving.observation import Observation

ROTATION, KEPT = "20 MB", 10
_QUIET = ("/healthz", "/readyz", "/metrics")  # asked every few seconds: logged only when they fail
_OURS = ("event", "request", "line")
logger.disable("serving")  # as loguru has it for libraries: nothing is written unless `logged_to` says where


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Writes logs to `path` while the block runs, and nowhere else.

    The standard library's warnings and errors come along, uvicorn's too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    logger.remove()
    # not by loguru's queue, which pickles every record: that costs a request more than all else that watches it
    sink = logger.add(path, format=_line, rotation=ROTATION, retention=KEPT, backtrace=False, diagnose=False)
    handler = _Forwarding()
    logging.getLogger().addHandler(handler)
    logger.enable("serving")
    try:
        yield
    finally:
        logger.disable("serving")
        logging.getLogger().removeHandler(handler)
        logger.remove(sink)


def log_request(seen: "Observation", known_tool: Callable[[str], str]) -> None:
    """One line for a request that is over."""
    if seen.route in _QUIET and seen.status < 400:
        return
    kefu = seen.kefu
    prompt, completion = seen.tokens
    first = seen.first_token_s
    line = {
        "request_id": seen.request_id,
        "method": seen.method,
        "route": seen.route,
        "status": seen.status,
        "error": seen.error,
        "seconds": round(seen.seconds, 4),
        "mode": seen.mode,
        "stream": seen.stream,
        "first_token_s": None if first is None else round(first, 4),
        "answer_id": seen.answer_id,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "finish_reason": seen.finish_reason,
        "intent": kefu.get("intent"),
        "cache": (kefu.get("cache") or {}).get("id"),
        "tools": [f"{known_tool(tool['name'])}:{tool['status']}" for tool in kefu.get("tools") or ()],
        "proposed": bool(kefu.get("confirmation")),
        "release": kefu.get("release"),
        "steps": _steps(seen),
    }
    level = "ERROR" if seen.status >= 500 else "INFO"
    logger.bind(event="request", request={k: v for k, v in line.items() if v not in (None, "none", [], {})}).log(
        level, ""
    )


def log_problem(what: str, problem: Exception) -> None:
    """A warning about something that went wrong beside the requests."""
    logger.bind(event="problem", what=what).opt(exception=problem).warning("")


def _steps(seen: "Observation") -> dict[str, float]:
    """Seconds by kind of step."""
    steps: dict[str, float] = {}
    for span in seen.spans:
        steps[span.step] = round(steps.get(span.step, 0.0) + span.seconds, 4)
    return steps


def _line(record: Any) -> str:
    """A record as a line; loguru formats what is returned here once more, so it goes by way of `extra`."""
    extra: Mapping[str, Any] = record["extra"]
    line: dict[str, Any] = {
        "time": record["time"].isoformat(timespec="milliseconds"),
        "level": record["level"].name,
        "event": extra.get("event", "message"),
        **extra.get("request", {}),
    }
    if record["message"]:
        line["message"] = record["message"]
    line |= {name: value for name, value in extra.items() if name not in _OURS}
    if record["exception"] is not None:
        line |= _told(record["exception"].value, record["exception"].traceback)
    record["extra"]["line"] = json.dumps(line, ensure_ascii=False, default=str)
    return "{extra[line]}\n"


def _told(error: BaseException | None, trace: Any) -> dict[str, Any]:
    frames = traceback.extract_tb(trace)
    where = [f"{Path(frame.filename).name}:{frame.lineno}:{frame.name}" for frame in frames[-20:]]
    return {"exception": type(error).__name__, "raised_at": where}


class _Forwarding(logging.Handler):
    """The standard library's warnings and errors as lines of ours: where from, and what was raised. Of messages only the
    server's own are kept, before anything is put into them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in ("WARNING", "ERROR", "CRITICAL") else "WARNING"
        where = f"{Path(record.pathname).name}:{record.lineno}"
        told = logger.bind(event="library", logger=record.name, where=where).opt(exception=record.exc_info or None)
        told.log(level, "{}", str(record.msg).strip() if record.name.startswith("uvicorn") else "")
