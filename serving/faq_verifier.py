"""The judgement that reads both questions: whether an entry's answer, sent as it stands, answers the question asked.

A logistic model and a forest over the evidence, with a threshold for all entries and stricter ones for some, fitted in
the release and kept as plain JSON and arrays, beside the vectors of everything that the entries are known by. An
objection outweighs any probability. Not covered: fitting it (`pipelines/faq_fit.py`).

    FOLDER/verifier.json  forest.safetensors  vectors.safetensors
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors.numpy import load_file

from data.artifact import file_digest
from data.errors import BadInput
from data.schema import FaqCalibration, FaqEntry, Language, Strict
from serving.faq_evidence import FEATURES, Evidence
from serving.faq_library import Anchor, Library, Role
from serving.faq_reading import WORDS, reading
from serving.forest import Forest

VERIFIER, FOREST, VECTORS = "verifier.json", "forest.safetensors", "vectors.safetensors"
FALSE_HITS = 0.005  # the bar: how often a question with another answer may be answered, at 95 % confidence
HIT_RATE = 0.4  # the bar: how many paraphrases must be answered


class Figures(Strict):
    """What a check found: `pairs` asked, hits right and wrong, and the one-sided 95 % upper bound on wrong ones."""

    pairs: int
    same: int
    true_hits: int
    false_hits: int
    hit_rate: float
    false_hit_upper_95: float

    @property
    def passed(self) -> bool:
        """Whether both bars are met."""
        return self.hit_rate >= HIT_RATE and self.false_hit_upper_95 <= FALSE_HITS


class Fitted(Strict):
    """`verifier.json`. `figures` are those of the shop's frozen pairs; without passing ones nothing near is a hit."""

    embedder: str
    words: str  # the digest of `faq_words.yaml`
    features: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    threshold: float
    thresholds: dict[str, float]  # by `id language`; stricter than `threshold`
    calibration: tuple[FaqCalibration, ...]
    cross_validated: Figures
    figures: Figures | None = None

    @property
    def open(self) -> bool:
        """Whether near questions may be answered at all: wrong answers are rare enough. Few right ones do no harm."""
        return self.figures is not None and self.figures.false_hit_upper_95 <= FALSE_HITS


@dataclass(frozen=True)
class Verdict:
    """The judgement on one candidate."""

    entry: FaqEntry
    probability: float
    objections: tuple[str, ...]
    hit: bool


class Verifier:
    """Judges candidates as fitted."""

    def __init__(self, fitted: Fitted, forest: Forest) -> None:
        self.fitted, self.forest = fitted, forest
        self._mean, self._scale = np.array(fitted.mean), np.array(fitted.scale)
        self._weights = np.array(fitted.weights)

    def judge(self, candidates: Sequence[Evidence]) -> list[Verdict]:
        """The verdicts, most probable first."""
        if not candidates:
            return []
        rows = np.array([one.features for one in candidates])
        logits = ((rows - self._mean) / self._scale) @ self._weights + self.fitted.bias
        probabilities = united(
            1 / (1 + np.exp(-np.clip(logits, -50, 50))), self.forest.probability(rows.astype(np.float32))
        )
        found = []
        for one, probability in zip(candidates, probabilities.tolist(), strict=True):
            hit = not one.objections and probability >= self.threshold(one.entry)
            found.append(Verdict(one.entry, probability, one.objections, hit))
        return sorted(found, key=lambda verdict: (-verdict.probability, verdict.entry.id))

    def threshold(self, entry: FaqEntry) -> float:
        """The probability that a hit on this entry needs."""
        return max(self.fitted.threshold, self.fitted.thresholds.get(key(entry), 0.0))


def united(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two models' probabilities as one: the mean of their logits, neither of which may be quite certain."""
    logits = [np.log(np.clip(p, 1e-3, 1 - 1e-3)) - np.log1p(-np.clip(p, 1e-3, 1 - 1e-3)) for p in (one, other)]
    joined: NDArray[np.float64] = 1 / (1 + np.exp(-(logits[0] + logits[1]) / 2))
    return joined


def key(entry: FaqEntry | FaqCalibration) -> str:
    """The key of an entry in what was fitted."""
    return f"{entry.id} {entry.language}"


def anchors(entry: FaqEntry, entries: Sequence[FaqEntry], calibration: Sequence[FaqCalibration]) -> list[Anchor]:
    """All that an entry is known by, in a fixed order."""
    rows = [row for row in calibration if key(row) == key(entry)]
    foreign = [other for other in entries if other.id == entry.id and other.language != entry.language]
    texts: list[tuple[Role, str]] = [("listed", text) for text in (entry.question, *entry.questions)]
    texts += [("answer", entry.answer)]
    texts += [("paraphrase", text) for row in rows for text in row.paraphrases]
    texts += [("negative", text) for row in rows for text in row.hard_negatives]
    texts += [("foreign", text) for other in foreign for text in (other.question, *other.questions)]
    return [Anchor(text, role, reading(text)) for role, text in texts]


def libraries(
    entries: Sequence[FaqEntry], calibration: Sequence[FaqCalibration], vectors: dict[str, NDArray[np.float32]]
) -> dict[Language, Library]:
    """The entries by language, as they are compared; `vectors` by text."""
    found: dict[Language, Library] = {}
    for language in sorted({entry.language for entry in entries}):
        own = [entry for entry in entries if entry.language == language]
        known = [anchors(entry, entries, calibration) for entry in own]
        rows = [np.stack([vectors[anchor.text] for anchor in of]) for of in known]
        listed = [vectors[a.text] for of in known for a in of if a.role == "listed"]
        found[language] = Library(language, own, known, rows, np.mean(listed, axis=0))
    return found


def texts_of(entries: Sequence[FaqEntry], calibration: Sequence[FaqCalibration]) -> list[str]:
    """Every text that needs a vector, each once, in a fixed order."""
    return list(dict.fromkeys(a.text for entry in entries for a in anchors(entry, entries, calibration)))


def read_fitted(folder: Path) -> Fitted:
    """What a release's FAQ was fitted to.

    Raises:
        BadInput: it is missing, damaged, or of another list of concepts or features than this code's.
    """
    path = folder / VERIFIER
    try:
        fitted = Fitted.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BadInput(f"{path} is no verifier: {error}") from error
    if fitted.features != FEATURES or fitted.words != file_digest(WORDS):
        raise BadInput(f"{path} was fitted to other features or words than this code has; release the FAQ again")
    return fitted


def read_forest(folder: Path) -> Forest:
    """The forest of a fitted verifier.

    Raises:
        BadInput: it is missing or damaged.
    """
    path = folder / FOREST
    try:
        return Forest.of(load_file(path))
    except Exception as error:  # the library raises its own
        raise BadInput(f"{path} holds no forest: {error}") from error


def read_vectors(folder: Path, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """The vectors of `texts`, as `texts_of` orders them.

    Raises:
        BadInput: the file is missing, damaged or holds another number of them.
    """
    path = folder / VECTORS
    try:
        rows = load_file(path)["vectors"].astype(np.float32)
    except Exception as error:  # the library raises its own
        raise BadInput(f"{path} holds no vectors: {error}") from error
    if len(rows) != len(texts):
        raise BadInput(f"{path} holds {len(rows)} vectors, expected {len(texts)}; release the FAQ again")
    return dict(zip(texts, rows, strict=True))
