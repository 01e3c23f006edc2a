"""What this machine computes with, and which numeric path an FP8 checkpoint therefore takes.

A GPU multiplies FP8 by FP8 (W8A8). A CPU with AMX tiles keeps the weights in FP8 and the activations in BF16 (W8A16). Any
other CPU has no FP8 kernel in vLLM: the checkpoint's weights are dequantized once at load, to the same values, and computed
in BF16 where the CPU has it, else in FP32 (a BF16 product is emulated there, two orders of magnitude slower).
"""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

NumericPath = Literal["w8a8", "w8a16-amx", "dequantized-bf16", "dequantized-fp32", "bf16", "fp32"]


@dataclass(frozen=True)
class Hardware:
    """One reading of the machine."""

    cpu: str
    cores: int
    memory_gib: float  # available now
    amx: bool
    avx512_bf16: bool
    gpu: str | None
    gpu_memory_gib: float = 0.0

    @classmethod
    def detect(cls) -> Self:
        """Reads /proc and nvidia-smi; imports nothing heavy."""
        cpuinfo = _read(Path("/proc/cpuinfo"))
        flags = set(
            next((line.split(":", 1)[1] for line in cpuinfo.splitlines() if line.startswith("flags")), "").split()
        )
        model = next(
            (line.split(":", 1)[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name")), ""
        )
        gpu, gpu_memory = _gpu()
        return cls(
            cpu=model or platform.processor() or platform.machine(),
            cores=len(os.sched_getaffinity(0)),
            memory_gib=_available_gib(),
            amx={"amx_tile", "amx_bf16"} <= flags,
            avx512_bf16="avx512_bf16" in flags,
            gpu=gpu,
            gpu_memory_gib=gpu_memory,
        )

    @property
    def compute_dtype(self) -> Literal["bfloat16", "float32"]:
        """The fastest exact-enough type: BF16 with hardware for it, else FP32."""
        return "bfloat16" if self.gpu or self.amx or self.avx512_bf16 else "float32"

    def numeric_path(self, scheme: str | None) -> NumericPath:
        """The path of a checkpoint with this quantization scheme (None: not quantized)."""
        plain: NumericPath = "bf16" if self.compute_dtype == "bfloat16" else "fp32"
        if scheme is None:
            return plain
        if self.gpu:
            return "w8a8"
        if self.amx and scheme == "FP8_BLOCK":
            return "w8a16-amx"
        return "dequantized-bf16" if plain == "bf16" else "dequantized-fp32"

    def explain(self, path: NumericPath) -> str:
        """One sentence for the user."""
        return {
            "w8a8": "FP8 weights times FP8 activations on the GPU",
            "w8a16-amx": "FP8 weights, BF16 activations through AMX tiles",
            "dequantized-bf16": "no FP8 kernel on this CPU (no AMX): FP8 weights are dequantized to BF16 when loaded",
            "dequantized-fp32": "no FP8 kernel and no BF16 unit on this CPU: FP8 weights are dequantized when loaded and "
            "computed in FP32",
            "bf16": "BF16 weights and activations",
            "fp32": "no BF16 unit on this CPU: BF16 weights, computed in FP32",
        }[path]


def _gpu() -> tuple[str | None, float]:
    if shutil.which("nvidia-smi") is None:
        return None, 0.0
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    result = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    first = result.stdout.strip().splitlines()[:1]
    if result.returncode or not first:
        return None, 0.0
    name, memory = first[0].rsplit(",", 1)
    return name.strip(), float(memory) / 1024


def _available_gib() -> float:
    import psutil

    return float(psutil.virtual_memory().available) / 2**30


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
