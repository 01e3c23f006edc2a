"""What a model got right: F1, accuracy and slices of one evaluation, with intervals.

Frozen cases alone give the figures; held-out utterances are kept beside them for the paired tests. Not covered: tool calls
(`evals/calls.py`), texts (`evals/answers.py`), holding figures against bars (`evals/gate.py`).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from data.artifact import json_digest
from data.errors import BadInput
from data.schema import Language, Strict
from evals.calibration import Calibration, calibration
from evals.calls import Schemas, ToolFigures, tool_figures
from evals.predict import Prediction, ToolPrediction
from evals.statistics import Accuracy, Indices, Interval, Values, stratified_bootstrap

OTHER = "other"  # every intent outside a gated subset
UNPARSABLE = "unparsable"  # how a missing label is called in the confusion counts
OUT_OF_SCOPE = "out_of_scope"
Group = Literal["plain", "hard"]


class Slice(Accuracy):
    """Figures over some frozen intent cases; macro-F1 is the mean over those labels that have cases there."""

    macro_f1: float
    macro_f1_interval: Interval


class IntentFigures(Slice):
    """A slice in full: F1 by intent, plain against hard, every style, every series, who is taken for whom."""

    per_intent: dict[str, float]
    groups: dict[Group, Slice]
    series: dict[int, Slice]  # each by itself, where there are several
    styles: dict[str, Accuracy]  # too few cases of each intent for an F1
    confusion: dict[str, dict[str, int]]  # expected -> predicted -> cases
    micro_f1: float
    out_of_scope_recall: float | None
    out_of_scope_false_alarms: float | None  # share of the other cases that were taken for it
    calibration: Calibration | None
    unparsable: float


class Evaluation(Strict):
    """Everything about one model on one set of cases. Two are comparable where their `digests` agree."""

    model: str
    model_digest: str
    numeric_path: str
    labels: tuple[str, ...]
    digests: dict[str, str]  # intents, tools, held_out, labels: computed from the cases themselves
    offered: tuple[dict[str, Any], ...]  # the schemas of the tools that the model saw
    predictions: tuple[Prediction, ...]
    tool_predictions: tuple[ToolPrediction, ...]
    overall: IntentFigures | None
    languages: dict[Language, IntentFigures]
    tools: ToolFigures | None
    tool_languages: dict[Language, ToolFigures]
    unparsable: float  # share of all intent cases, failed requests included
    failed: int  # requests without a usable answer, tools included


def evaluate(
    *,
    model: str,
    model_digest: str,
    numeric_path: str,
    labels: Sequence[str],
    predictions: Sequence[Prediction],
    tool_predictions: Sequence[ToolPrediction] = (),
    offered: Schemas = (),
) -> Evaluation:
    """Builds the evaluation of one model from all its predictions, held-out ones (marked so) included.

    Raises:
        BadInput: a case expects an intent that is not among `labels`.
    """
    unknown = sorted({p.case.intent for p in predictions} - set(labels))
    if unknown:
        raise BadInput(f"cases expect intent(s) {', '.join(unknown)}; the taxonomy has {', '.join(labels)}")
    frozen = [p for p in predictions if not p.held_out]
    spoken: list[Language] = sorted({p.language for p in frozen})
    called: list[Language] = sorted({p.language for p in tool_predictions})
    languages = {x: intent_figures([p for p in frozen if p.language == x], labels) for x in spoken}
    by_language = {x: [p for p in tool_predictions if p.language == x] for x in called}
    return Evaluation(
        model=model,
        model_digest=model_digest,
        numeric_path=numeric_path,
        labels=tuple(labels),
        digests=case_digests(labels, predictions, tool_predictions),
        offered=tuple(dict(tool) for tool in offered),
        predictions=tuple(predictions),
        tool_predictions=tuple(tool_predictions),
        overall=intent_figures(frozen, labels) if len(spoken) > 1 else languages.get(spoken[0]) if spoken else None,
        languages=languages,
        tools=tool_figures(tool_predictions, offered) if tool_predictions else None,
        tool_languages={language: tool_figures(some, offered) for language, some in by_language.items()},
        unparsable=unparsable_share(predictions),
        failed=failed_requests(predictions) + failed_requests(tool_predictions),
    )


def case_digests(
    labels: Sequence[str], predictions: Iterable[Prediction], tool_predictions: Iterable[ToolPrediction]
) -> dict[str, str]:
    """Digests of what was asked, in order: frozen intent cases, held-out ones, tool cases, and the labels."""
    asked: dict[str, list[object]] = {"intents": [], "held_out": [], "tools": []}
    for prediction in predictions:
        asked["held_out" if prediction.held_out else "intents"].append(prediction.case.model_dump())
    asked["tools"] = [prediction.case.model_dump() for prediction in tool_predictions]
    return {name: json_digest(cases) for name, cases in asked.items()} | {"labels": json_digest(list(labels))}


def intent_figures(predictions: Sequence[Prediction], labels: Sequence[str]) -> IntentFigures:
    """All figures of some predictions (at least one), over those of `labels` that have cases among them."""
    styles = sorted({p.case.style for p in predictions})
    groups: dict[Group, list[Prediction]] = {
        "plain": [p for p in predictions if p.case.style == "plain"],
        "hard": [p for p in predictions if p.case.style != "plain"],
    }
    strange = [p.right for p in predictions if p.case.intent == OUT_OF_SCOPE]
    alarms = [p.predicted == OUT_OF_SCOPE for p in predictions if p.case.intent != OUT_OF_SCOPE]
    return IntentFigures(
        **_slice(predictions, labels).model_dump(),
        per_intent=intent_f1(predictions, labels),
        groups={name: _slice(some, labels) for name, some in groups.items() if some},
        series={number: _slice(some, labels) for number, some in by_series(predictions).items()},
        styles={style: Accuracy.of(p.right for p in predictions if p.case.style == style) for style in styles},
        confusion=_confusion(predictions),
        micro_f1=micro_f1(predictions, labels),
        out_of_scope_recall=sum(strange) / len(strange) if strange else None,
        out_of_scope_false_alarms=sum(alarms) / len(alarms) if alarms else None,
        calibration=calibration(predictions),
        unparsable=unparsable_share(predictions),
    )


def by_series(predictions: Sequence[Prediction]) -> dict[int, list[Prediction]]:
    """The predictions of each series of cases in turn; nothing where all are of one, whose figures are those of the whole."""
    numbers = sorted({p.case.series for p in predictions})
    return {n: [p for p in predictions if p.case.series == n] for n in numbers} if len(numbers) > 1 else {}


def intent_f1(predictions: Sequence[Prediction], labels: Sequence[str]) -> dict[str, float]:
    """F1 of each label that has cases, in the order of `labels`; unparsable and foreign labels are misses."""
    from sklearn.metrics import f1_score

    present = _present(predictions, labels)
    expected = [p.case.intent for p in predictions]
    predicted = [p.predicted or UNPARSABLE for p in predictions]
    scores = f1_score(expected, predicted, labels=present, average=None, zero_division=0.0)
    return {label: float(score) for label, score in zip(present, scores, strict=True)}


def micro_f1(predictions: Sequence[Prediction], labels: Sequence[str]) -> float:
    """F1 over all decisions for one of `labels` together: an unparsable or foreign answer is a miss but no false alarm, so
    that this lies above the accuracy where there are some."""
    from sklearn.metrics import f1_score

    expected = [p.case.intent for p in predictions]
    predicted = [p.predicted or UNPARSABLE for p in predictions]
    return float(f1_score(expected, predicted, labels=list(labels), average="micro", zero_division=0.0))


def macro_f1_interval(predictions: Sequence[Prediction], labels: Sequence[str]) -> Interval:
    """The bootstrap interval of macro-F1, resampled within each label and language."""
    present = _present(predictions, labels)
    codes = {label: code for code, label in enumerate(present)}
    strange = len(present)  # the code of everything that is no such label
    expected = np.array([codes[p.case.intent] for p in predictions], dtype=np.int64)
    predicted = np.array([codes.get(p.predicted or UNPARSABLE, strange) for p in predictions], dtype=np.int64)

    def macro_f1(drawn: Indices, weights: Values) -> Values:
        """Macro-F1 of every row at once: a thousand calls of scikit-learn would take seconds (a test compares)."""
        rows = np.arange(len(drawn))[:, None] * (strange + 1)
        size, heavy = rows.size * (strange + 1), np.broadcast_to(weights, drawn.shape).ravel()

        def count(of: Indices) -> Values:
            counted = np.bincount((of + rows).ravel(), heavy, size).reshape(rows.size, -1)[:, :-1]
            return np.asarray(counted, dtype=np.float64)

        wanted, given = expected[drawn], predicted[drawn]
        hits = count(np.where(wanted == given, wanted, strange))
        means: Values = (2 * hits / (count(wanted) + count(given))).mean(axis=1)
        return means

    return stratified_bootstrap([(p.case.intent, p.language) for p in predictions], macro_f1)


def collapse(predictions: Iterable[Prediction], subset: Sequence[str]) -> list[Prediction]:
    """The predictions with every intent outside `subset`, expected or predicted, called `other`."""

    def name(label: str) -> str:
        return label if label in subset else OTHER

    return [
        p.model_copy(
            update={
                "case": p.case.model_copy(update={"intent": name(p.case.intent)}),
                "predicted": None if p.predicted is None else name(p.predicted),
            }
        )
        for p in predictions
    ]


def failed_requests(predictions: Iterable[Prediction] | Iterable[ToolPrediction]) -> int:
    """How many requests ended without a usable answer."""
    return sum(p.error is not None for p in predictions)


def unparsable_share(predictions: Sequence[Prediction]) -> float:
    """The share of predictions without a label, failed requests included; 0 of none."""
    return sum(p.predicted is None for p in predictions) / len(predictions) if predictions else 0.0


def _slice(predictions: Sequence[Prediction], labels: Sequence[str]) -> Slice:
    scores = intent_f1(predictions, labels)
    return Slice(
        **Accuracy.of(p.right for p in predictions).model_dump(),
        macro_f1=sum(scores.values()) / len(scores),
        macro_f1_interval=macro_f1_interval(predictions, labels),
    )


def _present(predictions: Sequence[Prediction], labels: Sequence[str]) -> list[str]:
    expected = {p.case.intent for p in predictions}
    return [label for label in labels if label in expected]


def _confusion(predictions: Sequence[Prediction]) -> dict[str, dict[str, int]]:
    rows: dict[str, Counter[str]] = {}
    for p in predictions:
        rows.setdefault(p.case.intent, Counter())[p.predicted or UNPARSABLE] += 1
    return {expected: dict(row.most_common()) for expected, row in rows.items()}
