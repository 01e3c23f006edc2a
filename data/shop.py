"""The shop: everything a domain brings. The default one lies in this repository; `--data DIR` replaces it whole.

DIR/intents.yaml  faq.yaml  tools.json  prompts/*.md
DIR/faq_calibration.jsonl   `FaqCalibration`, one row for each FAQ entry; may be missing
DIR/train/*.jsonl   utterances*.jsonl (`Utterance`) and dialogs*.jsonl (`Dialog`)
DIR/cases/*.jsonl   intents*.jsonl (`IntentCase`), tools*.jsonl (`ToolCase`) and, where the FAQ is evaluated,
                    faq_pairs*.jsonl (`FaqPair`): frozen, never trained on. Others may lie beside them, such as the agent's
                    scenarios (`evals/scenario.py`): they are asked of a release, and no stage reads them
"""

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from data.artifact import file_digest, json_digest
from data.chat import Prompts
from data.errors import BadInput
from data.jsontext import decoded
from data.rows import explained
from data.schema import FaqCalibration, FaqEntry, FaqPair, IntentCase, Strict, Taxonomy, ToolCase, read_jsonl, read_yaml
from data.textfile import whole_text

READ = (
    "intents",
    "tools",
    "faq_pairs",
)  # case files that training or its evaluation reads; others are asked afterwards
_HERE = Path(__file__).resolve().parent
M = TypeVar("M", bound=BaseModel)


class FaqFile(Strict):
    """`faq.yaml`."""

    entries: tuple[FaqEntry, ...]


@dataclass(frozen=True)
class Shop:
    """Where a domain's files lie, and what is in them. Reading is lazy; each property raises `BadInput` if its file is bad."""

    folder: Path
    train: Path
    cases: Path

    @classmethod
    def default(cls) -> "Shop":
        """The shop in this repository."""
        return cls(folder=_HERE, train=_HERE / "seed", cases=_HERE.parent / "evals" / "cases")

    @classmethod
    def open(cls, folder: Path | None) -> "Shop":
        """The shop in `folder`, or the default one.

        Raises:
            BadInput: the folder lacks one of its parts; all missing ones are named.
        """
        if folder is None:
            return cls.default()
        parts = ("intents.yaml", "faq.yaml", "tools.json", "prompts", "train", "cases")
        missing = [part for part in parts if not (folder / part).exists()]
        if missing:
            raise BadInput(f"{folder} is not a shop: missing {', '.join(missing)}; expected {', '.join(parts)}")
        return cls(folder=folder, train=folder / "train", cases=folder / "cases")

    @cached_property
    def taxonomy(self) -> Taxonomy:
        return read_yaml(self.folder / "intents.yaml", Taxonomy)

    @cached_property
    def prompts(self) -> Prompts:
        return Prompts.read(self.folder / "prompts")

    @cached_property
    def faq(self) -> tuple[FaqEntry, ...]:
        return read_yaml(self.folder / "faq.yaml", FaqFile).entries

    @cached_property
    def faq_calibration(self) -> tuple[FaqCalibration, ...]:
        """The calibration rows, at most one for each entry; none if the shop has no such file."""
        path = self.folder / "faq_calibration.jsonl"
        if not path.is_file():
            return ()
        rows = read_jsonl(path, FaqCalibration)
        entries = {(entry.id, entry.language) for entry in self.faq}
        keys = Counter((row.id, row.language) for row in rows)
        problems = [f"{name} ({language}) is not in faq.yaml" for name, language in sorted(keys.keys() - entries)]
        problems += [f"{name} ({language}) has {n} rows; join them" for (name, language), n in keys.items() if n > 1]
        if problems:
            raise BadInput(f"{path} does not fit faq.yaml, one row for each entry: " + "; ".join(problems))
        return tuple(rows)

    @cached_property
    def tools(self) -> dict[str, dict[str, Any]]:
        """Every tool schema by name, in OpenAI's shape."""
        path = self.folder / "tools.json"
        expected = "a JSON list of tools in OpenAI's shape"
        try:
            tools = TypeAdapter(list[dict[str, Any]]).validate_python(decoded(whole_text(path, expected)))
            return {tool["function"]["name"]: tool for tool in tools}
        except ValidationError as error:
            raise BadInput(f"{path}: expected {expected}: {explained(error)}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{path}: expected {expected}; {type(error).__name__}: {error}") from error

    def training_files(self, stem: Literal["utterances", "dialogs"]) -> list[Path]:
        """The JSON lines of the shop's own utterances or dialogs, at least one file."""
        return self._files(self.train, stem)

    def intent_cases(self) -> list[IntentCase]:
        return self._read(self.cases, "intents", IntentCase)

    def tool_cases(self) -> list[ToolCase]:
        return self._read(self.cases, "tools", ToolCase)

    def faq_pairs(self) -> list[FaqPair]:
        """None, if the shop has no such file."""
        return self._read(self.cases, "faq_pairs", FaqPair) if any(self.cases.glob("faq_pairs*.jsonl")) else []

    def case_digests(self, *stems: str) -> dict[str, str]:
        """File name to SHA-256 of every frozen case file, or of those whose names begin with one of `stems`."""
        return {
            path.name: file_digest(path)
            for path in sorted(self.cases.glob("*.jsonl"))
            if path.name.startswith(stems or "")
        }

    def digest(self) -> str:
        """One digest over everything that training and evaluation read."""
        files = [*self.train.glob("*.jsonl"), *(self.folder / "prompts").glob("*.md")]
        files += [path for stem in READ for path in self.cases.glob(f"{stem}*.jsonl")]
        files += [self.folder / name for name in ("intents.yaml", "faq.yaml", "faq_calibration.jsonl", "tools.json")]
        return json_digest({path.name: file_digest(path) for path in sorted(files) if path.exists()})

    def _read(self, folder: Path, stem: str, model: type[M]) -> list[M]:
        return [row for path in self._files(folder, stem) for row in read_jsonl(path, model)]

    def _files(self, folder: Path, stem: str) -> list[Path]:
        paths = sorted(folder.glob(f"{stem}*.jsonl"))
        if not paths:
            raise BadInput(f"{folder}: no {stem}*.jsonl; expected JSON lines (see data/schema.py)")
        return paths


def dump_tools(tools: list[dict[str, Any]]) -> str:
    """The text of `tools.json`."""
    return json.dumps(tools, ensure_ascii=False, indent=2) + "\n"
