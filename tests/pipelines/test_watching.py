"""What is remembered of serving is set by the environment, and what makes no sense there is refused by name."""

from pathlib import Path

import pytest

from data.errors import BadInput
from pipelines.watching import log_file, watched


def test_by_default_a_tenth_is_traced_and_a_month_is_kept(kefu_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")  # not asked before there is something to send
    found = watched()
    assert (found["traces_uri"], found["trace_share"]) == ("http://127.0.0.1:1", 0.1)
    assert found["bounds"].retention_s == 30 * 86_400
    assert log_file() == kefu_home / "logs" / "gateway.jsonl"


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEFU_TRACE_SHARE", "0")
    monkeypatch.setenv("KEFU_RETENTION_DAYS", "7.5")
    found = watched()
    assert found["traces_uri"] is None and found["bounds"].retention_s == 7.5 * 86_400


@pytest.mark.parametrize(
    ("name", "value"), [("KEFU_TRACE_SHARE", "2"), ("KEFU_TRACE_SHARE", "all"), ("KEFU_RETENTION_DAYS", "0")]
)
def test_what_makes_no_sense_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadInput, match=f"{name} must be a number from .* not '{value}'"):
        watched()
