"""One prompt as trainer, Transformers and engine read it: token ids by three ways that share no code of ours but the messages.

The trainer's way is `encode` with the base's tokenizer and template; the second hands the messages as a client sends them to
the released tokenizer; the third is the engine's own. Not covered: comparing them (`evals/parity.py`).
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.artifact import ArtifactStore, Corpus, Quantized
from data.chat import Prompts, Row, wire
from data.schema import read_jsonl
from evals.conversations import Case, conversations
from evals.parity import Parity, Side, judge, wrong_ends
from evals.token_ids import prompt_ids, stops_at
from pipelines.base_model import load_tokenizer
from pipelines.encode import encode
from pipelines.lineage import Lineage

ROWS = 12  # of a corpus, for each task and language, with and without tools


class Reading(NamedTuple):
    """The same cases as several sides read them, and what does not end a turn as the trained rows do."""

    cases: list[Case]
    sides: list[Side]
    end: int
    faults: list[str]

    @property
    def names(self) -> list[str]:
        """The cases by name."""
        return [case.name for case in self.cases]


def trained_rows(corpus: Corpus) -> list[Case]:
    """A few rows of every kind that the trainer saw, evenly out of the file."""
    kinds: dict[tuple[Any, ...], list[Case]] = {}
    for number, row in enumerate(read_jsonl(corpus.folder / "train.jsonl", Row), 1):
        case = Case(f"train.jsonl:{number} ({row.task}, {row.language})", row)
        kinds.setdefault((row.task, row.language, row.tools is not None), []).append(case)
    return [case for kind in kinds.values() for case in evenly(kind, ROWS)]


def evenly(cases: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of them, evenly spaced."""
    return list(cases) if len(cases) <= count else [cases[index * len(cases) // count] for index in range(count)]


def read(cases: Sequence[Case], base: Path, released: Path) -> Reading:
    """The cases as the trainer saw them (the tokenizer in `base`), and as Transformers reads them with that in `released`."""
    trainer, own = load_tokenizer(base), load_tokenizer(released)
    seen = [encode(trainer, case.row) for case in cases]
    end = seen[0].completion[-1]
    sides = [
        Side("trained", [row.prompt for row in seen], trainer.decode),
        Side("released", [_released(own, case.row) for case in cases], own.decode),
    ]
    return Reading(list(cases), sides, end, wrong_ends(end, dict(_ends(released, own))))


def with_engine(reading: Reading, base_url: str, model: str, width: int) -> Reading:
    """The same with the running engine as a further side, `width` requests at once."""
    served = prompt_ids(base_url, model, [case.row for case in reading.cases], width)
    faults = list(reading.faults)
    if not stops_at(base_url, model, reading.sides[0].ids[0], reading.end):
        faults.append(f"the running engine writes on after token {reading.end}, with which the trained rows end")
    sides = [*reading.sides, Side("served", served, reading.sides[-1].decode)]
    return reading._replace(sides=sides, faults=faults)


def prompt_parity(
    store: ArtifactStore,
    model: Quantized,
    prompts: Prompts,
    tools: Sequence[dict[str, Any]],
    base_url: str,
    name: str,
    width: int,
) -> Parity:
    """The verdict on prompts alone, with the engine that is already running on a quantized model."""
    made = Lineage.of(store, model.digest)
    cases = [*conversations(prompts, tools), *trained_rows(made.corpus)]
    reading = with_engine(read(cases, made.base.folder, model.folder), base_url, name, width)
    return judge(reading.names, reading.sides, ends=reading.faults)


def _released(tokenizer: Any, row: Row) -> list[int]:
    """By the tokenizer's own template in one call, from the messages as they go over the wire."""
    ids: list[int] = tokenizer.apply_chat_template(
        wire(row.messages),
        tools=[dict(tool) for tool in row.tools] if row.tools else None,
        add_generation_prompt=True,
        enable_thinking=row.thinking,
        return_dict=False,
    )
    return ids


def _ends(folder: Path, tokenizer: Any) -> Iterator[tuple[str, list[int]]]:
    """Where a checkpoint says what ends a turn: Transformers and engines read each of these."""
    yield f"the tokenizer in {folder}", [tokenizer.eos_token_id]
    for name in ("config.json", "generation_config.json"):
        found = json.loads((folder / name).read_text(encoding="utf-8")).get("eos_token_id")
        yield str(folder / name), found if isinstance(found, list) else [found]
