"""JSON that others wrote, read strictly: what another reader would take differently is refused, in words for its author.

Refused: keys that come twice, NaN and Infinity, whole numbers of more than `DIGITS` digits, halves of characters (lone
surrogates) and nesting deeper than `DEPTH_LIMIT`. Not covered: what the values mean.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

DEPTH_LIMIT = 32  # levels; a tool with a schema in a dialog has 10
DIGITS = 100  # far more than any identifier has; reading and writing longer ones takes quadratic time
_SAYS = (  # what the parser says, and what its author did
    (
        r"Unterminated string",
        "a quote is never closed: the line was cut off, or a quote in the text lacks its backslash",
    ),
    (r"Invalid control character", "a raw control character in a text; write it escaped, such as \\n or \\t"),
    (r"Invalid \\", "a backslash that escapes nothing; write \\\\ for one"),
    (r"Expecting property name", "expected a key in double quotes"),
)


def decoded(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON, or one of the things that this module refuses; with the column.
    """
    if "\0" in text:
        raise ValueError(f"not JSON: a NUL byte in column {text.index(chr(0)) + 1}; export the file again")
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float
        )
        if text.count("{") + text.count("[") > DEPTH_LIMIT:
            _refuse_depth(value)
    except json.JSONDecodeError as error:
        raise ValueError(_explained(text, error)) from error
    except RecursionError as error:
        raise ValueError(_too_deep()) from error
    if "\\u" in text and (half := re.search("[\ud800-\udfff]", json.dumps(value, ensure_ascii=False))):
        raise ValueError(
            f"half of a character, \\u{ord(half.group()):04x} (a lone surrogate); the text was cut within an emoji: repair it"
        )
    return value


def shown(value: Any, length: int = 60) -> str:
    """A value in a message: as JSON, on one line, cut to `length`, nothing that a terminal would obey."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        text = type(value).__name__
    text = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text[: 2 * length])
    return text if len(text) <= length else text[: length - 1] + "…"


def kind_of(value: Any) -> str:
    """What a JSON value is called."""
    names: dict[type, str] = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        type(None): "null",
    }
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {shown(twice)} comes twice in one object; keep one")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; write null, or leave the key out")


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > DIGITS:
        raise ValueError(f"a number of {len(digits.lstrip('-'))} digits; write identifiers as text, in quotes")
    return int(digits)


def _float(digits: str) -> float:
    if (number := float(digits)) in (float("inf"), float("-inf")):
        raise ValueError(f"the number {shown(digits)} is too large for any reader; write it as text, in quotes")
    return number


def _refuse_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH_LIMIT):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise ValueError(_too_deep())


def _inside(value: Any) -> Iterator[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (one for one in inner if isinstance(one, dict | list))


def _too_deep() -> str:
    return f"nested deeper than {DEPTH_LIMIT} levels; flatten it"


def _explained(text: str, error: json.JSONDecodeError) -> str:
    at = f"not JSON: column {error.colno}: "
    rest = text[error.pos :].strip()
    if error.msg == "Extra data":
        return at + ("a comma after the object; remove it" if rest == "," else "more after the first value; one a line")
    if error.msg.startswith("Expecting") and not rest:
        return f"{at}{error.msg}, but the line ends: it was cut off, or one object goes over several (jq -c . FILE)"
    if error.msg.startswith(("Expecting property name", "Illegal trailing")) and rest.startswith(("}", "'")):
        return at + ("a comma before }; remove it" if rest.startswith("}") else "single quotes; JSON has double ones")
    if rest.startswith("]") and error.msg == "Expecting value":
        return at + "a comma before ]; remove it"
    told = next((said for pattern, said in _SAYS if re.match(pattern, error.msg)), error.msg)
    return f"{at}{told}, found {shown(text[max(0, error.pos - 10) : error.pos + 20])}"
