"""Every test has its own empty `$KEFU_HOME`; nothing reads the user's. No example of a property has a time limit of its own: on
a busy machine any may take long."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("kefu", deadline=None)
settings.load_profile("kefu")


@pytest.fixture(autouse=True)
def kefu_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of this test."""
    folder = tmp_path / "kefu"
    monkeypatch.setenv("KEFU_HOME", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder
