"""What a checkpoint writes at temperature 0, by Transformers: the reference beside the engine.

In FP32, so that what differs is the weights; on a GPU in the engine's type, which halves the memory. Not covered: sampling, and
long answers (the cache is not paged).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from data.artifact import Adapter, Base
from data.footprint import give_back_memory
from pipelines.base_model import load_model
from serving.hardware import Hardware

BATCH = 16
Compute = Literal["bfloat16", "float32"]


def compute_dtype() -> Compute:
    """The type that checkpoints are loaded in here."""
    hardware = Hardware.detect()
    return hardware.compute_dtype if hardware.gpu else "float32"


def greedy_of_checkpoint(folder: Path, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
    """The ids that a checkpoint writes after each prompt, its end of turn included, at most `max_tokens`."""
    return _greedy(load_model(folder, compute_dtype()), prompts, max_tokens)


def greedy_of_adapter(
    base: Base, adapter: Adapter, prompts: Sequence[Sequence[int]], max_tokens: int
) -> list[list[int]]:
    """The same for an adapter upon its base, not merged."""
    from peft import PeftModel

    return _greedy(
        PeftModel.from_pretrained(load_model(base.folder, compute_dtype()), adapter.folder), prompts, max_tokens
    )


def _greedy(model: Any, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
    import torch

    on_gpu = torch.cuda.is_available()
    model = model.to("cuda" if on_gpu else "cpu").eval()
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))  # like lengths together: little padding
    written: dict[int, list[int]] = {}
    with torch.inference_mode():
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            written |= zip(batch, _batch(model, [prompts[index] for index in batch], max_tokens), strict=True)
    del model
    give_back_memory()
    if on_gpu:
        torch.cuda.empty_cache()  # the engine comes next and takes nearly all of it
    return [written[index] for index in range(len(prompts))]


def _batch(model: Any, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
    """One left-padded pass [prompts, longest]; what follows an end of turn is padding and cut off."""
    import torch

    ends = model.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])
    pad = model.generation_config.pad_token_id or 0
    longest = max(map(len, prompts))
    ids = torch.tensor([[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    found = model.generate(
        input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=max_tokens, pad_token_id=pad
    )
    return [_to_the_end(row, ends) for row in found[:, longest:].tolist()]


def _to_the_end(ids: list[int], ends: set[int]) -> list[int]:
    last = next((place for place, token in enumerate(ids) if token in ends), len(ids) - 1)
    return ids[: last + 1]
