"""The tables of a report: figures of the candidate beside its BF16 reference and the champion, slices, intents, and what
simpler ways make of the same cases.

Not covered: laying them out (`evals/report.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from data.schema import Language
from evals.baselines import Baselines
from evals.calls import ToolFigures
from evals.metrics import Evaluation, IntentFigures, Slice
from evals.statistics import Accuracy, Interval

_SHARES: tuple[tuple[str, Callable[[IntentFigures], float | None]], ...] = (
    ("out-of-scope recall", lambda figures: figures.out_of_scope_recall),
    ("taken for out-of-scope", lambda figures: figures.out_of_scope_false_alarms),
    ("unparsable labels", lambda figures: figures.unparsable),
    ("calibration error of the label", lambda figures: figures.calibration.error if figures.calibration else None),
)
_TOOL_SHARES: tuple[tuple[str, Callable[[ToolFigures], float | None]], ...] = (
    ("due calls right", lambda tools: tools.call_accuracy),
    ("right tool", lambda tools: tools.name_accuracy),
    ("restraint", lambda tools: tools.restraint),
    ("calls that fit their schema", lambda tools: tools.valid),
)
Sides = Mapping[str, Evaluation]  # a column's name -> whose figures it shows; the candidate comes first


class Line(NamedTuple):
    """One row of a table: a name, and a value for each column."""

    name: str
    values: tuple[str, ...]


def figure_lines(sides: Sides) -> list[Line]:
    """The main figures of each language, then the tools."""
    candidate = next(iter(sides.values()))
    lines = []
    for language in candidate.languages:
        found = [side.languages.get(language) for side in sides.values()]
        lines.append(_line(f"intent macro-F1, {language}", found, f1))
        lines.append(_line(f"intent accuracy, {language}", found, accuracy))
        lines.append(_line(f"intent micro-F1, {language}", found, lambda part: number(part.micro_f1)))
        for name, share in _SHARES:
            lines.append(_line(f"{name}, {language}", found, lambda part, share=share: percent(share(part))))
    for spoken, own in candidate.tool_languages.items():
        tools = [side.tool_languages.get(spoken) for side in sides.values()]
        lines.append(_line(f"tool cases right, {spoken}", tools, accuracy))
        for name, of in _TOOL_SHARES:
            lines.append(_line(f"{name}, {spoken}", tools, lambda part, of=of: percent(of(part))))
        for name in own.arguments:
            parts = [part.arguments.get(name) if part else None for part in tools]
            lines.append(_line(f"{name} right, {spoken}", parts, accuracy))
    failed = tuple(str(side.failed) for side in sides.values())
    return [*lines, Line("requests without a usable answer", failed)]


def slice_lines(sides: Sides) -> list[Line]:
    """Plain and hard cases and each series with F1, then every style by accuracy."""
    candidate = next(iter(sides.values()))
    lines = []
    for language, own in candidate.languages.items():
        found = [side.languages.get(language) for side in sides.values()]
        for group in own.groups:
            parts = [part.groups.get(group) if part else None for part in found]
            lines.append(_line(f"{language}, {group}: macro-F1", parts, f1))
        for series in own.series:
            parts = [part.series.get(series) if part else None for part in found]
            lines.append(_line(f"{language}, series {series}: macro-F1", parts, f1))
        for style in own.styles:
            styles = [part.styles.get(style) if part else None for part in found]
            lines.append(_line(f"{language}, {style}: accuracy", styles, accuracy))
    return lines


def intent_lines(sides: Sides) -> list[Line]:
    """F1 of each intent and language."""
    candidate = next(iter(sides.values()))
    lines = []
    for language, own in candidate.languages.items():
        found = [side.languages.get(language) for side in sides.values()]
        for label in own.per_intent:
            scores = [part.per_intent.get(label) if part else None for part in found]
            lines.append(_line(f"{label}, {language}", scores, number))
    return lines


def ladder(sides: Sides, baselines: Baselines) -> list[Line]:
    """Macro-F1 by language (the columns), from the simplest way to the candidate: what tuning and quantizing bought."""
    spoken = list(next(iter(sides.values())).languages)
    steps: list[tuple[str, Mapping[Language, Slice]]] = [*baselines.items()]
    steps += [(f"{name}: {side.model}", side.languages) for name, side in reversed([*sides.items()])]
    return [_line(name, [by_language.get(x) for x in spoken], f1) for name, by_language in steps]


def beaten(candidate: Evaluation, baselines: Baselines) -> list[str]:
    """Where a simpler way does better than the candidate."""
    return [
        f"{name} labels {language} better than the candidate: {figures.macro_f1:.3f} against {own.macro_f1:.3f}"
        for name, by_language in baselines.items()
        for language, figures in by_language.items()
        if (own := candidate.languages.get(language)) is not None and figures.macro_f1 > own.macro_f1
    ]


def f1(part: Slice) -> str:
    """Macro-F1 with its interval and the number of cases."""
    return f"{part.macro_f1:.3f} {_range(part.macro_f1_interval)}, n={part.cases}"


def accuracy(part: Accuracy) -> str:
    """A share with its interval and the number of cases."""
    return f"{part.accuracy:.3f} {_range(part.accuracy_interval)}, n={part.cases}"


def percent(value: float | None) -> str:
    """A share in per cent, or a dash."""
    return "–" if value is None else f"{100 * value:.1f} %"


def number(value: float) -> str:
    """Three digits."""
    return f"{value:.3f}"


def _line(name: str, parts: Sequence[object], shown: Callable[..., str]) -> Line:
    return Line(name, tuple("–" if part is None else shown(part) for part in parts))


def _range(interval: Interval) -> str:
    return f"({interval.lower:.3f} to {interval.upper:.3f})"
