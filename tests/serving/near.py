"""An embedder that needs no model, and a small FAQ fitted with it, for tests of near matches."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.schema import FaqCalibration, FaqEntry, write_jsonl
from data.shop import Shop
from pipelines.faq_check import matcher_of
from pipelines.faq_learning import fit
from serving.faq_cache import Matcher
from serving.faq_verifier import FOREST, VECTORS, VERIFIER, Figures, Verifier, texts_of

IDS = ("return-start", "refund-time", "shipping-fee", "coupon-get", "password-reset", "warranty", "invoice-request")
PASSED = Figures(pairs=2000, same=1000, true_hits=600, false_hits=0, hit_rate=0.6, false_hit_upper_95=0.003)


class Hashing:
    """Two and three characters each at a place of their own, by their hash."""

    name = "hashing 1"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), 128), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for size in (2, 3):
                for start in range(max(1, len(text) - size + 1)):
                    gram = text[start : start + size].casefold().encode()
                    row[int.from_bytes(hashlib.blake2s(gram, digest_size=2).digest()) % 128] += 1
        unit: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        return unit


@cache
def small() -> tuple[tuple[FaqEntry, ...], tuple[FaqCalibration, ...]]:
    """Seven entries of the shop in both languages, and their calibration."""
    shop = Shop.default()
    kept = tuple(entry for entry in shop.faq if entry.id in IDS)
    return kept, tuple(row for row in shop.faq_calibration if row.id in IDS)


@cache
def vectors() -> dict[str, NDArray[np.float32]]:
    """Of every text of the small FAQ."""
    texts = texts_of(*small())
    return dict(zip(texts, Hashing().embed(texts), strict=True))


@cache
def fitted() -> Verifier:
    """The small FAQ, fitted. So few questions show no bound: its threshold is 1."""
    entries, calibration = small()
    return fit(entries, calibration, vectors(), Hashing.name)


@cache
def matcher() -> Matcher:
    """The small FAQ with a threshold that lets something through."""
    lower = fitted().fitted.model_copy(update={"threshold": 0.7, "thresholds": {}})
    return matcher_of(small()[0], Verifier(lower, fitted().forest), vectors(), Hashing())


def write_small(folder: Path) -> None:
    """The small FAQ and its calibration as a shop holds them."""
    entries, calibration = small()
    listed = {"entries": [entry.model_dump() for entry in entries]}
    (folder / "faq.yaml").write_text(json.dumps(listed), encoding="utf-8")
    write_jsonl(folder / "faq_calibration.jsonl", calibration)


def write_fitted(folder: Path, figures: Figures | None = PASSED) -> None:
    """The small FAQ as a release holds it: `faq.yaml` and `faq/`."""
    from safetensors.numpy import save_file

    entries, calibration = small()
    (folder / "faq.yaml").write_text(
        json.dumps({"entries": [entry.model_dump() for entry in entries]}), encoding="utf-8"
    )
    shutil.rmtree(folder / "faq", ignore_errors=True)
    (folder / "faq").mkdir()
    text = matcher().verifier.fitted.model_copy(update={"figures": figures}).model_dump_json()
    (folder / "faq" / VERIFIER).write_text(text, encoding="utf-8")
    save_file(matcher().verifier.forest.arrays(), folder / "faq" / FOREST)
    rows = np.stack([vectors()[text] for text in texts_of(entries, calibration)])
    save_file({"vectors": rows.astype(np.float16)}, folder / "faq" / VECTORS)
