"""The report of one evaluation: a self-contained HTML page, the same in Markdown, plots, and the evaluations as JSON.

    report.html  report.md  confusion_LANGUAGE.png  evaluation.json  reference.json  decision.json

Not covered: computing figures (`evals/metrics.py`) and deciding (`evals/gate.py`); plots are in `evals/plots.py`.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.artifact import write_json
from data.schema import Function
from evals.baselines import Baselines
from evals.calls import ToolFigures
from evals.decision import Decision
from evals.metrics import UNPARSABLE, Evaluation, IntentFigures, Slice
from evals.plots import confusion_png, intent_bars_svg
from evals.statistics import Accuracy, Interval

TEMPLATES = Path(__file__).resolve().parent / "templates"
WORST = 20
SHOWN = 300  # characters of a text


_SHARES: tuple[tuple[str, Callable[[IntentFigures], float | None]], ...] = (
    ("out-of-scope recall", lambda figures: figures.out_of_scope_recall),
    ("taken for out-of-scope", lambda figures: figures.out_of_scope_false_alarms),
    ("unparsable labels", lambda figures: figures.unparsable),
)
_TOOL_SHARES: tuple[tuple[str, Callable[[ToolFigures], float | None]], ...] = (
    ("due calls right", lambda tools: tools.call_accuracy),
    ("right tool", lambda tools: tools.name_accuracy),
    ("restraint", lambda tools: tools.restraint),
    ("calls that fit their schema", lambda tools: tools.valid),
)


class Line(NamedTuple):
    """One row of a table of figures: a name, the candidate's value and the reference's."""

    name: str
    candidate: str
    reference: str


class Failure(NamedTuple):
    """One wrong answer, ready to be shown."""

    id: str
    language: str
    style: str
    text: str
    expected: str
    got: str
    reference: str  # what BF16 said: right, wrong, or a dash


def write_report(
    folder: Path,
    candidate: Evaluation,
    bf16: Evaluation | None,
    decision: Decision | None,
    facts: Mapping[str, Any],
    baselines: Baselines | None = None,
) -> None:
    """Writes the report files into `folder` (made if missing). `facts` are shown as they are: sizes, digests, versions.

    `bf16` is None where a model was evaluated alone, `decision` where no gate was asked. A fact whose name starts with
    `bytes` is shown in MiB too; nested facts are flattened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "evaluation.json", candidate.model_dump(mode="json"))
    if bf16 is not None:
        write_json(folder / "reference.json", bf16.model_dump(mode="json"))
    if decision is not None:
        write_json(folder / "decision.json", decision.model_dump(mode="json"))
    pictures = {}
    for language, figures in candidate.languages.items():
        pictures[language] = confusion_png(figures.confusion, candidate.labels)
        (folder / f"confusion_{language}.png").write_bytes(pictures[language])
    content: dict[str, Any] = {
        "candidate": candidate,
        "bf16": bf16,
        "decision": decision,
        "figures": _figure_lines(candidate, bf16),
        "slices": _slice_lines(candidate, bf16),
        "baselines": _baseline_lines(candidate, baselines or {}),
        "beaten": _beaten(candidate, baselines or {}),
        "numbers": [] if decision is None else [(k, _shown(k, v)) for k, v in decision.figures.items()],
        "failures": _intent_failures(candidate, bf16)[:WORST],
        "tool_failures": _tool_failures(candidate, bf16)[:WORST],
        "facts": [(name, _shown(name, value)) for name, value in _flat(facts)],
        "confusion": {language: base64.b64encode(picture).decode() for language, picture in pictures.items()},
        "bars": {x: intent_bars_svg(f.per_intent, _per_intent(bf16, x)) for x, f in candidate.languages.items()},
        "per_intent": _intent_lines(candidate, bf16),
    }
    for name in ("report.html", "report.md"):
        (folder / name).write_text(_render(f"{name}.jinja", content), encoding="utf-8")


def _render(template: str, content: Mapping[str, Any]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html.jinja"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _cell
    return environment.get_template(template).render(content)


def _cell(text: str) -> str:
    """Text for a cell of a Markdown table: one line, nothing that is markup."""
    escaped = "".join(f"\\{c}" if c in "\\|`*_<>[]#" else c for c in text)
    return " ".join(escaped.split())


def _figure_lines(candidate: Evaluation, bf16: Evaluation | None) -> list[Line]:
    """The main figures of each language, then the tools."""
    lines = []
    for language, figures in candidate.languages.items():
        other = bf16.languages.get(language) if bf16 is not None else None
        lines.append(Line(f"intent macro-F1, {language}", _f1(figures), _f1(other)))
        lines.append(Line(f"intent accuracy, {language}", _accuracy(figures), _accuracy(other)))
        lines.append(
            Line(f"intent micro-F1, {language}", *(_number(f.micro_f1 if f else None) for f in (figures, other)))
        )
        for name, part in _SHARES:
            lines.append(Line(f"{name}, {language}", *(_percent(part(f) if f else None) for f in (figures, other))))
        said = [f.calibration if f else None for f in (figures, other)]
        lines.append(
            Line(f"calibration error of the label, {language}", *(_percent(c.error if c else None) for c in said))
        )
    for spoken, tools in candidate.tool_languages.items():
        known = bf16.tool_languages.get(spoken) if bf16 is not None else None
        lines.append(Line(f"tool cases right, {spoken}", _accuracy(tools), _accuracy(known)))
        for name, share in _TOOL_SHARES:
            lines.append(Line(f"{name}, {spoken}", *(_percent(share(t) if t else None) for t in (tools, known))))
        for name, right in tools.arguments.items():
            same = known.arguments.get(name) if known else None
            lines.append(Line(f"{name} right, {spoken}", _accuracy(right), _accuracy(same)))
    failed = ["–" if e is None else str(e.failed) for e in (candidate, bf16)]
    return [*lines, Line("requests without a usable answer", *failed)]


def _slice_lines(candidate: Evaluation, bf16: Evaluation | None) -> list[Line]:
    """Plain and hard cases and each series with F1, then every style by accuracy."""
    lines = []
    for language, figures in candidate.languages.items():
        other = bf16.languages.get(language) if bf16 is not None else None
        for group, part in figures.groups.items():
            known = other.groups.get(group) if other else None
            lines.append(Line(f"{language}, {group}: macro-F1", _f1(part), _f1(known)))
        for number, part in figures.series.items():
            known = other.series.get(number) if other else None
            lines.append(Line(f"{language}, series {number}: macro-F1", _f1(part), _f1(known)))
        for style, share in figures.styles.items():
            same = other.styles.get(style) if other else None
            lines.append(Line(f"{language}, {style}: accuracy", _accuracy(share), _accuracy(same)))
    return lines


def _baseline_lines(candidate: Evaluation, baselines: Baselines) -> list[Line]:
    """A baseline's macro-F1 in each language, beside the candidate's."""
    return [
        Line(f"{name}, {language}", _f1(candidate.languages[language]), _f1(figures))
        for name, by_language in baselines.items()
        for language, figures in by_language.items()
    ]


def _beaten(candidate: Evaluation, baselines: Baselines) -> list[str]:
    """Where a baseline does better than the candidate."""
    return [
        f"{name} labels {language} better than the candidate: {figures.macro_f1:.3f} against {own.macro_f1:.3f}"
        for name, by_language in baselines.items()
        for language, figures in by_language.items()
        if figures.macro_f1 > (own := candidate.languages[language]).macro_f1
    ]


def _intent_lines(candidate: Evaluation, bf16: Evaluation | None) -> list[Line]:
    return [
        Line(f"{label}, {language}", f"{score:.3f}", _number(_per_intent(bf16, language).get(label)))
        for language, figures in candidate.languages.items()
        for label, score in figures.per_intent.items()
    ]


def _per_intent(evaluation: Evaluation | None, language: str) -> Mapping[str, float]:
    known = {} if evaluation is None else {str(name): f.per_intent for name, f in evaluation.languages.items()}
    return known.get(language, {})


def _intent_failures(candidate: Evaluation, bf16: Evaluation | None) -> list[Failure]:
    """Wrong labels of frozen cases, worst first: what BF16 had right, then plain cases, then failed requests."""
    right = _right(bf16.predictions if bf16 is not None else ())
    wrong = [p for p in candidate.predictions if not p.right and not p.held_out]
    wrong.sort(key=lambda p: (not right.get(p.case.id, False), p.case.style != "plain", p.predicted is not None))
    return [
        Failure(
            id=p.case.id,
            language=p.case.language,
            style=p.case.style,
            text=p.case.text[:SHOWN],
            expected=p.case.intent,
            got=p.predicted or p.error or f"{UNPARSABLE}: {p.raw[:SHOWN]!r}",
            reference=_verdict(right.get(p.case.id)),
        )
        for p in wrong
    ]


def _tool_failures(candidate: Evaluation, bf16: Evaluation | None) -> list[Failure]:
    right = _right(bf16.tool_predictions if bf16 is not None else ())
    return [
        Failure(
            id=p.case.id,
            language=p.case.language,
            style=p.case.style,
            text=p.case.messages[-1].content[:SHOWN],
            expected=_call(p.case.expect) if p.case.expect is not None else "no call",
            got=p.error or "; ".join(_call(call) for call in p.calls) or f"no call: {p.raw[:SHOWN]}",
            reference=_verdict(right.get(p.case.id)),
        )
        for p in candidate.tool_predictions
        if not p.right
    ]


def _right(predictions: Sequence[Any]) -> dict[str, bool]:
    return {p.case.id: p.right for p in predictions if p.case.id and not getattr(p, "held_out", False)}


def _verdict(right: bool | None) -> str:
    return "–" if right is None else "right" if right else "wrong"


def _call(call: Function) -> str:
    return f"{call.name}({', '.join(f'{name}={value!r}' for name, value in call.arguments.items())})"


def _f1(part: Slice | None) -> str:
    return "–" if part is None else f"{part.macro_f1:.3f} {_range(part.macro_f1_interval)}, n={part.cases}"


def _accuracy(part: Accuracy | None) -> str:
    return "–" if part is None else f"{part.accuracy:.3f} {_range(part.accuracy_interval)}, n={part.cases}"


def _range(interval: Interval) -> str:
    return f"({interval.lower:.3f} to {interval.upper:.3f})"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _flat(facts: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in facts.items():
        nested = isinstance(value, Mapping)
        found += _flat(value, f"{above}{name}.") if nested else [(f"{above}{name}", value)]
    return found


def _shown(name: str, value: Any) -> str:
    if isinstance(value, int) and name.rsplit(".", 1)[-1].startswith("bytes"):
        return f"{value:,} ({value / 2**20:.1f} MiB)"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
