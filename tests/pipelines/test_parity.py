"""Planted faults between training and serving; the last test asks a real engine."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.artifact import MANIFEST, Adapter, Artifact, ArtifactStore, Base, Corpus, Merged, Quantized, Report
from data.chat import Row
from data.errors import BadInput, EnvironmentLacks
from data.schema import Message
from data.shop import Shop
from evals.conversations import Case, conversations
from evals.evidence import Evidence, checks
from evals.parity import Side, agreement, judge
from pipelines.base_model import load_tokenizer, prepare_base
from pipelines.cli import app
from pipelines.encode import encode
from pipelines.evaluate import evaluate
from pipelines.greedy import greedy_of_adapter, greedy_of_checkpoint
from pipelines.lineage import Lineage
from pipelines.merge import merge
from pipelines.parity import check_parity
from pipelines.prepare import prepare, sift_sources
from pipelines.quantize import quantize
from pipelines.readings import Reading, read, trained_rows, with_engine
from pipelines.registry import Registry
from pipelines.train import train
from pipelines.verdict import parity_check
from recipes.recipe import RECIPES, Recipe
from serving.engine import running_engine
from serving.release import Release, ReleaseInfo
from tests.pipelines.stage import Oracle
from tests.pipelines.tiny import LORA, make_checkpoint, tiny_rows

SHOP = Shop.default()
NEWLINE = (
    "<|im_start|>assistant\\n' }}\n    {%- if enable_thinking",
    "<|im_start|>assistant' }}\n    {%- if enable_thinking",
)


@pytest.fixture
def cases(tiny_corpus: Corpus) -> list[Case]:
    return [*conversations(SHOP.prompts, list(SHOP.tools.values())), *trained_rows(tiny_corpus)]


@pytest.fixture
def released(tiny_merged: Merged, tmp_path: Path) -> Path:
    """A copy of the tiny model, without its weights, to plant faults in."""
    folder = tmp_path / "released"
    shutil.copytree(tiny_merged.folder, folder, ignore=shutil.ignore_patterns("*.safetensors", MANIFEST))
    return folder


def verdict(reading: Reading) -> tuple[bool, str]:
    found = judge(reading.names, reading.sides, ends=reading.faults)
    return found.token_ids_equal, "\n".join(found.reasons)


def edit_template(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    text = path.read_text(encoding="utf-8")
    assert text.count(NEWLINE[0]) == 1
    path.write_text(text.replace(*NEWLINE), encoding="utf-8")


def change_end(folder: Path, end: str, end_id: int) -> None:
    for name, value in (
        ("tokenizer_config.json", {"eos_token": end}),
        ("generation_config.json", {"eos_token_id": [end_id]}),
    ):
        content = json.loads((folder / name).read_text(encoding="utf-8")) | value
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


def test_a_release_reads_what_the_trainer_saw(cases: list[Case], tiny_base: Base, released: Path) -> None:
    reading = read(cases, tiny_base.folder, released)
    assert verdict(reading) == (True, "")
    assert {case.row.task for case in cases} >= {"intent", "tool_call", "thinking", "answer"}


def test_a_missing_newline_in_the_template_is_caught(cases: list[Case], tiny_base: Base, released: Path) -> None:
    edit_template(released)
    equal, reasons = verdict(read(cases, tiny_base.folder, released))
    assert not equal
    assert "en, thinking off, no tools, turn 1: token" in reasons
    assert r"assistant⟨\n⟩<think>" in reasons and r"assistant⟨<think>⟩\n\n</think>" in reasons


def test_a_swapped_tokenizer_is_caught(cases: list[Case], tiny_base: Base, released: Path, tmp_path: Path) -> None:
    other = make_checkpoint(tmp_path / "other", tokens=("<|im_start|>", "<|im_end|>", "<|endoftext|>"))
    shutil.copy(other / "tokenizer.json", released)
    equal, reasons = verdict(read(cases, tiny_base.folder, released))
    assert not equal and "token 0 differs" in reasons and "the tokenizer in" in reasons


def test_a_wrong_end_token_is_caught(cases: list[Case], tiny_base: Base, released: Path) -> None:
    change_end(released, "<|endoftext|>", 0)
    equal, reasons = verdict(read(cases, tiny_base.folder, released))
    assert equal  # the prompts are the same: only the end is not
    assert (
        "the tokenizer in" in reasons
        and "generation_config.json ends a turn with 0, the trained rows with 2" in reasons
    )


@pytest.fixture
def label_rows() -> list[Row]:
    """Two hundred short prompts."""
    row = tiny_rows()[0]
    texts = (f"where is my order {number}" for number in range(200))
    return [row.model_copy(update={"messages": (row.messages[0], Message(role="user", content=x))}) for x in texts]


def test_a_stale_adapter_is_caught(
    label_rows: list[Row],
    tiny_store: ArtifactStore,
    tiny_base: Base,
    tiny_corpus: Corpus,
    tiny_adapter: Adapter,
    tiny_merged: Merged,
) -> None:
    tokenizer = load_tokenizer(tiny_base.folder)
    prompts = [encode(tokenizer, row).prompt for row in label_rows]
    names = [row.messages[-1].content for row in label_rows]
    merged = Side("merged", greedy_of_checkpoint(tiny_merged.folder, prompts, 3), tokenizer.decode)

    def against(adapter: Adapter) -> str | None:
        written = greedy_of_adapter(tiny_base, adapter, prompts, 3)
        return agreement(names, Side("adapter", written, tokenizer.decode), merged, 0.995).fault

    assert against(tiny_adapter) is None
    earlier = train(tiny_store, tiny_corpus, tiny_base, LORA.model_copy(update={"epochs": 0.4}), lambda _s, _f: None)
    fault = against(earlier)
    assert fault is not None and "adapter-merged" in fault and "token 0 differs" in fault


def test_greedy_ids_end_with_the_end_whatever_the_batch(tiny_base: Base, tiny_merged: Merged, tmp_path: Path) -> None:
    prompts = [[5, 60, 7], [9] * 40, [11, 12]]
    together = greedy_of_checkpoint(tiny_merged.folder, prompts, 5)
    assert together == [greedy_of_checkpoint(tiny_merged.folder, [prompt], 5)[0] for prompt in prompts]
    assert [len(ids) for ids in together] == [5, 5, 5]
    ending = tmp_path / "ending"
    shutil.copytree(tiny_merged.folder, ending)
    change_end(ending, "<|im_end|>", together[0][1])
    first = together[0].index(together[0][1])
    assert greedy_of_checkpoint(ending, prompts, 5)[0] == together[0][: first + 1]


@pytest.fixture
def made(tmp_path: Path, tiny_base: Base, tiny_corpus: Corpus, tiny_adapter: Adapter, tiny_merged: Merged) -> Quantized:
    """A quantized model in a store of its own (the merged one again), with all that it was made of."""
    store = ArtifactStore(tmp_path / "store")
    for artifact in (tiny_base, tiny_corpus, tiny_adapter, tiny_merged):
        shutil.copytree(artifact.folder, store.root / artifact.kind / artifact.folder.name)

    def fill(folder: Path) -> None:
        shutil.copytree(tiny_merged.folder, folder, ignore=shutil.ignore_patterns(MANIFEST), dirs_exist_ok=True)

    return store.build(Quantized, fill, inputs={"merged": tiny_merged.digest}, section=None, code="")


def store_of(artifact: Artifact) -> ArtifactStore:
    return ArtifactStore(artifact.folder.parents[1])


def test_what_a_release_was_made_of_is_found_again(made: Quantized, tiny_adapter: Adapter, tiny_base: Base) -> None:
    found = Lineage.of(store_of(made), made.digest)
    assert (found.adapter.digest, found.base.digest) == (tiny_adapter.digest, tiny_base.digest)
    (found.adapter.folder / "loss.jsonl").write_text("{}", encoding="utf-8")
    with pytest.raises(BadInput, match="has changed"):
        Lineage.of(store_of(made), made.digest)
    shutil.rmtree(found.adapter.folder)
    gone = rf"no adapter artifact {tiny_adapter.digest[:12]} .* release the recipe"
    with pytest.raises(EnvironmentLacks, match=gone):
        Lineage.of(store_of(made), made.digest)


def test_a_candidate_that_is_served_another_prompt_is_refused(
    made: Quantized, oracle: Oracle, small_shop: Path, small_recipe: Path
) -> None:
    store, shop, recipe = store_of(made), Shop.open(small_shop), Recipe.read(small_recipe)
    held_out = store.build(Corpus, lambda folder: (folder / "held_out.jsonl").touch(), inputs={}, section=None, code="")
    oracle.edit = lambda text: text.replace(*NEWLINE)
    found = parity_check(evaluate(store, made, shop, recipe, held_out))
    (reason,) = checks(Evidence(checks=(found,)), recipe.gate.model_copy(update={"checks": ()})).reasons
    assert f"parity: {found.failed} of {found.cases} failed: en, thinking off, no tools, turn 1: token" in reason
    assert "served" in reason

    asked = {"parity": {"prompts": 53, "reasons": []}}
    fine = parity_check(store.build(Report, lambda folder: asked, inputs={}, section=None, code=""))
    assert (fine.cases, fine.failed) == (53, 0)


ReleaseOf = Callable[..., Release]


@pytest.fixture
def release_of(kefu_home: Path) -> ReleaseOf:
    """A release of a checkpoint folder, not evaluated; `quantized` is the digest of what it claims to carry."""

    def make(model: Path, quantized: str = "unknown") -> Release:
        def fill(folder: Path) -> None:
            shutil.copytree(model, folder / "model", ignore=shutil.ignore_patterns(MANIFEST))
            shutil.copytree(SHOP.folder / "prompts", folder / "prompts")
            shutil.copy(SHOP.folder / "tools.json", folder)
            shutil.copy(RECIPES / "qwen3-tiny.yaml", folder / "recipe.yaml")
            info = ReleaseInfo(
                name="tiny",
                purpose="mechanics",
                languages=("en",),
                numeric_path="bf16",
                model_names=("kefu",),
                created="now",
            )
            (folder / "release.json").write_text(info.model_dump_json(), encoding="utf-8")

        store = ArtifactStore(kefu_home / "artifacts")
        return store.build(Release, fill, inputs={"quantized": quantized}, section=None, code="")

    return make


def test_the_command_names_what_is_gone(
    registry: Registry, oracle: Oracle, release_of: ReleaseOf, tiny_merged: Merged
) -> None:
    release = release_of(tiny_merged.folder)
    run = CliRunner().invoke(app, ["parity", "--model", str(release.folder), "--json"])
    body = json.loads(run.stdout)
    assert (run.exit_code, body["passed"], body["token_ids_equal"], body["reasons"]) == (3, False, True, [])
    assert (body["prompts"], body["labels_equal"]) == (40, {}) and "no quantized artifact" in body["missing"][0]

    oracle.edit = lambda text: text.replace(*NEWLINE)
    run = CliRunner().invoke(app, ["parity", "--model", str(release.folder), "--json"])
    body = json.loads(run.stdout)
    assert (run.exit_code, body["passed"], body["token_ids_equal"]) == (1, False, False)
    assert "released:" in body["reasons"][0] and "served:" in body["reasons"][0]


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_real_engine_reads_the_same_and_faults_in_it_are_caught(
    release_of: ReleaseOf, kefu_home: Path, tmp_path: Path
) -> None:
    recipe, store = Recipe.read(RECIPES / "qwen3-tiny.yaml"), ArtifactStore(kefu_home / "artifacts")
    base = prepare_base(store, recipe.base)
    corpus = prepare(store, SHOP, recipe, base, sift_sources(store, SHOP, recipe))
    adapter = train(store, corpus, base, recipe.train, lambda _step, _figures: None)
    quantized = quantize(store, merge(store, base, adapter), recipe.quantize)
    release = release_of(quantized.folder, quantized.digest)
    found = check_parity(store, release, labels=10)
    assert found.token_ids_equal and found.sides == ("trained", "released", "served")
    assert found.prompts == len(conversations(release.prompts, release.tools)) + len(trained_rows(corpus)) + 10
    rates = {pair.sides: pair.rate for pair in found.agreements}
    assert rates["dequantized", "served"] >= 0.9  # the same random weights: other kernels alone
    assert not found.passed and all("labels" in reason for reason in found.reasons)  # too few, and noise

    faulty = tmp_path / "faulty"
    shutil.copytree(release.model, faulty)
    edit_template(faulty)
    change_end(faulty, "<|endoftext|>", 0)
    cases = conversations(release.prompts, release.tools)
    reading = read(cases, base.folder, release.model)
    with running_engine(faulty, release.recipe.serve, served_names=["m"], log=tmp_path / "log") as engine:
        heard = with_engine(reading, engine.base_url, "m", 16)
    equal, reasons = verdict(heard)
    assert not equal and r"released: 198 in" in reasons and "the running engine writes on after token" in reasons
