"""Conformance of a candidate: the gateway is put before its running engine, and every cell of the matrix is asked.

It happens while the engine is up for the evaluation, before there is a release; the gateway is given what the release
would hold. Nobody is signed in, so that no order is read or written, and its databases go with it.
Not covered: the matrix itself (`evals/conformance.py`).
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from data.artifact import Artifact, ArtifactStore, Quantized, Report, write_json
from data.errors import BadInput
from data.schema import Language
from data.shop import Shop
from evals.cells import Cell, matrix
from evals.conformance import Conformance, conformance
from evals.evidence import Check
from evals.reference import Serving
from pipelines.background import in_background
from pipelines.ledger import now
from recipes.recipe import Recipe
from serving.claims import checked
from serving.customer_keys import CustomerKeys
from serving.engine import free_port
from serving.gateway import create_app
from serving.reasoning import without_markup
from serving.release import Release, ReleaseInfo
from serving.settings import GatewaySettings

RESULT = "conformance.json"
ANSWER_TOKENS, THINKING_TOKENS = 64, 96  # at most, in a cell: enough for a thought and a call
NAME = "conformance"  # in `gate.checks` of a recipe
CELLS = len(list(matrix()))
CODE = (
    *("evals.conformance", "evals.cells", "evals.reference", "evals.answer", "evals.transcript", "pipelines.conform"),
    *("serving.gateway", "serving.endpoint", "serving.relay", "serving.speech", "serving.reasoning", "serving.agent"),
    *(
        "serving.client",
        "serving.protocol",
        "serving.claims",
        "serving.messages",
        "serving.toolchoice",
        "serving.thinking",
    ),
    "serving.events",
)


def conform(
    engine_url: str,
    engine_model: str,
    quantized: Quantized,
    shop: Shop,
    recipe: Recipe,
    progress: Callable[[int], None] | None = None,
    cells: Sequence[Cell] | None = None,
) -> Conformance:
    """The matrix, or some `cells`, through a gateway on loopback before the engine that serves `quantized`."""
    short = {"answer_tokens": ANSWER_TOKENS, "thinking_tokens": THINKING_TOKENS}
    recipe = recipe.model_copy(update={"serve": recipe.serve.model_copy(update=short)})
    with TemporaryDirectory() as folder:
        release = _provisional(Path(folder), quantized, shop, recipe)
        serving = Serving(
            engine_model=engine_model,
            prompts=release.prompts,
            tools=release.tools,
            answer_tokens=ANSWER_TOKENS,
            thinking_tokens=THINKING_TOKENS,
            worded=_worded,
        )
        with _gateway(Path(folder), engine_url, engine_model, release) as url:
            return conformance(
                engine_url,
                url,
                serving,
                concurrency=max(1, recipe.serve.engine.max_num_seqs // 2),  # a cell's agent may ask for more
                progress=progress,
                cells=cells,
            )


def keep(target: Path, found: Conformance) -> None:
    """Writes the result into a report's folder."""
    write_json(target / RESULT, found.model_dump(mode="json"))


def wanted(model: Artifact, recipe: Recipe) -> bool:
    """Whether the recipe asks for it, and the model is one that is to be served: on a CPU the whole matrix takes minutes."""
    return isinstance(model, Quantized) and NAME in recipe.gate.checks


def conformance_of(report: Report) -> Conformance:
    """The result that a quantized model's report carries.

    Raises:
        BadInput: it carries none that this version reads.
    """
    path = report.folder / RESULT
    try:
        return Conformance.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: no conformance that this version reads; evaluate the model again: {error}") from error


def as_check(found: Conformance) -> Check:
    """What was found, as the gate takes it."""
    named = tuple(f"{failure.cell}: {failure.problem}" for failure in found.failures)
    return Check(name=NAME, cases=found.cells, failed=len(found.failures), examples=named)


@contextlib.contextmanager
def _gateway(folder: Path, engine_url: str, engine_model: str, release: Release) -> Iterator[str]:
    import uvicorn

    port = free_port()
    settings = GatewaySettings(
        release=release,
        engine_base_url=engine_url,
        engine_model=engine_model,
        customer_keys=CustomerKeys.of(b"nobody signs in here".ljust(64, b".")),
        shop_url=f"sqlite:///{folder}/shop.db",
        conversations_url=f"sqlite:///{folder}/conversations.db",
        predict_intent=False,
        engine_timeout_s=300.0,
        request_timeout_s=900.0,
    )
    url = f"http://127.0.0.1:{port}"
    config = uvicorn.Config(create_app(settings), host="127.0.0.1", port=port, log_level="warning")
    with in_background(uvicorn.Server(config), url):
        yield url


def _provisional(folder: Path, quantized: Quantized, shop: Shop, recipe: Recipe) -> Release:
    """A release without weights, as the gateway reads it."""

    def fill(target: Path) -> None:
        shutil.copytree(shop.folder / "prompts", target / "prompts")
        for name in ("intents.yaml", "faq.yaml", "tools.json"):
            shutil.copy(shop.folder / name, target / name)
        (target / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
        (target / "model").mkdir()
        shutil.copy(quantized.folder / "tokenizer.json", target / "model")
        info = ReleaseInfo(
            name=recipe.name,
            purpose=recipe.purpose,
            languages=recipe.gate.languages,
            numeric_path="undecided",
            model_names=("kefu",),
            created=now(),
        )
        write_json(target / "release.json", info.model_dump(mode="json"))

    return ArtifactStore(folder).build(Release, fill, inputs={"model": quantized.digest}, section=None, code="")


def _worded(text: str, language: Language) -> str:
    """What of an agent's text leaves the server."""
    return checked(without_markup(text), language).text.strip()
