"""Tool calls graded in parts: the tool, every argument, the schema, restraint.

A case is right as a whole where exactly the expected call was made (`ToolPrediction.right`); the parts say where it failed.
Arguments are compared as `evals.predict.normalized` leaves them. Not covered: what a call did to the shop.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from data.schema import Function
from evals.predict import ToolPrediction, normalized
from evals.statistics import Accuracy

Schemas = Sequence[Mapping[str, Any]]


class ToolFigures(Accuracy):
    """Tool cases: all, those where a call is due, and those where none is (restraint)."""

    call_cases: int
    call_accuracy: float | None
    name_accuracy: float | None  # of due calls: one call, of the right tool
    arguments: dict[str, Accuracy]  # TOOL.ARGUMENT, of the due calls that have it
    surplus: int  # arguments that no due call has
    restraint_cases: int
    restraint: float | None
    made: int  # calls that were made, unreadable ones included
    valid: float | None  # share of them that fit the schema of a tool on offer; none made or no schemas: None
    unfinished: int  # answers whose call is cut or malformed


def tool_figures(predictions: Sequence[ToolPrediction], offered: Schemas = ()) -> ToolFigures:
    """Figures of some tool predictions (at least one); `offered` are the schemas that the model saw (OpenAI's shape)."""
    due = [p for p in predictions if p.case.expect is not None]
    idle = [p for p in predictions if p.case.expect is None]
    unfinished = sum(p.unfinished for p in predictions)
    made = unfinished + sum(len(p.calls) for p in predictions)
    valid = sum(fits(call, offered) for p in predictions for call in p.calls)
    return ToolFigures(
        **Accuracy.of(p.right for p in predictions).model_dump(),
        call_cases=len(due),
        call_accuracy=_share([p.right for p in due]),
        name_accuracy=_share([_answer(p) is not None for p in due]),
        arguments=argument_figures(due),
        surplus=sum(len(_surplus(p)) for p in due),
        restraint_cases=len(idle),
        restraint=_share([p.right for p in idle]),
        made=made,
        valid=valid / made if made and offered else None,
        unfinished=unfinished,
    )


def argument_figures(due: Sequence[ToolPrediction]) -> dict[str, Accuracy]:
    """How often each argument of a due call has the expected value; without the right tool none of them has."""
    found: dict[str, list[bool]] = {}
    for prediction in due:
        expected, answer = _expected(prediction), _answer(prediction)
        for name, value in expected.arguments.items():
            same = answer is not None and name in answer.arguments and answer.arguments[name] == value
            found.setdefault(f"{expected.name}.{name}", []).append(same)
    return {name: Accuracy.of(right) for name, right in sorted(found.items())}


def fits(call: Function, offered: Schemas) -> bool:
    """Whether a call names a tool on offer and its arguments fit that tool's JSON schema, with none beyond it."""
    from jsonschema import Draft202012Validator

    schemas = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in offered}
    if call.name not in schemas:
        return False
    return bool(
        Draft202012Validator({"additionalProperties": False, **schemas[call.name]}).is_valid(dict(call.arguments))
    )


def _expected(prediction: ToolPrediction) -> Function:
    assert prediction.case.expect is not None, "only due calls are graded in parts"
    return normalized(prediction.case.expect)


def _answer(prediction: ToolPrediction) -> Function | None:
    """The call that was made, if it is the only one, whole, and of the due tool."""
    if prediction.error is not None or len(prediction.calls) != 1:
        return None
    call = normalized(prediction.calls[0])
    return call if call.name == _expected(prediction).name else None


def _surplus(prediction: ToolPrediction) -> set[str]:
    answer = _answer(prediction)
    return set() if answer is None else set(answer.arguments) - set(_expected(prediction).arguments)


def _share(right: Sequence[bool]) -> float | None:
    return sum(right) / len(right) if right else None
