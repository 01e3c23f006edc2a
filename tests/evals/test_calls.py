from typing import Any

import pytest

from data.schema import Function, Message, ToolCase
from evals.calls import argument_figures, fits, tool_figures
from evals.predict import ToolPrediction

SCHEMA = {
    "type": "function",
    "function": {
        "name": "move",
        "parameters": {
            "type": "object",
            "properties": {"order_id": {"type": "string"}, "new_addr": {"type": "string"}},
            "required": ["order_id"],
        },
    },
}
DUE = {"order_id": "12", "new_addr": "1 High St"}


def asked(expect: dict[str, Any] | None, *calls: tuple[str, dict[str, Any]], **changes: Any) -> ToolPrediction:
    due = None if expect is None else Function(name="move", arguments=expect)
    case = ToolCase(id="t", messages=(Message(role="user", content="x"),), expect=due, language="en")
    made = tuple(Function(name=name, arguments=arguments) for name, arguments in calls)
    return ToolPrediction(case=case, calls=made, raw="Hello." if not made else "", **changes)


def test_each_argument_is_graded_by_itself() -> None:
    found = tool_figures(
        [
            asked(DUE, ("move", {"order_id": " #12 ", "new_addr": "１ High St"})),  # right as it is normalized
            asked(DUE, ("move", {"order_id": "12", "new_addr": "2 High St"})),
            asked(DUE, ("move", {"order_id": "12"})),
            asked({"order_id": "12"}, ("move", {"order_id": "13", "when": "now", "how": "fast"})),
            asked(DUE, ("stay", DUE)),
            asked(DUE, ("move", DUE), ("move", DUE)),
            asked(DUE),
            asked(None),
            asked(None, ("move", {})),
        ]
    )
    assert (found.cases, found.call_cases, found.restraint_cases) == (9, 7, 2)
    assert (found.accuracy, found.call_accuracy, found.restraint) == pytest.approx((2 / 9, 1 / 7, 1 / 2))
    assert found.name_accuracy == pytest.approx(4 / 7)
    numbers = {name: (part.cases, round(part.accuracy * part.cases)) for name, part in found.arguments.items()}
    assert numbers == {"move.order_id": (7, 3), "move.new_addr": (6, 1)}
    assert list(found.arguments) == ["move.new_addr", "move.order_id"]
    assert found.surplus == 2
    assert (found.made, found.valid, found.unfinished) == (8, None, 0)


def test_schema_validity_counts_unreadable_calls() -> None:
    cases = [
        asked(DUE, ("move", DUE)),
        asked(DUE, ("move", {"new_addr": "x"})),
        asked(DUE, error="malformed", unfinished=True),
        asked(None, ("fly", {})),
    ]
    found = tool_figures(cases, [SCHEMA])
    assert (found.made, found.valid, found.unfinished) == (4, 1 / 4, 1)
    assert tool_figures([asked(None)], [SCHEMA]).valid is None


@pytest.mark.parametrize(
    ("name", "arguments", "fine"),
    [
        ("move", {"order_id": "1"}, True),
        ("move", {"order_id": "1", "new_addr": "x"}, True),
        ("move", {"order_id": 1}, False),
        ("move", {}, False),
        ("move", {"order_id": "1", "more": 1}, False),
        ("fly", {"order_id": "1"}, False),
    ],
)
def test_a_call_fits_its_schema(name: str, arguments: dict[str, Any], fine: bool) -> None:
    assert fits(Function(name=name, arguments=arguments), [SCHEMA]) is fine


def test_schemas_that_say_more_or_less() -> None:
    bare = {"function": {"name": "ping"}}
    assert fits(Function(name="ping", arguments={}), [SCHEMA, bare])
    open_ended = {"function": {"name": "log", "parameters": {"type": "object", "additionalProperties": True}}}
    assert fits(Function(name="log", arguments={"x": 1}), [open_ended])


def test_an_answer_with_an_error_has_no_right_argument() -> None:
    found = argument_figures([asked(DUE, ("move", DUE), error="<tool_call> left in the text", unfinished=True)])
    assert found["move.order_id"].accuracy == 0.0
    assert argument_figures([]) == {}


def test_an_argument_that_is_expected_to_be_null_must_be_said() -> None:
    assert argument_figures([asked({"note": None}, ("move", {}))])["move.note"].accuracy == 0.0
    assert argument_figures([asked({"note": None}, ("move", {"note": None}))])["move.note"].accuracy == 1.0
