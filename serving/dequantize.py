"""FP8 checkpoints for engines without an FP8 kernel: the same weights, multiplied out once and kept beside the artifacts.

What is stored equals FP8 value times scale, rounded to the type that the engine computes in, so the quantization error that
the gate measured is the error that is served. Activations stay unquantized on this path. Not covered: anything but
compressed-tensors `float-quantized` checkpoints.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from data.artifact import Artifact, ArtifactStore, code_digest, folder_files, json_digest
from data.errors import BadInput


class Dequantized(Artifact):
    """An ordinary checkpoint with the values of a quantized one."""

    kind = "dequantized"


def quantization_scheme(model: Path) -> str | None:
    """`FP8_BLOCK` or `FP8_DYNAMIC` of a checkpoint folder, or None if it is not quantized.

    Raises:
        BadInput: the folder has no readable config.json, or is quantized in another way.
    """
    try:
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{model}: no readable config.json; expected a Transformers checkpoint folder") from error
    quantization = config.get("quantization_config")
    if quantization is None:
        return None
    if quantization.get("format") != "float-quantized":
        raise BadInput(f"{model}: quantized as {quantization.get('format')!r}; expected float-quantized (FP8)")
    strategy = next(iter(quantization["config_groups"].values()))["weights"]["strategy"]
    return "FP8_BLOCK" if strategy == "block" else "FP8_DYNAMIC"


def dequantized(store: ArtifactStore, model: Path, dtype: str) -> Dequantized:
    """The checkpoint `model` with every FP8 weight multiplied out to `dtype` (bfloat16 or float32), made once."""
    return store.build(
        Dequantized,
        lambda folder: _dequantize(model, folder, dtype),
        inputs={"model": json_digest(folder_files(model))},
        section={"dtype": dtype},
        code=code_digest("serving.dequantize"),
    )


def _dequantize(model: Path, folder: Path, dtype: str) -> dict[str, Any]:
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    for path in model.iterdir():
        if path.is_file() and path.suffix not in (".safetensors", ".lock") and path.name != "manifest.json":
            shutil.copy(path, folder)
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    group = next(iter(config.pop("quantization_config")["config_groups"].values()))
    block = group["weights"].get("block_structure") or (1, None)
    config["dtype"] = dtype
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    count = 0
    for shard in sorted(model.glob("*.safetensors")):
        tensors = {}
        with safe_open(shard, framework="pt") as file:
            names = set(file.keys())
            for name in sorted(names):
                if name.endswith(("weight_scale", "input_scale")):
                    continue
                tensor = file.get_tensor(name)
                if tensor.dtype == torch.float8_e4m3fn:
                    tensor = _multiply(tensor, file.get_tensor(f"{name}_scale"), block)
                    count += 1
                tensors[name] = tensor.to(getattr(torch, dtype)).contiguous()
        save_file(tensors, folder / shard.name, metadata={"format": "pt"})
    index = folder / "model.safetensors.index.json"
    if index.exists():
        content = json.loads(index.read_text(encoding="utf-8"))
        content["weight_map"] = {k: v for k, v in content["weight_map"].items() if not k.endswith("_scale")}
        index.write_text(json.dumps(content), encoding="utf-8")
    return {"dequantized_tensors": count}


def _multiply(weight: Any, scale: Any, block: tuple[int, int | None]) -> Any:
    """`weight` [rows, columns] in FP8 times its scales [ceil(rows/block), ceil(columns/block)] (or [rows, 1]), in FP32."""
    rows, columns = weight.shape
    expanded = scale.float().repeat_interleave(block[0], 0)[:rows]
    if block[1] is not None:
        expanded = expanded.repeat_interleave(block[1], 1)[:, :columns]
    return weight.float() * expanded
