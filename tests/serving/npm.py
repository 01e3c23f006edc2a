"""What tests need from npm, as locked in `javascript/`, and a Node to run it with: the one that Playwright brings."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

import playwright

FOLDER = Path(__file__).parent / "javascript"
NODE = Path(playwright.__file__).parent / "driver" / "node"  # the openai package wants a newer one than Debian's


@functools.cache
def packages() -> Path:
    """The folder of the installed packages; installed once, and again when the lock changes."""
    installed = FOLDER / "node_modules"
    stamp, lock = installed / ".package-lock.json", FOLDER / "package-lock.json"
    if not stamp.exists() or stamp.stat().st_mtime < lock.stat().st_mtime:
        npm = shutil.which("npm")
        assert npm, "the mark `services` needs npm: apt-get install npm"
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        cache = f"--cache={Path.home() / '.cache' / 'npm'}"
        subprocess.run([npm, "ci", *quiet, cache], cwd=FOLDER, check=True, env=os.environ, timeout=240)
    return installed
