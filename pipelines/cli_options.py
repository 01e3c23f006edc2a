"""The options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line, and nothing else there.")]
Data = Annotated[Path | None, typer.Option("--data", help="A shop's folder instead of the built-in one.")]
RecipePath = Annotated[Path, typer.Argument(help="A recipe, such as recipes/smollm2-135m.yaml.")]
