"""FP8 E4M3 by llm-compressor, without calibration data, and the proof of it from the files that were written.

Not covered: the KV cache (an engine flag) and schemes that need data.
"""

import io
import json
import re
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from data.artifact import ArtifactStore, Merged, Quantized, code_digest
from data.errors import BadInput, CheckFailed
from pipelines.base_model import load_model, load_tokenizer, save_model
from recipes.recipe import QuantizeRecipe

FP8 = "F8_E4M3"  # as safetensors headers name it; config.json names E4M3 nowhere


def quantize(store: ArtifactStore, merged: Merged, recipe: QuantizeRecipe) -> Quantized:
    """The FP8 checkpoint; facts: bytes_before, bytes_after, fp8_tensors, dtypes (tensors by type).

    Raises:
        BadInput: the block does not fit the model's shapes.
        CheckFailed: a weight that should be FP8 E4M3 is not.
    """
    return store.build(
        Quantized,
        lambda folder: _quantize(merged, recipe, folder),
        inputs={"merged": merged.digest},
        section=recipe.model_dump(mode="json"),
        code=code_digest("pipelines.quantize", "pipelines.base_model"),
    )


def _quantize(merged: Merged, recipe: QuantizeRecipe, folder: Path) -> dict[str, Any]:
    with _quiet():
        from llmcompressor import oneshot

        model = load_model(merged.folder, "bfloat16")
        expected = _linear_names(model, recipe)
        oneshot(model=model, recipe=_modifier(recipe))
        save_model(model, load_tokenizer(merged.folder), folder)
    (folder / "recipe.yaml").unlink(missing_ok=True)  # llm-compressor's own; config.json says the same
    return prove_fp8(merged.folder, folder, expected)


def _modifier(recipe: QuantizeRecipe) -> Any:
    from compressed_tensors.quantization import preset_name_to_scheme
    from llmcompressor.modifiers.quantization import QuantizationModifier

    scheme = preset_name_to_scheme(recipe.scheme, ["Linear"])
    if recipe.block is not None:
        weights = scheme.weights.model_copy(update={"block_structure": list(recipe.block)})
        scheme = scheme.model_copy(update={"weights": weights})
    return QuantizationModifier(config_groups={"group_0": scheme}, ignore=list(recipe.ignore))


def _linear_names(model: Any, recipe: QuantizeRecipe) -> list[str]:
    """The weights that must come out as FP8: of every linear layer that is not ignored."""
    import torch

    names = []
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear) or any(_matches(name, pattern) for pattern in recipe.ignore):
            continue
        rows = module.weight.shape[0]
        if recipe.block is not None and rows % recipe.block[0]:
            # engines fuse query, key and value into one matrix; a block must not reach over a seam
            raise BadInput(
                f"{name} has {rows} rows, not a multiple of quantize.block[0] = {recipe.block[0]}; "
                "choose a smaller block, such as [64, 128]"
            )
        names.append(f"{name}.weight")
    return names


def _matches(name: str, pattern: str) -> bool:
    """llm-compressor's way of naming modules: a name, or `re:` and an expression for its beginning."""
    return bool(re.match(pattern[3:], name)) if pattern.startswith("re:") else name == pattern


def prove_fp8(before: Path, after: Path, expected: list[str]) -> dict[str, Any]:
    """Reads what lies on disk: each expected weight is FP8 E4M3 with a scale; returns sizes and tensors by type.

    Raises:
        CheckFailed: naming the weights that are not.
    """
    tensors = dict(tensor_types(after))
    wrong = [f"{name}: {tensors.get(name, 'missing')}" for name in expected if tensors.get(name) != FP8]
    wrong += [f"{name}: no scale" for name in expected if f"{name}_scale" not in tensors]
    if wrong or not expected:
        raise CheckFailed(f"{after}: not FP8 E4M3: expected {len(expected)} weights as {FP8}; {'; '.join(wrong[:10])}")
    return {
        "bytes_before": _bytes(before),
        "bytes_after": _bytes(after),
        "fp8_tensors": len(expected),
        "dtypes": dict(sorted(Counter(tensors.values()).items())),
    }


def tensor_types(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and type of each tensor of a checkpoint, from the safetensors headers: eight bytes of length, then JSON."""
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        yield from ((name, entry["dtype"]) for name, entry in header.items() if name != "__metadata__")


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


@contextmanager
def _quiet() -> Iterator[None]:
    """Errors only, on standard error, while llm-compressor works: it logs to standard output and shows bars unasked."""
    stderr = sys.stderr
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        from llmcompressor import LoggerConfig, configure_logger, logger

        configure_logger(LoggerConfig(console_log_level=None))
        sink = logger.add(stderr, level="ERROR", format="{level} {message}")
        try:
            yield
        finally:
            logger.remove(sink)
