"""A stage for the flow: a small shop, a recipe on a tiny checkpoint, and an engine that knows the answers, on a real port."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from data.chat import call_text
from data.schema import Function
from pipelines.base_model import load_tokenizer
from pipelines.evaluate import numeric_path
from recipes.recipe import ServeRecipe
from serving.engine import Engine
from tests.evals.served import served
from tests.serving.raw_engine import RawEngine

ROOT = Path(__file__).resolve().parents[2]
INTENTS = ("order_status", "refund_status", "out_of_scope")
ORDER = {"name": "query_order_status", "arguments": {"order_id": "123"}}


class Oracle:
    """Knows the intent of every text, and that a digit means an order; `wrong` makes it useless. It reads prompts with the
    tokenizer of the model that it is started on, after `edit` has been at that model's template."""

    base_url: str

    def __init__(self) -> None:
        self.wrong, self.starts = False, 0
        self.edit: Callable[[str], str] = lambda text: text
        self.tokenizer: Any = None
        self.engine = RawEngine(self.says)
        self.read: dict[tuple[int, ...], dict[str, Any]] = {}  # what was tokenized, by its ids

    def start(self, model: Path) -> None:
        self.starts, self.tokenizer = self.starts + 1, load_tokenizer(model)
        self.tokenizer.chat_template = self.edit(self.tokenizer.chat_template)

    def respond(self, path: str, body: dict[str, Any]) -> str:
        if path == "/tokenize":
            options = {
                "tools": body.get("tools"),
                "add_generation_prompt": True,
                **body.get("chat_template_kwargs", {}),
            }
            tokens = self.tokenizer.apply_chat_template(body["messages"], return_dict=False, **options)
            self.read[tuple(tokens)] = body
            return json.dumps({"tokens": tokens})
        if path == "/v1/completions" and "logit_bias" in body:
            (pushed,) = body["logit_bias"]
            ended = int(pushed) == self.tokenizer.eos_token_id
            return json.dumps({"choices": [{"index": 0, "finish_reason": "stop" if ended else "length"}]})
        if path == "/v1/completions":
            ready = isinstance(body["prompt"], str)  # a question whether it answers at all
            text = "!" if ready else self.says(self.read[tuple(body["prompt"])])
            return json.dumps({"choices": [{"index": 0, "text": text, "finish_reason": "stop"}]})
        return self.engine.respond(path, body)

    def says(self, body: dict[str, Any]) -> str:
        text = body["messages"][-1]["content"]
        if self.wrong:
            return "What?"
        if not body.get("tools"):
            return next(name for name in INTENTS if name in text)
        return call_text(Function.model_validate(ORDER)) if "123" in text else "Hello."


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Iterator[Oracle]:
    """Stands where an engine's process would be; requests still go over HTTP."""

    known = Oracle()

    @contextmanager
    def running(model: Path, serve: ServeRecipe, *, served_names: Sequence[str], log: Path) -> Iterator[Engine]:
        known.start(model)
        yield Engine(known.base_url, numeric_path(model), 0, cast(Any, None))

    for module in ("evaluate", "parity"):
        monkeypatch.setattr(f"pipelines.{module}.running_engine", running)
    with served(known.respond) as known.base_url:
        yield known


@pytest.fixture
def small_shop(tmp_path: Path) -> Path:
    """Three intents in English, a few rows of each, one dialog."""
    folder = tmp_path / "shop"
    (folder / "train").mkdir(parents=True)
    (folder / "cases").mkdir()
    shutil.copytree(ROOT / "data" / "prompts", folder / "prompts")
    for name in ("faq.yaml", "tools.json"):
        shutil.copy(ROOT / "data" / name, folder)
    meanings = {name: {"zh": name, "means": name} for name in INTENTS}
    (folder / "intents.yaml").write_text(yaml.safe_dump({"intents": meanings}), encoding="utf-8")
    words = ("copper", "violet", "meadow", "pepper", "lantern", "walrus", "onyx", "quartz", "fjord", "juniper")
    rows = [(f"{word} {word[::-1]} {name}", name) for word in words for name in INTENTS]
    _write(folder / "train" / "utterances.jsonl", [_labelled(*row) for row in rows])
    turns = [{"role": "user", "content": "Where is my thing?"}, {"role": "assistant", "content": "Which order?"}]
    dialog = {"id": "d1", "messages": turns, "language": "en", "source": "test", "tools": ["query_order_status"]}
    _write(folder / "train" / "dialogs.jsonl", [dialog])
    cases = [(f"tell me number {number} {name}", name) for number in range(40) for name in INTENTS]
    _write(folder / "cases" / "intents.jsonl", [_labelled(*case) for case in cases])
    asked = {"id": "t1", "messages": [{"role": "user", "content": "status of 123"}], "expect": ORDER, "language": "en"}
    idle = {"id": "t2", "messages": [{"role": "user", "content": "good day"}], "expect": None, "language": "en"}
    _write(folder / "cases" / "tools.jsonl", [asked, idle])
    return folder


@pytest.fixture
def small_recipe(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    """A recipe that trains the tiny checkpoint for a moment and whose gate a hundred cases can pass."""
    recipe = yaml.safe_load((ROOT / "recipes" / "qwen3-tiny.yaml").read_text(encoding="utf-8"))
    recipe["name"] = "small"
    recipe["purpose"] = "production"
    recipe["base"] = {"kind": "folder", "path": str(tiny_checkpoint)}
    recipe["data"] |= {"max_tokens": 20000, "languages": {"en": 1.0}, "validation": 0.2}
    recipe["train"] |= {"batch_size": 4, "save_steps": 50, "epochs": 0.5}
    recipe["quantize"] = {"scheme": "FP8_BLOCK", "block": [64, 128]}
    recipe["gate"] |= {"languages": ["en"], "retention": 0.5, "power": 0.1, "checks": ["parity", "conformance"]}
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def _labelled(text: str, intent: str) -> dict[str, str]:
    return {"text": text, "intent": intent, "language": "en"}


def _write(path: Path, rows: Sequence[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
