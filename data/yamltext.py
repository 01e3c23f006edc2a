"""YAML that others wrote, read strictly: what is surprising is refused, in words for its author.

Refused: keys that come twice, aliases (`*name`: a file can refer to itself with them, or unfold to gigabytes), tags, nesting
deeper than `DEPTH_LIMIT`. Not covered: what the values mean.
"""

from pathlib import Path
from typing import Any

import yaml

from data.errors import BadInput
from data.textfile import whole_text

DEPTH_LIMIT = 20  # levels; a recipe has 5


def yaml_value(path: Path, expected: str) -> Any:
    """The value of a YAML file.

    Raises:
        BadInput: the file cannot be read, is not YAML, or has one of the things that this module refuses; with the line.
    """
    text = whole_text(path, expected)
    try:
        return yaml.load(text, Loader=_Strict)  # noqa: S506, it is a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        what = " ".join(filter(None, (error.context, error.problem)))
        raise BadInput(f"{where}: not valid YAML: {what}; expected {expected}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2026-13-45
        first = str(error).partition("\n")[0]
        raise BadInput(f"{path}: not valid YAML: {first}; expected {expected}") from error


class _Strict(yaml.SafeLoader):
    """A SafeLoader that refuses instead of choosing."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refusal(f"the alias *{event.anchor}; write out what it stands for", event.start_mark)
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise _refusal(f"nested deeper than {DEPTH_LIMIT} levels", event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _refusal(f"the key {key.value!r} comes twice; keep one", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _refusal(what: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=mark)
