"""The report of one evaluation: a self-contained HTML page, the same in Markdown, plots, and the evaluations as JSON.

    report.html  report.md  confusion_LANGUAGE.png  evaluation.json  reference.json  champion.json  decision.json

Not covered: computing figures (`evals/metrics.py`) and deciding (`evals/gate.py`); the tables are in `evals/tables.py`, the
failures in `evals/failures.py`, the plots in `evals/plots.py`.
"""

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.artifact import write_json
from data.chat import Prompts
from evals.baselines import Baselines
from evals.decision import Decision
from evals.failures import intent_failures, tool_failures, unsure
from evals.metrics import Evaluation
from evals.plots import confusion_png, intent_bars_svg
from evals.tables import beaten, figure_lines, intent_lines, ladder, slice_lines

TEMPLATES = Path(__file__).resolve().parent / "templates"
CANDIDATE, BF16, CHAMPION = "candidate", "BF16 reference", "champion"


def write_report(
    folder: Path,
    candidate: Evaluation,
    bf16: Evaluation | None,
    decision: Decision | None,
    facts: Mapping[str, Any],
    baselines: Baselines | None = None,
    champion: Evaluation | None = None,
    prompts: Prompts | None = None,
) -> None:
    """Writes the report files into `folder` (made if missing). `facts` are shown as they are, a nested mapping as a group of
    its own: sizes, speed, digests, versions. A fact whose name starts with `bytes` is shown in MiB too.

    `bf16` is None where a model was evaluated alone, `decision` where no gate was asked, `champion` where there is none;
    `prompts` are those that the cases were asked with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sides = {CANDIDATE: candidate, BF16: bf16, CHAMPION: champion}
    known = {name: side for name, side in sides.items() if side is not None}
    beside = {"evaluation": candidate, "reference": bf16, "champion": champion, "decision": decision}
    for name, part in beside.items():
        if part is not None:
            write_json(folder / f"{name}.json", part.model_dump(mode="json"))
    gated = decision.thresholds.get("languages", ()) if decision is not None else ()
    pictures = {}
    for language, figures in candidate.languages.items():
        pictures[language] = confusion_png(figures.confusion, candidate.labels)
        (folder / f"confusion_{language}.png").write_bytes(pictures[language])
    content: dict[str, Any] = {
        "candidate": candidate,
        "bf16": bf16,
        "champion": champion,
        "decision": decision,
        "columns": list(known),
        "figures": figure_lines(known),
        "slices": slice_lines(known),
        "ladder": ladder(known, baselines or {}) if baselines else [],
        "beaten": beaten(candidate, baselines or {}),
        "numbers": [] if decision is None else [(k, _shown(k, v)) for k, v in decision.figures.items()],
        "failures": intent_failures(candidate, bf16, gated),
        "unsure": unsure(candidate, bf16, gated),
        "tool_failures": tool_failures(candidate, bf16, gated),
        "prompts": prompts,
        "facts": [(name, _shown(name, value)) for name, value in facts.items() if not isinstance(value, Mapping)],
        "groups": {
            name: [(key, _shown(key, value)) for key, value in _flat(group)]
            for name, group in facts.items()
            if isinstance(group, Mapping) and group
        },
        "confusion": {language: base64.b64encode(picture).decode() for language, picture in pictures.items()},
        "bars": {x: intent_bars_svg(f.per_intent, _per_intent(bf16, x)) for x, f in candidate.languages.items()},
        "per_intent": intent_lines(known),
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
    environment.filters |= {"cell": _cell, "breakable": _breakable}
    return environment.get_template(template).render(content)


def _cell(text: str) -> str:
    """Text for a cell of a Markdown table: one line, nothing that is markup."""
    escaped = "".join(f"\\{c}" if c in "\\|`*_<>[]#" else c for c in text)
    return " ".join(escaped.split())


def _breakable(text: str) -> Any:
    """Text for a narrow cell of the page, which may break within a long identifier."""
    from markupsafe import Markup, escape

    places = r"(?<=\()(?=\w)" if "(" in text else r"(?<=_)(?=\w)"
    return Markup(re.sub(places, "<wbr>", str(escape(text))))  # noqa: S704 (escaped above)


def _per_intent(evaluation: Evaluation | None, language: str) -> Mapping[str, float]:
    known = {} if evaluation is None else {str(name): f.per_intent for name, f in evaluation.languages.items()}
    return known.get(language, {})


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
