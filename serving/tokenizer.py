"""The release's tokenizer and chat template, without the library that trains with them: text and prompts as the engine counts
them.

`data.chat.render` takes it where it takes a Transformers tokenizer; a test holds the two against each other. Not covered:
token ids, decoding, templates in several files.
"""

import json
import re
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from data.chat import template
from data.errors import BadInput
from serving.reasoning import MARKS
from serving.release import Release

_TWO_LETTERS = re.compile(
    r"\S\S"
)  # how a mark begins; a special token that does not is left: a blank would not undo it


class ServedTokenizer:
    """Counts tokens and renders the served template."""

    def __init__(self, tokenizer: Tokenizer, chat_template: str) -> None:
        self._tokenizer, self._source = tokenizer, chat_template

    @classmethod
    def of(cls, release: Release) -> "ServedTokenizer":
        """The tokenizer of a release.

        Raises:
            BadInput: it has no readable tokenizer.
        """
        path = release.model / "tokenizer.json"
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exceptions
            raise BadInput(f"{path} is not a tokenizer that the tokenizers library reads: {error}") from error
        return cls(tokenizer, _template(release.model))

    def count(self, text: str) -> int:
        """Tokens of a text; marks of the template that are tokens of their own count as one."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def plain(self, text: str) -> str:
        """The text with a blank in every mark of the template and every special token: what people write stays text, and
        neither ends a turn nor begins one."""
        while self._marks.search(text):  # what stands around a mark may be one as well
            text = self._marks.sub(lambda mark: f"{mark[0][0]} {mark[0][1:]}", text)
        return text

    def apply_chat_template(self, conversation: Any, **options: Any) -> str:
        """The prompt's text, as `data.chat.render` asks for it; what else Transformers offers is not offered."""
        names = ("tools", "add_generation_prompt", "enable_thinking")
        given = {name: options[name] for name in names if name in options}
        text: str = self._compiled.render(messages=conversation, **given)
        return text

    @cached_property
    def _marks(self) -> re.Pattern[str]:
        added = self._tokenizer.get_added_tokens_decoder().values()
        marks = {*MARKS, *(token.content for token in added if token.special and _TWO_LETTERS.match(token.content))}
        return re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))))

    @cached_property
    def _compiled(self) -> Any:
        """Compiled as `transformers.utils.chat_template_utils` does it."""
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = _as_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        return environment.from_string(self._source)


def _template(model: Path) -> str:
    """The checkpoint's own template; without one, that of every release."""
    file, config = model / "chat_template.jinja", model / "tokenizer_config.json"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    told = json.loads(config.read_text(encoding="utf-8")).get("chat_template") if config.is_file() else None
    return told if isinstance(told, str) else template()


def _as_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    raise BadInput(f"the chat template refuses this conversation: {message}")
