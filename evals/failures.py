"""What went wrong, ready to be shown: the worst cases with what was asked and what was answered.

Not covered: what is right (`evals/predict.py`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from data.schema import Function, Message
from evals.metrics import UNPARSABLE, Evaluation
from evals.predict import Prediction, ToolPrediction

WORST = 20
UNSURE = 10
SHOWN = 300  # characters of a text


class Failure(NamedTuple):
    """One case: what was said (role and text), what was expected, what came, how sure the model was, what BF16 made of it."""

    id: str
    language: str
    style: str
    said: tuple[tuple[str, str], ...]
    expected: str
    got: str
    probability: str  # of the answer that came, by the model itself
    reference: str  # right, wrong, or a dash


def intent_failures(candidate: Evaluation, bf16: Evaluation | None, gated: Sequence[str] = ()) -> list[Failure]:
    """Wrong labels of frozen cases, worst first: in the gated languages, what BF16 had right, then plain cases, then failed
    requests, then the surest, which leave the right label the least."""
    right = _right(bf16.predictions if bf16 is not None else ())
    wrong = [p for p in candidate.predictions if not p.right and not p.held_out]

    def badness(p: Prediction) -> tuple[bool, bool, bool, bool, float]:
        kept, plain = right.get(p.case.id, False), p.case.style == "plain"
        return _beside(p, gated), not kept, not plain, p.predicted is not None, -(p.probability or 0.0)

    return [_labelled(p, right) for p in sorted(wrong, key=badness)[:WORST]]


def unsure(candidate: Evaluation, bf16: Evaluation | None, gated: Sequence[str] = ()) -> list[Failure]:
    """Frozen cases of the gated languages that are right with the lowest probability of the label: the next to fail."""
    right = _right(bf16.predictions if bf16 is not None else ())
    known = [p for p in candidate.predictions if p.right and not p.held_out and p.probability is not None]
    known = [p for p in known if not _beside(p, gated)]
    return [_labelled(p, right) for p in sorted(known, key=lambda p: p.probability or 0.0)[:UNSURE]]


def tool_failures(candidate: Evaluation, bf16: Evaluation | None, gated: Sequence[str] = ()) -> list[Failure]:
    """Tool cases without exactly the due call: in the gated languages first, then what BF16 had right."""
    right = _right(bf16.tool_predictions if bf16 is not None else ())
    wrong = [p for p in candidate.tool_predictions if not p.right]
    wrong.sort(key=lambda p: (_beside(p, gated), not right.get(p.case.id, False)))
    return [
        Failure(
            id=p.case.id,
            language=p.case.language,
            style=p.case.style,
            said=tuple((message.role, _text(message)) for message in p.case.messages),
            expected=_call(p.case.expect) if p.case.expect is not None else "no call",
            got=p.error or "; ".join(map(_call, p.calls)) or f"no call: {_short(p.raw)}",
            probability="–",
            reference=_verdict(right.get(p.case.id)),
        )
        for p in wrong[:WORST]
    ]


def _beside(p: Prediction | ToolPrediction, gated: Sequence[str]) -> bool:
    """Whether the case is in a language that is reported beside the gated ones."""
    return bool(gated) and p.language not in gated


def _labelled(p: Prediction, right: dict[str, bool]) -> Failure:
    return Failure(
        id=p.case.id,
        language=p.case.language,
        style=p.case.style,
        said=(("user", _short(p.case.text)),),
        expected=p.case.intent,
        got=p.predicted or p.error or f"{UNPARSABLE}: {_short(p.raw)!r}",
        probability="–" if p.probability is None else f"{p.probability:.2f}",
        reference=_verdict(right.get(p.case.id)),
    )


def _text(message: Message) -> str:
    calls = "; ".join(_call(call.function) for call in message.tool_calls)
    return " ".join(part for part in (_short(message.content), calls) if part)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _right(predictions: Sequence[Any]) -> dict[str, bool]:
    return {p.case.id: p.right for p in predictions if p.case.id and not getattr(p, "held_out", False)}


def _verdict(right: bool | None) -> str:
    return "–" if right is None else "right" if right else "wrong"


def _call(call: Function) -> str:
    return f"{call.name}({', '.join(f'{name}={value!r}' for name, value in call.arguments.items())})"
