"""The calls of a dialog held against the tools on offer: the names, the arguments' schemas, the results' ids.

Schemas are never fetched: a reference outside its own schema is a problem. Not covered: whether a call was the right one.
"""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import jsonschema
import referencing
import referencing.exceptions

from data.jsontext import shown
from data.schema import Dialog, Message

Schemas = Mapping[str, Mapping[str, Any]]


def call_problems(dialog: Dialog, tools: Schemas) -> Iterator[str]:
    """What is wrong with the tools that a dialog offers, with its calls and with their results; `tools` are the shop's."""
    offered, problems = _offered(dialog, tools)
    yield from problems
    for index, message in enumerate(dialog.messages):
        for call in (call.function for call in message.tool_calls):
            if call.name not in offered:
                has = ", ".join(offered) or "none"
                yield f"turn {index} calls {shown(call.name)[1:-1]!r}; on offer: {has}"
                continue
            yield from (
                f"turn {index} calls {call.name}: {what}" for what in _broken(call.arguments, offered[call.name])
            )
    yield from _results(dialog.messages)


def _offered(dialog: Dialog, tools: Schemas) -> tuple[dict[str, Any], list[str]]:
    """The parameters' schema of each tool on offer by its name."""
    offered: dict[str, Any] = {}
    problems = []
    for tool in dialog.tools:
        if isinstance(tool, str) and tool not in tools:
            problems.append(f"tool {tool!r} is not in tools.json, which has {', '.join(tools)}")
            continue
        function = (tools[tool] if isinstance(tool, str) else tool).get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(name, str) or not name:
            problems.append(f"a tool without function.name: {shown(tool)}; expected OpenAI's shape of a tool")
        elif name in offered:
            problems.append(f"tool {name!r} is offered twice")
        else:
            offered[name] = function.get("parameters", {})
    return offered, problems


def _broken(arguments: Mapping[str, Any], schema: Any) -> list[str]:
    try:
        errors = _validator(json.dumps(schema)).iter_errors(arguments)
        return [f"{_where(error)}{error.message[:200]}" for error in errors]
    except jsonschema.SchemaError as error:
        return [f"its own schema is wrong: {error.message[:200]}"]
    except referencing.exceptions.Unresolvable as error:
        return [f"its schema refers to {error.ref!r}, which is not in it"]
    except RecursionError:
        return ["its schema refers to itself without end"]


@lru_cache(256)  # a schema is checked once, not at every call
def _validator(schema: str) -> jsonschema.Draft202012Validator:
    parsed = json.loads(schema)
    jsonschema.Draft202012Validator.check_schema(parsed)
    # an empty registry: what lies elsewhere stays there
    return jsonschema.Draft202012Validator(parsed, registry=referencing.Registry())


def _where(error: jsonschema.ValidationError) -> str:
    return ".".join(str(part) for part in error.absolute_path) + ": " if error.absolute_path else ""


def _results(messages: tuple[Message, ...]) -> Iterator[str]:
    """Results that name another call than the ones before them (which calls have results is part of the schema)."""
    due: list[str] = []
    for index, message in enumerate(messages):
        if message.tool_calls:
            due = [call.id for call in message.tool_calls if call.id]
        elif message.role == "tool" and due and message.tool_call_id not in (None, *due):
            yield f"turn {index} is a result of {message.tool_call_id!r}; the calls before it are {', '.join(due)}"
