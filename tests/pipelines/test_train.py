"""Training: the ids of serving, the plain loss, repeatable and resumable to the bit."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from data.artifact import SCRATCH, Adapter, ArtifactStore, Base, Corpus
from data.chat import SPECIAL_TOKENS, Row, render
from data.errors import BadInput
from pipelines import trainer as trainer_module
from pipelines.base_model import load_model, load_tokenizer, prepare_base
from pipelines.encode import encode
from pipelines.merge import merge
from pipelines.train import last_whole_checkpoint, train
from pipelines.trainer import IGNORED, make_trainer
from recipes.recipe import FolderBase, LoraRecipe
from serving.hardware import Hardware
from tests.pipelines.tiny import LORA, make_checkpoint, make_corpus, tiny_rows

FP32 = replace(Hardware.detect(), gpu=None, amx=False, avx512_bf16=False)  # exact enough to compare gradients


def nothing(step: int, figures: Mapping[str, float]) -> None:
    """Nobody looks."""


@pytest.mark.parametrize("row", tiny_rows()[-3:], ids=lambda row: row.task)
def test_the_trainer_sees_the_ids_of_serving(tiny_base: Base, row: Row) -> None:
    tokenizer = load_tokenizer(tiny_base.folder)
    encoded = encode(tokenizer, row)
    prompt = render(tokenizer, row.messages, tools=row.tools, thinking=row.thinking)
    example = trainer_module._example(encoded)

    assert encoded.prompt == tokenizer(prompt, add_special_tokens=False)["input_ids"]
    assert encoded.completion[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(encoded.prompt + encoded.completion[:-1]) == prompt + row.completion
    assert example["input_ids"] == encoded.prompt + encoded.completion
    assert example["labels"] == [IGNORED] * len(encoded.prompt) + encoded.completion


@pytest.mark.parametrize("scored_at_once", [512, 7], ids=["scored whole", "scored in parts"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("tokens_at_once", [1, 300, 10**6], ids=["by row", "in passes", "whole"])
def test_a_step_has_the_plain_loss_and_the_plain_gradients(
    tiny_base: Base,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tokens_at_once: int,
    checkpointing: bool,
    scored_at_once: int,
) -> None:
    monkeypatch.setattr(trainer_module, "SCORED_AT_ONCE", scored_at_once)
    recipe = LORA.model_copy(update={"tokens_at_once": tokens_at_once, "gradient_checkpointing": checkpointing})
    ours, plain = a_step_and_the_plain_one(tiny_base, recipe, tmp_path, FP32)

    assert ours.pop("loss").item() == pytest.approx(plain.pop("loss").item(), abs=1e-4)
    for name, gradient in plain.items():
        torch.testing.assert_close(ours[name], gradient, atol=1e-5, rtol=1e-3, msg=name)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("hardware", [FP32, replace(FP32, avx512_bf16=True)], ids=["fp32", "bf16"])
def test_so_it_is_for_every_architecture_and_type(tmp_path: Path, kind: str, hardware: Hardware) -> None:
    checkpoint = make_checkpoint(tmp_path / kind, kind=kind)
    base = prepare_base(ArtifactStore(tmp_path), FolderBase(kind="folder", path=checkpoint))
    ours, plain = a_step_and_the_plain_one(base, LORA, tmp_path, hardware)

    rounding = 1e-4 if hardware is FP32 else 2e-2  # of the whole: BF16 has 8 bits, and the two sum in another order
    for name, value in plain.items():
        assert torch.linalg.vector_norm(ours[name] - value) <= rounding * torch.linalg.vector_norm(value), name


def a_step_and_the_plain_one(
    base: Base, recipe: LoraRecipe, folder: Path, hardware: Hardware
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The loss and the gradients of one batch by the trainer, and by Transformers on the padded batch."""
    tokenizer = load_tokenizer(base.folder)
    rows = [encode(tokenizer, row) for row in tiny_rows()]
    trainer = make_trainer(base, rows, recipe, folder, hardware)
    model = trainer.model.train()
    if recipe.gradient_checkpointing:  # as the trainer does when it starts
        model.gradient_checkpointing_enable()
    assert model.get_base_model().is_gradient_checkpointing == recipe.gradient_checkpointing
    for parameter in model.parameters():  # B starts at zero; move everything off its start
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(10, 20)])

    model.zero_grad()
    ours = {"loss": trainer.training_step(model, dict(batch))} | _gradients(model)
    model.zero_grad()
    model.get_base_model().set_attn_implementation("sdpa")
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=hardware.compute_dtype == "bfloat16"):
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), batch["labels"][:, 1:].flatten())
    loss.backward()
    return ours, {"loss": loss.detach()} | _gradients(model)


def _gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["bloom", "mamba", "qwen3_next"])
def test_a_base_whose_rows_would_see_each_other_is_refused(
    tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    layers = {"layer_types": ["linear_attention"] * 2} if kind == "qwen3_next" else {}
    config = AutoConfig.for_model(kind, vocab_size=64, hidden_size=32, num_hidden_layers=2, **layers)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    monkeypatch.setattr(trainer_module, "load_model", lambda *_: model)

    with pytest.raises(BadInput, match=f"{kind} cannot be trained"):
        make_trainer(tiny_base, [], LORA, tmp_path, FP32)


def test_an_adapter_is_trained_and_accounted_for(tiny_adapter: Adapter) -> None:
    losses = [json.loads(line) for line in (tiny_adapter.folder / "loss.jsonl").read_text().splitlines()]

    assert [entry["step"] for entry in losses] == list(range(1, tiny_adapter.facts["steps"] + 1))
    assert losses[-1]["loss"] < 0.9 * losses[0]["loss"]
    assert tiny_adapter.facts["rows"] == len(tiny_rows())
    assert tiny_adapter.facts["dropped_too_long"] == 0
    assert {path.name for path in tiny_adapter.folder.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "loss.jsonl", "loss.png", "manifest.json",
    }  # fmt: skip


def test_the_rows_of_new_tokens_are_trained(tiny_adapter: Adapter, tiny_base: Base) -> None:
    from safetensors.torch import load_file

    tensors = load_file(tiny_adapter.folder / "adapter_model.safetensors")
    (rows,) = [tensor for name, tensor in tensors.items() if "token" in name]
    start = load_model(tiny_base.folder, "float32").get_input_embeddings().weight[tiny_base.facts["new_token_ids"]]

    assert (rows - start).abs().amax(dim=1).min() > 1e-3


def test_a_head_of_its_own_learns_new_tokens_too(tmp_path: Path) -> None:
    store, checkpoint = ArtifactStore(tmp_path), make_checkpoint(tmp_path / "untied", tied=False)
    base = prepare_base(store, FolderBase(kind="folder", path=checkpoint))
    adapter = train(store, make_corpus(store, tiny_rows()), base, LORA, nothing)
    before, after = (load_model(artifact.folder, "float32") for artifact in (base, merge(store, base, adapter)))

    new = base.facts["new_token_ids"]
    written = [new[i] for i, token in enumerate(SPECIAL_TOKENS) if token in ("<tool_call>", "<think>")]
    moved = (after.lm_head.weight[written] - before.lm_head.weight[written]).abs().amax(dim=1)
    assert moved.min() > 1e-3


def test_every_step_is_reported_and_a_seed_repeats(
    tmp_path: Path, tiny_adapter: Adapter, tiny_corpus: Corpus, tiny_base: Base
) -> None:
    seen: list[tuple[int, float]] = []
    again = train(
        ArtifactStore(tmp_path),
        tiny_corpus,
        tiny_base,
        LORA,
        lambda step, figures: seen.append((step, figures["loss"])),
    )

    assert [step for step, _ in seen] == list(range(1, again.facts["steps"] + 1))
    assert again.digest == tiny_adapter.digest
    other = LORA.model_copy(update={"seed": 1})
    assert train(ArtifactStore(tmp_path), tiny_corpus, tiny_base, other, nothing).digest != again.digest


class Stopped(Exception):
    """The process ends here."""


@pytest.mark.parametrize("at", [5, 8], ids=["first epoch", "second epoch"])
def test_an_interrupted_run_continues_to_the_same_bits(
    tmp_path: Path, tiny_corpus: Corpus, tiny_base: Base, at: int
) -> None:
    recipe = LORA.model_copy(update={"dropout": 0.1})  # so that the random state counts
    whole = train(ArtifactStore(tmp_path / "whole"), tiny_corpus, tiny_base, recipe, nothing)

    def stop(step: int, figures: Mapping[str, float]) -> None:
        if step == at:
            raise Stopped

    store = ArtifactStore(tmp_path / "stopped")
    with pytest.raises(Stopped):
        train(store, tiny_corpus, tiny_base, recipe, stop)
    (checkpoints,) = (tmp_path / "stopped").glob(f"adapter/*/{SCRATCH}/checkpoints")
    last = last_whole_checkpoint(checkpoints)
    assert last is not None
    torn = checkpoints / "checkpoint-99"  # as a kill in the middle of writing leaves it
    shutil.copytree(last, torn)
    (torn / "optimizer.pt").write_bytes((torn / "optimizer.pt").read_bytes()[:100])
    resumed = train(store, tiny_corpus, tiny_base, recipe, nothing)

    assert resumed.facts["resumed_from"] == (at - 1) // 3 * 3
    assert not torn.exists()
    assert resumed.manifest["files"] == whole.manifest["files"]


def test_rows_that_are_too_long_are_dropped_and_counted(tmp_path: Path, tiny_base: Base) -> None:
    tokenizer = load_tokenizer(tiny_base.folder)
    rows = tiny_rows()
    lengths = sorted(len(encode(tokenizer, row)) for row in rows)
    recipe: LoraRecipe = LORA.model_copy(update={"max_length": lengths[-1] - 1, "epochs": 0.2})
    store = ArtifactStore(tmp_path)
    adapter = train(store, make_corpus(store, rows), tiny_base, recipe, nothing)

    assert (adapter.facts["rows"], adapter.facts["dropped_too_long"]) == (len(rows) - 1, 1)
    with pytest.raises(BadInput, match=f"the shortest has {lengths[0]} tokens"):
        train(store, make_corpus(store, rows), tiny_base, recipe.model_copy(update={"max_length": 3}), nothing)


def test_accumulated_batches_have_the_gradient_of_one(tmp_path: Path, tiny_base: Base) -> None:
    tokenizer = load_tokenizer(tiny_base.folder)
    rows = [encode(tokenizer, row) for row in tiny_rows()]

    def losses(batch_size: int, accumulation: int) -> list[float]:
        sizes = {"batch_size": batch_size, "gradient_accumulation": accumulation, "epochs": 1.0, "save_steps": 99}
        trainer = make_trainer(tiny_base, rows, LORA.model_copy(update=sizes), tmp_path, FP32)
        trainer.train()
        return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

    assert losses(2, 2) == pytest.approx(losses(4, 1), abs=1e-4)
