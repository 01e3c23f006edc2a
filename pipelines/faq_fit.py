"""The fitted verifier of a shop's FAQ as one artifact: weights, trees, thresholds, vectors, and what its check found.

It takes a minute on two cores, so that it is a command of its own (`kefu faq fit`); a release takes along what is there. The
shop's frozen pairs are asked at the end; they choose nothing, they only open or close the matches (`serving/faq_opening.py`).

    DIGEST/verifier.json  forest.safetensors  vectors.safetensors
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.artifact import Artifact, ArtifactStore, code_digest, file_digest, home, json_digest, write_json
from data.errors import EnvironmentLacks
from data.schema import FaqEntry
from data.shop import Shop
from pipelines.faq_check import FaqCheck, matcher_of
from pipelines.faq_learning import fit
from serving.embedder import Embedder, configured_embedder
from serving.faq_cache import Matcher
from serving.faq_opening import FOLDER
from serving.faq_reading import WORDS
from serving.faq_verifier import (
    FOREST,
    VECTORS,
    VERIFIER,
    Fitted,
    Verifier,
    read_fitted,
    read_forest,
    read_vectors,
    texts_of,
)

_MODULES = (
    "faq_cache", "faq_evidence", "faq_guards", "faq_library", "faq_reading", "faq_verifier", "embedder", "forest",
    "normalization",
)  # fmt: skip
_CODE = (
    "pipelines.faq_fit",
    "pipelines.faq_learning",
    "pipelines.faq_check",
    "evals.statistics",
    "data.pii.structured",
    *(f"serving.{name}" for name in _MODULES),
)


class FaqFit(Artifact):
    """A fitted verifier and the vectors of all that it compares with."""

    kind = "faq"


def fit_faq(store: ArtifactStore, shop: Shop, embedder: Embedder | None = None) -> FaqFit | None:
    """The fitted verifier of a shop, from disk where nothing changed; None without calibration or embedder.

    Raises:
        BadInput: the FAQ or its calibration is malformed.
        EnvironmentLacks: the embedder is an endpoint, and it does not answer.
    """
    if not shop.faq_calibration:
        return None
    try:
        embedder = embedder or configured_embedder()
    except EnvironmentLacks:
        return None
    return store.build(FaqFit, lambda folder: _fill(folder, shop, embedder), **_identity(shop, embedder))


def fitted_faq(store: ArtifactStore, shop: Shop, embedder: Embedder | None = None) -> FaqFit | None:
    """What `fit_faq` made of this very shop with this embedder, if it is on disk: a release takes it along and fits nothing.

    Raises:
        BadInput: the FAQ or its calibration is malformed.
    """
    if not shop.faq_calibration:
        return None
    try:
        return store.find(FaqFit, **_identity(shop, embedder or configured_embedder()))
    except EnvironmentLacks:
        return None


def _identity(shop: Shop, embedder: Embedder) -> dict[str, Any]:
    """What tells one fit from another: the digests of all that it reads, and of its code."""
    return {"inputs": {**_inputs(shop), "embedder": embedder.name}, "section": None, "code": code_digest(*_CODE)}


def _inputs(shop: Shop) -> dict[str, str]:
    files = {name: shop.folder / name for name in ("faq.yaml", "faq_calibration.jsonl")}
    files |= {path.name: path for path in sorted(shop.cases.glob("faq_pairs*.jsonl"))}
    return {
        "faq": json_digest({name: file_digest(path) for name, path in files.items() if path.is_file()}),
        "words": file_digest(WORDS),
    }


def _fill(folder: Path, shop: Shop, embedder: Embedder) -> Mapping[str, Any]:
    from safetensors.numpy import save_file

    entries, calibration = shop.faq, shop.faq_calibration
    texts = texts_of(entries, calibration)
    vectors = {
        text: row.astype(np.float16).astype(np.float32) for text, row in zip(texts, embedder.embed(texts), strict=True)
    }
    verifier = fit(entries, calibration, vectors, embedder.name)
    fitted, pairs = verifier.fitted, shop.faq_pairs()
    if pairs:
        check = FaqCheck.of(pairs, entries, matcher_of(entries, verifier, vectors, embedder))
        fitted = fitted.model_copy(update={"figures": check.figures})
    save_file(verifier.forest.arrays(), folder / FOREST)
    save_file({"vectors": np.stack([vectors[text] for text in texts]).astype(np.float16)}, folder / VECTORS)
    write_json(folder / VERIFIER, fitted.model_dump(mode="json"))
    found = fitted.figures.model_dump() if fitted.figures else None
    return {"open": fitted.open, "figures": found, "cross_validated": fitted.cross_validated.model_dump()}


@dataclass(frozen=True)
class FaqUnderCheck:
    """What pairs are asked of: entries, a matcher (None: exact hits alone), and what is to be said about it."""

    entries: tuple[FaqEntry, ...]
    matcher: Matcher | None
    fitted: Fitted | None

    @classmethod
    def of_release(cls, reference: str) -> "FaqUnderCheck":
        """A release by alias, version number or folder; its matcher even where its own check closed it.

        Raises:
            BadInput: there is no such release, or its FAQ was fitted to other code.
            EnvironmentLacks: its embedder is not here.
        """
        from pipelines.registry import Registry
        from pipelines.rollout import Rollout

        release = Rollout(Registry.open()).resolve(reference).release
        folder = release.folder / FOLDER
        return cls._read(release.faq, folder if folder.is_dir() else None)

    @classmethod
    def of_shop(cls, data: Path | None) -> "FaqUnderCheck":
        """A shop, fitted now if it is not yet.

        Raises:
            BadInput: the folder is no shop, or its FAQ is malformed.
            EnvironmentLacks: it is calibrated, but no embedder is here.
        """
        shop = Shop.open(data)
        if shop.faq_calibration:
            configured_embedder()
        fitted = fit_faq(ArtifactStore(home() / "artifacts"), shop)
        return cls._read(shop.faq, fitted.folder if fitted else None)

    @classmethod
    def _read(cls, entries: tuple[FaqEntry, ...], folder: Path | None) -> "FaqUnderCheck":
        if folder is None:
            return cls(entries, None, None)
        fitted, embedder = read_fitted(folder), configured_embedder()
        if embedder.name != fitted.embedder:
            raise EnvironmentLacks(f"fitted with the embedder {fitted.embedder}, here is {embedder.name}")
        vectors = read_vectors(folder, texts_of(entries, fitted.calibration))
        verifier = Verifier(fitted, read_forest(folder))
        return cls(entries, matcher_of(entries, verifier, vectors, embedder), fitted)

    def told(self) -> dict[str, Any]:
        """Which embedder, which threshold, whether near questions are answered in service."""
        if self.fitted is None:
            return {"embedder": None, "threshold": None, "open": False}
        return {"embedder": self.fitted.embedder, "threshold": self.fitted.threshold, "open": self.fitted.open}
