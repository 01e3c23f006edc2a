"""Every test has its own empty `$KEFU_HOME`; nothing reads the user's."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def kefu_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of this test."""
    folder = tmp_path / "kefu"
    monkeypatch.setenv("KEFU_HOME", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder
