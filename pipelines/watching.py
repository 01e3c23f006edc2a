"""What is remembered of serving, and how long, by the environment: traces, logs, conversations.

KEFU_TRACE_SHARE     the share of requests that MLflow gets traces of (default 0.1; 0 turns traces off)
KEFU_RETENTION_DAYS  how long conversations and feedback are kept after their last use (default 30)

Not covered: where conversations lie (`KEFU_DATABASE_URL`) and where MLflow is (`MLFLOW_TRACKING_URI`).
"""

import os
from pathlib import Path
from typing import Any

from data.artifact import home
from data.errors import BadInput
from pipelines.registry import Registry
from serving.memory import Bounds

DAY_S = 86_400.0


def watched() -> dict[str, Any]:
    """The settings of the gateway that say what is remembered.

    Raises:
        BadInput: a variable is no number, or out of its range.
    """
    share = _number("KEFU_TRACE_SHARE", 0.1, 0.0, 1.0)
    days = _number("KEFU_RETENTION_DAYS", 30.0, 1 / 24, 3650.0)
    uri = Registry.open().uri if share else None
    return {"traces_uri": uri, "trace_share": share, "bounds": Bounds(retention_s=days * DAY_S)}


def log_file() -> Path:
    """Where the gateway's log goes: JSON lines below `$KEFU_HOME`, in ten files at most."""
    return home() / "logs" / "gateway.jsonl"


def _number(name: str, default: float, least: float, most: float) -> float:
    given = os.environ.get(name, "").strip()
    try:
        value = float(given) if given else default
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise BadInput(f"{name} must be a number from {least:g} to {most:g}, not {given!r}")
    return value
