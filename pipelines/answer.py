"""How a command answers: for people on the screen, with `--json` as one JSON object on the last line of stdout.

With `--json`, whatever prints to standard output meanwhile is turned to standard error. Errors become one message and
an exit code: 1 a check failed, 2 wrong use or bad input, 3 the environment lacks something.
"""

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import typer
from rich.markup import escape

from data.errors import KefuError
from pipelines.screen import screen


class Answer:
    """What a command found: the JSON body, and the exit code if it is not 0."""

    def __init__(self) -> None:
        self.body: dict[str, Any] = {}
        self.exit_code = 0


@contextlib.contextmanager
def answering(as_json: bool) -> Iterator[Answer]:
    """Runs a command's body; prints its answer with `--json`, and leaves by `typer.Exit`."""
    answer = Answer()
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        try:
            yield answer
        except KefuError as error:
            screen().print(f"[bold red]kefu:[/] {escape(str(error))}", soft_wrap=True)
            answer.body = {"status": "error", "error": str(error)}
            answer.exit_code = error.exit_code
        except KeyboardInterrupt:
            screen().print("[bold red]kefu:[/] interrupted; run the same command again to go on where it stopped")
            answer.body, answer.exit_code = {"status": "interrupted"}, 130
    if as_json:
        print(json.dumps(answer.body, ensure_ascii=False, default=str), flush=True)
    raise typer.Exit(answer.exit_code)
