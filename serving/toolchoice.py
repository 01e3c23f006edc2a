"""The tools of a request in model mode: OpenAI's `tools` and the older `functions`, and which of them may be called.

Every form of `tool_choice` is handled; custom tools (with grammars of their own) are refused. Not covered: the shop's own
tools (`serving/toolset.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from serving.body import Body
from serving.errors import BadRequest

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class FunctionSpec(Body):
    """A function that the caller can run; `parameters` is a JSON schema of its arguments."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = Field(None, description="true: the engine writes no arguments but such as fit `parameters`")


class CallerTool(Body):
    """One entry of `tools`."""

    type: Literal["function"]
    function: FunctionSpec


class FunctionName(Body):
    """A function by its name."""

    name: Name


class NamedTool(Body):
    """One tool by its name."""

    type: Literal["function"]
    function: FunctionName


class AllowedTools(Body):
    """Some of the tools, and whether one of them must be called."""

    mode: Literal["auto", "required"]
    tools: list[NamedTool] = Field(min_length=1)


class AllowedChoice(Body):
    """A choice among some of the tools."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


ToolChoice = Literal["none", "auto", "required"] | Annotated[NamedTool | AllowedChoice, Field(discriminator="type")]
FunctionChoice = Literal["none", "auto"] | FunctionName


@dataclass(frozen=True)
class Offer:
    """What the model may call: tools as the engine takes them, its `tool_choice`, and whether one call is all there is."""

    tools: tuple[dict[str, Any], ...]
    choice: str | dict[str, Any] | None = None
    single: bool = False
    legacy: bool = False  # the caller speaks of functions

    @classmethod
    def of_tools(cls, tools: Sequence[CallerTool], choice: ToolChoice | None, parallel: bool | None) -> "Offer":
        """From `tools`, `tool_choice` and `parallel_tool_calls`.

        Raises:
            BadRequest: the choice names a tool that is not among them.
        """
        sent = {tool.function.name: tool.model_dump(exclude_unset=True) for tool in tools}
        if isinstance(choice, AllowedChoice):
            wanted = [tool.function.name for tool in choice.allowed_tools.tools]
            _require(wanted, sent, "tool_choice")
            allowed = tuple(sent[name] for name in dict.fromkeys(wanted))
            return cls(allowed, choice.allowed_tools.mode, parallel is False)
        if isinstance(choice, NamedTool):
            _require([choice.function.name], sent, "tool_choice")
            return cls(tuple(sent.values()), choice.model_dump(), parallel is False)
        return cls(tuple(sent.values()), choice, parallel is False)

    @classmethod
    def of_functions(cls, functions: Sequence[FunctionSpec], choice: FunctionChoice | None) -> "Offer":
        """From `functions` and `function_call`, which has room for one call.

        Raises:
            BadRequest: the choice names a function that is not among them.
        """
        sent = {f.name: {"type": "function", "function": f.model_dump(exclude_unset=True)} for f in functions}
        named: str | dict[str, Any] | None = None
        if isinstance(choice, FunctionName):
            _require([choice.name], sent, "function_call")
            named = {"type": "function", "function": {"name": choice.name}}
        return cls(tuple(sent.values()), named or choice, single=True, legacy=True)  # type: ignore[arg-type]

    @property
    def wanted(self) -> bool:
        """Whether a call may come at all."""
        return self.choice != "none"


def _require(names: Sequence[str], known: dict[str, Any], param: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BadRequest(f"{param} names {', '.join(unknown)}; the request offers {', '.join(known)}", param=param)
