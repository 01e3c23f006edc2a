"""A wheel holds whatever the packages hold, data included: an installed Kefu is the same as a clone of it."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("data", "recipes", "evals", "serving", "pipelines")


def test_a_wheel_holds_every_file(tmp_path: Path) -> None:
    source, leave = tmp_path / "source", shutil.ignore_patterns("__pycache__")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=leave)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("kefu-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    files = (path for name in PACKAGES for path in (source / name).rglob("*") if path.is_file())
    assert sorted({path.relative_to(source).as_posix() for path in files} - held) == []
    assert any(name.endswith("entry_points.txt") for name in held)
