"""Artifacts: a folder, a manifest written last, a digest. The only cache that Kefu has.

A stage asks the store for its artifact by what goes into it: digests of the inputs, its recipe section, the version of its
code. If a folder with that key holds a whole manifest and its files still match, it is reused; otherwise the stage fills
the folder and the manifest is written last, in one rename. A folder without a manifest is unfinished work: `make` may resume
from what it finds there, nobody else reads it. Not covered: remote stores and garbage collection.
"""

import ast
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from data.errors import BadInput
from data.footprint import footprint, give_back_memory

MANIFEST = "manifest.json"
SCRATCH = "scratch"  # what a stage keeps in order to resume; not part of the artifact, removed when it is done


def home() -> Path:
    """The folder of all state, `$KEFU_HOME` or `~/.kefu`. Reading it creates nothing."""
    return Path(os.environ.get("KEFU_HOME") or Path.home() / ".kefu")


def file_digest(path: Path) -> str:
    """The SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_digest(value: Any) -> str:
    """The SHA-256 of a JSON value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


def folder_files(folder: Path) -> dict[str, str]:
    """Each file below `folder` (the manifest and the scratch folder excepted) with its digest, sorted by path."""
    paths = (p for p in sorted(folder.rglob("*")) if p.is_file())
    relative = ((p.relative_to(folder).as_posix(), p) for p in paths)
    return {name: file_digest(p) for name, p in relative if name != MANIFEST and not name.startswith(f"{SCRATCH}/")}


def code_digest(*modules: str) -> str:
    """The digest of the code of `modules`, so that a changed stage does not reuse what its older self made.

    Comments, docstrings and layout do not count: what runs is what is compared.
    """
    digest = hashlib.sha256()
    for module in modules:
        spec = importlib.util.find_spec(module)
        assert spec is not None and spec.origin is not None, module
        path = Path(spec.origin)
        digest.update(_code(path, path.stat().st_mtime_ns).encode())
    return digest.hexdigest()


@cache
def _code(path: Path, _changed: int) -> str:
    """What a file of Python does, as a text; remembered until the file changes."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_docstring(part)]
    return ast.dump(tree)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that a reader sees the old file or the new one, never a half: temporary file, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=2, default=str)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@dataclass(frozen=True)
class Artifact:
    """A finished folder. Subclasses name what is in it; `open` is the only way in from disk."""

    folder: Path
    kind: ClassVar[str]

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest: kind, inputs, section, code, files, seconds, peak_memory_mb, facts."""
        manifest: dict[str, Any] = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        return manifest

    @property
    def digest(self) -> str:
        """The digest of the content alone: equal files give equal digests, wherever and whenever they were made."""
        return json_digest({"kind": self.kind, "files": self.manifest["files"]})

    @property
    def facts(self) -> dict[str, Any]:
        """What the stage reported about its work (counts, losses, sizes)."""
        facts: dict[str, Any] = self.manifest["facts"]
        return facts

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens a finished artifact and checks every file's digest.

        Raises:
            BadInput: there is no manifest, it is of another kind, or a file is missing or changed.
        """
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInput(f"{folder} is not a finished {cls.kind} artifact: no readable {MANIFEST} in it") from error
        if manifest.get("kind") != cls.kind:
            raise BadInput(f"{folder} holds a {manifest.get('kind')} artifact, expected {cls.kind}")
        if folder_files(folder) != manifest["files"]:
            raise BadInput(f"{folder} has changed since it was written; delete the folder and run the release again")
        return cls(folder)


A = TypeVar("A", bound=Artifact)


@dataclass(frozen=True)
class ArtifactStore:
    """Artifacts below one root, keyed by what went into them."""

    root: Path

    def build(
        self,
        kind: type[A],
        make: Callable[[Path], Mapping[str, Any] | None],
        *,
        inputs: Mapping[str, str],
        section: Any,
        code: str,
    ) -> A:
        """Returns the artifact for these inputs, from disk if it is whole, else by calling `make(folder)`.

        `make` fills the folder, may resume from what an interrupted call left below `folder / SCRATCH`, and returns facts
        for the manifest. Two processes that want the same artifact wait for each other.
        """
        folder = self._folder(kind, inputs, section, code)
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_suffix(".lock")):
            if (folder / MANIFEST).exists():
                try:
                    return kind.open(folder)
                except BadInput:  # damaged on disk: make it again, from the scratch folder if there is one
                    (folder / MANIFEST).unlink()
            _clear(folder, keep=SCRATCH)
            started = time.monotonic()
            with footprint() as memory:
                facts = make(folder)
            give_back_memory()
            _clear(folder / SCRATCH)
            manifest = {
                "kind": kind.kind,
                "inputs": dict(inputs),
                "section": section,
                "code": code,
                "files": folder_files(folder),
                "seconds": round(time.monotonic() - started, 2),
                "peak_memory_mb": round(memory.peak_mb),
                "facts": dict(facts or {}),
            }
            write_json(folder / MANIFEST, manifest)
        return kind(folder)

    def find(self, kind: type[A], *, inputs: Mapping[str, str], section: Any, code: str) -> A | None:
        """The artifact for these inputs if it is on disk and whole; nothing is made."""
        try:
            return kind.open(self._folder(kind, inputs, section, code))
        except BadInput:
            return None

    def _folder(self, kind: type[A], inputs: Mapping[str, str], section: Any, code: str) -> Path:
        key = json_digest({"inputs": dict(inputs), "section": section, "code": code})
        return self.root / kind.kind / key[:16]


def _clear(folder: Path, keep: str = "") -> None:
    """Empties a folder, `keep` excepted, and removes it unless something was kept to be named in it."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.name == keep:
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not keep and folder.exists():
        folder.rmdir()


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Sifted(Artifact):
    """What `data.sift` makes: the good rows of some sources and what was left out, in one database (`data.staging`)."""

    kind = "sifted"
    ROWS: ClassVar[str] = "rows.sqlite"


class Corpus(Artifact):
    """What `data.build` makes: `train.jsonl`, `held_out.jsonl`, `dropped.jsonl`, `statistics.json`, `corpus.html`."""

    kind = "corpus"


class Base(Artifact):
    """A pretrained model made ready: BF16 safetensors, tokenizer with all special tokens, the served chat template."""

    kind = "base"


class Adapter(Artifact):
    """A LoRA adapter as PEFT saves it, with `loss.jsonl` and `loss.png`."""

    kind = "adapter"


class Merged(Artifact):
    """Base and adapter merged in BF16: an ordinary Transformers checkpoint."""

    kind = "merged"


class Quantized(Artifact):
    """The FP8 E4M3 checkpoint in compressed-tensors form, with tokenizer and template."""

    kind = "quantized"


class Baseline(Artifact):
    """What a model that is not to be released makes of the frozen intent cases: `evaluation.json`."""

    kind = "baseline"


class Report(Artifact):
    """One evaluation of one model: `report.json` (`evals.report`), predictions, figures, HTML and Markdown."""

    kind = "report"
