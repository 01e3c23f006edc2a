"""What the stages of one release share: shop, recipe, artifact store, MLflow run; and the record of each stage.

A stage is timed, shown, and logged as a nested run; one whose artifact existed is logged as reused, with what it cost
when it was made. Not covered: the order of the stages (`pipelines/release.py`).
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from data.artifact import MANIFEST, Artifact, ArtifactStore, file_digest, home
from data.shop import Shop
from pipelines.registry import Registry, Run
from pipelines.rollout import Rollout
from pipelines.screen import screen
from recipes.recipe import Recipe
from serving.hardware import Hardware

A = TypeVar("A", bound=Artifact)
FIGURES = ("*.png", "*.html", "report.md")  # what MLflow keeps of a stage; weights travel with the release alone


@dataclass
class Stage:
    """The record of one stage. `seconds` is what it took now, `made_seconds` what its artifacts took when made."""

    name: str
    run: Run
    started: float = field(default_factory=time.time)
    seconds: float = 0.0
    made_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    reused: bool = False
    artifacts: list[Artifact] = field(default_factory=list)

    def keep(self, artifact: A) -> A:
        """Notes what the stage made or found, logs it, and hands it on."""
        manifest, kind = artifact.manifest, artifact.kind
        self.artifacts.append(artifact)
        self.made_seconds += manifest["seconds"]
        self.peak_memory_mb = max(self.peak_memory_mb, manifest["peak_memory_mb"])
        self.reused = all((a.folder / MANIFEST).stat().st_mtime < self.started for a in self.artifacts)
        self.run.params({kind: manifest["section"]})
        costs = {f"{kind}.{key}": manifest[key] for key in ("seconds", "peak_memory_mb")}
        self.run.metrics(costs | dict(_flat(artifact.facts, f"{kind}.")))
        self.run.tag(**{f"{kind}_digest": artifact.digest})
        self.run.files(*(path for pattern in FIGURES for path in sorted(artifact.folder.glob(pattern))))
        return artifact

    def reads(self, name: str, path: Path, context: str) -> None:
        """Logs a file as an input, with its digest."""
        self.run.dataset(name, file_digest(path), context, str(path))


class Job:
    """One release on its way. A plain class: Prefect looks into data classes and models that it is handed."""

    def __init__(self, recipe_path: Path, shop: Shop, registry: Registry, run: Run) -> None:
        self.recipe_path, self.shop, self.registry, self.run = recipe_path, shop, registry, run
        self.recipe = Recipe.read(recipe_path)
        self.store = ArtifactStore(home() / "artifacts")
        self.rollout = Rollout(registry)
        self.stages: dict[str, Stage] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Runs a stage: its line on the screen, its nested run, its seconds."""
        began = time.monotonic()
        with self.run.nested(name) as run:
            stage = Stage(name, run)
            screen().print(f"[dim]… {name}[/]")
            yield stage
            stage.seconds = round(time.monotonic() - began, 2)
            run.tag(reused=stage.reused)
            run.metrics({"seconds": stage.seconds})
        self.stages[name] = stage
        how = f"reused, took {stage.made_seconds:.0f} s when made" if stage.reused else f"{stage.seconds:.1f} s"
        memory = f", peak {stage.peak_memory_mb:,.0f} MB" if stage.peak_memory_mb else ""
        screen().print(f"[green]✓[/] {name:<14} {how}{memory}")

    def costs(self) -> dict[str, Any]:
        """Seconds and peak memory by stage, and which were reused."""
        return {
            "seconds": {name: stage.seconds for name, stage in self.stages.items()},
            "peak_memory_mb": {name: stage.peak_memory_mb for name, stage in self.stages.items()},
            "reused": [name for name, stage in self.stages.items() if stage.reused],
            "seconds_when_made": {name: stage.made_seconds for name, stage in self.stages.items()},
        }


@contextmanager
def opened(recipe_path: Path, data: Path | None) -> Iterator[Job]:
    """A job with its MLflow run open; input is read and checked before anything is started."""
    recipe, shop = Recipe.read(recipe_path), Shop.open(data)
    registry = Registry.open()
    tags = {"recipe": recipe.name, "purpose": recipe.purpose, "shop": shop.digest()}
    with registry.run(f"release-{recipe.name}", tags) as run:
        run.params(recipe.model_dump(mode="json"))
        run.params({"machine": _machine()})
        yield Job(recipe_path, shop, registry, run)


def _machine() -> dict[str, Any]:
    hardware = Hardware.detect()
    return {"cpu": hardware.cpu, "cores": hardware.cores, "gpu": hardware.gpu, "compute": hardware.compute_dtype}


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
