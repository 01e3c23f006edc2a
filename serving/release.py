"""A release as the endpoint reads it: one verified folder with everything that serving needs. Not covered: putting one
together and choosing one (`pipelines/registry.py`, `pipelines/rollout.py`).

    DIGEST/model/  prompts/  report/  tools.json  faq.yaml  intents.yaml  recipe.yaml  decision.json  release.json
"""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from data.artifact import Artifact
from data.chat import Prompts
from data.errors import BadInput
from data.schema import FaqEntry, Language, Strict, Taxonomy
from data.shop import Shop
from recipes.recipe import Recipe


class ReleaseInfo(Strict):
    """`release.json`: the names that the release answers to, what it may be used for, how it was evaluated."""

    name: str
    version: str | None = None
    purpose: Literal["production", "mechanics"]
    languages: tuple[Language, ...]
    numeric_path: str
    model_names: tuple[str, ...]
    created: str


class Release(Artifact):
    """The unit of rollout: weights, prompts, tool schemas, FAQ, recipe and evaluation under one digest."""

    kind = "release"

    @cached_property
    def info(self) -> ReleaseInfo:
        """What `release.json` says."""
        path = self.folder / "release.json"
        try:
            return ReleaseInfo.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise BadInput(f"{path}: not the description of a release: {error}") from error

    @cached_property
    def recipe(self) -> Recipe:
        return Recipe.read(self.folder / "recipe.yaml")

    @property
    def prompts(self) -> Prompts:
        return self._shop.prompts

    @property
    def taxonomy(self) -> Taxonomy:
        return self._shop.taxonomy

    @property
    def faq(self) -> tuple[FaqEntry, ...]:
        return self._shop.faq

    @cached_property
    def tools(self) -> tuple[dict[str, Any], ...]:
        """The schemas of the tools that the recipe serves, in its order.

        Raises:
            BadInput: the recipe serves a tool that `tools.json` does not hold.
        """
        known, wanted = self._shop.tools, self.recipe.serve.tools
        missing = [name for name in wanted if name not in known]
        if missing:
            raise BadInput(
                f"{self.folder}: no schema for {', '.join(missing)} in tools.json; it has {', '.join(known)}"
            )
        return tuple(known[name] for name in wanted)

    @property
    def model(self) -> Path:
        """The folder of the quantized model, as the engine takes it."""
        return self.folder / "model"

    @cached_property
    def _shop(self) -> Shop:
        """The parts that a release shares with a shop's folder; nothing to train on, no cases."""
        return Shop(folder=self.folder, train=self.folder, cases=self.folder)
