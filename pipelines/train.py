"""LoRA training on rows: a corpus and a base become an adapter, repeatably.

An interrupted run continues from its last whole checkpoint, on a CPU in FP32 to the same bits. The trainer itself is in
`trainer.py`. Not covered: several GPUs.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.artifact import SCRATCH, Adapter, ArtifactStore, Base, Corpus, code_digest, write_json
from data.chat import Row
from data.errors import BadInput
from data.schema import read_jsonl
from pipelines.base_model import load_tokenizer
from pipelines.encode import Encoded, encode
from pipelines.progress import OnStep, each_step
from pipelines.screen import progress_bar
from pipelines.trainer import make_trainer
from recipes.recipe import LoraRecipe
from serving.hardware import Hardware

CODE = (  # whose change makes another adapter
    "pipelines.train",
    "pipelines.trainer",
    "pipelines.packing",
    "pipelines.encode",
    "pipelines.base_model",
    "data.chat",
    "serving.hardware",
)


def train(store: ArtifactStore, corpus: Corpus, base: Base, recipe: LoraRecipe, on_step: OnStep) -> Adapter:
    """The adapter for a corpus. `on_step(step, figures)` sees loss, learning_rate, grad_norm of every step.

    Facts: rows, dropped_too_long, tokens, trained_tokens, steps, resumed_from, trainable, final_loss, compute.

    Raises:
        BadInput: no row fits into `max_length`.
    """
    return store.build(
        Adapter,
        lambda folder: _train(folder, corpus, base, recipe, on_step),
        inputs={"corpus": corpus.digest, "base": base.digest},
        section=recipe.model_dump(mode="json"),
        code=code_digest(*CODE),
    )


def _train(folder: Path, corpus: Corpus, base: Base, recipe: LoraRecipe, on_step: OnStep) -> dict[str, Any]:
    rows, dropped = _encoded(corpus, base, recipe.max_length)
    checkpoints = folder / SCRATCH / "checkpoints"
    resumed = last_whole_checkpoint(checkpoints)
    with progress_bar("train") as move:
        trainer = make_trainer(base, rows, recipe, checkpoints, Hardware.detect(), each_step(on_step, move))
        assert len(trainer.train_dataset) == len(rows), "the trainer dropped rows"
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    _save_adapter(trainer.model, folder)
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    _write_losses(folder, history)
    trainable, _ = trainer.model.get_nb_trainable_parameters()
    return {
        "rows": len(rows),
        "dropped_too_long": dropped,
        "tokens": sum(map(len, rows)),
        "trained_tokens": sum(len(row.completion) for row in rows),
        "steps": trainer.state.global_step,
        "resumed_from": int(resumed.name.rsplit("-", 1)[1]) if resumed else 0,
        "trainable": trainable,
        "final_loss": history[-1]["loss"],
        "compute": "bfloat16" if trainer.args.bf16 else "float32",
    }


def _encoded(corpus: Corpus, base: Base, max_length: int) -> tuple[list[Encoded], int]:
    """The rows that fit and the number of those that do not: a cut row would teach a cut answer."""
    tokenizer = load_tokenizer(base.folder)
    encoded = [encode(tokenizer, row) for row in read_jsonl(corpus.folder / "train.jsonl", Row)]
    kept = [row for row in encoded if len(row) <= max_length]
    if not kept:
        shortest = min(map(len, encoded))
        raise BadInput(f"no row fits into train.max_length {max_length}: the shortest has {shortest} tokens; raise it")
    return kept, len(encoded) - len(kept)


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that loads whole; broken ones (the process was killed while writing) are removed."""
    found = folder.glob("checkpoint-*")
    for path in sorted(found, key=lambda path: int(path.name.rsplit("-", 1)[1]), reverse=True):
        if _is_whole(path):
            return path
        shutil.rmtree(path)
    return None


def _is_whole(checkpoint: Path) -> bool:
    import torch
    from safetensors.torch import load_file

    try:
        load_file(checkpoint / "adapter_model.safetensors")
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
            torch.load(checkpoint / name, map_location="cpu", weights_only=False)  # we wrote it ourselves
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except Exception:  # whatever a torn file makes its reader raise
        return False
    return bool(state["global_step"] == int(checkpoint.name.rsplit("-", 1)[1]))


def _save_adapter(model: Any, folder: Path) -> None:
    """Saves the adapter without what differs between equal runs: paths, the order of sets, a generated model card."""
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = None
    write_json(path, {key: sorted(v) if isinstance(v, list) else v for key, v in config.items()})


def _write_losses(folder: Path, history: Sequence[Mapping[str, float]]) -> None:
    """`loss.jsonl` with one line a step, and `loss.png`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kept = [{key: entry[key] for key in ("step", "loss", "learning_rate", "grad_norm")} for entry in history]
    text = "".join(json.dumps(entry) + "\n" for entry in kept)
    (folder / "loss.jsonl").write_text(text, encoding="utf-8")
    figure, axes = pyplot.subplots(figsize=(8, 4))
    axes.plot([entry["step"] for entry in kept], [entry["loss"] for entry in kept])
    axes.set(xlabel="step", ylabel="loss (nats per trained token)")
    axes.grid(alpha=0.3)
    figure.savefig(folder / "loss.png", dpi=120, bbox_inches="tight")
    pyplot.close(figure)
