"""How the command line wants Prefect to behave: no server needed, no noise, nothing sent home.

Environment variables and a folder, so it works before Prefect is imported; what the user has set stays. Not covered: the flow.
"""

import os
from pathlib import Path

from data.artifact import home

DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # stages print their own lines
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # a busy laptop takes longer than the default 20
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
}


def configure_prefect() -> None:
    """Sets Prefect's environment for this process; call it before the flow's module is imported."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    folder = Path(os.environ.setdefault("PREFECT_HOME", str(home() / "prefect")))
    folder.mkdir(parents=True, exist_ok=True)  # Prefect itself makes one level only
