"""A tool: a plain typed function, the JSON schema that its signature makes, and the words around a write.

The first parameter says what of the customer's the function works on (`serving.customer_visit`) and is never part of the
schema. Not covered: which tools there are and how they are called (`serving/toolset.py`).
"""

import inspect
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from jsonschema import Draft202012Validator

from data.schema import Language
from serving.customer_visit import CustomerVisit

TIMEOUT_S = 5.0
_JSON_TYPES: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


@dataclass(frozen=True)
class Tool:
    """A function on offer. One with `asks` is a write: `asks` and `done` word it for the customer, before and after.

    Both are filled with the arguments and with the facts that the function gives as a JSON object.
    """

    function: Callable[..., str]
    asks: Mapping[Language, str] | None = None
    done: Mapping[Language, str] | None = None
    timeout_s: float = TIMEOUT_S

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def writes(self) -> bool:
        """Whether a call changes something."""
        return self.asks is not None

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The tool in OpenAI's shape, from the function's signature and docstring."""
        parameters = self._parameters[1:]
        properties = {parameter.name: _property(self._hints[parameter.name]) for parameter in parameters}
        required = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
        function = {
            "name": self.name,
            "description": (inspect.getdoc(self.function) or self.name).splitlines()[0],
            "parameters": {"type": "object", "properties": properties, "required": required},
        }
        return {"type": "function", "function": function}

    @cached_property
    def _validator(self) -> Draft202012Validator:
        return Draft202012Validator({**self.schema["function"]["parameters"], "additionalProperties": False})

    @cached_property
    def _parameters(self) -> list[inspect.Parameter]:
        return list(inspect.signature(self.function).parameters.values())

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.function, include_extras=True)

    def problem(self, arguments: object) -> str | None:
        """What is wrong with arguments, if anything; what the schema does not name is refused."""
        problem = next(iter(self._validator.iter_errors(arguments)), None)
        return f"Wrong arguments for {self.name}: {problem.message[:200]}" if problem else None

    def canonical(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments as they are shown, stored and executed: order numbers bare, texts in one line of visible characters."""
        return {
            name: (order_number(value) if name == "order_id" else one_line(value)) if isinstance(value, str) else value
            for name, value in arguments.items()
        }

    def run(self, visit: CustomerVisit, arguments: Mapping[str, Any]) -> str:
        """Calls the function with what it works on.

        Raises:
            serving.orders.Refused: it cannot do what was asked.
        """
        return self.function(self._hints[self._parameters[0].name](visit), **arguments)


def order_number(text: str) -> str:
    """An order number as customers and models write it, `#123456` say, in the form in which it is stored."""
    return one_line(unicodedata.normalize("NFKC", text)).lstrip("#").strip()


def one_line(text: str) -> str:
    """A text without line breaks and invisible characters: the server's question must not be forged from inside it."""
    visible = "".join(" " if mark.isspace() else mark for mark in text if not _is_hidden(mark))
    return " ".join(visible.split())


def _is_hidden(mark: str) -> bool:
    """Control, format (text direction, zero width), unassigned, private use and surrogate characters."""
    return unicodedata.category(mark).startswith("C") and not mark.isspace()


def _property(hint: Any) -> dict[str, Any]:
    annotated = get_origin(hint) is Annotated
    kind, *notes = get_args(hint) if annotated else (hint,)
    if get_origin(kind) is Literal:
        schema: dict[str, Any] = {"type": "string", "enum": list(get_args(kind))}
    else:
        schema = {"type": _JSON_TYPES[kind]}
    return {**schema, "description": notes[0]} if notes else schema
