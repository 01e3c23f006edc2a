"""`kefu faq`: what the FAQ cache would answer, right and wrong; fitting it; handing an edit to a running endpoint."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.answer import answering
from pipelines.cli_options import Data, Json
from pipelines.screen import screen

app = typer.Typer(help="Check the FAQ cache, fit it, hand an edit to a running endpoint.", no_args_is_help=True)


@app.command("check")
def check(
    path: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="Pairs: a, b, same_answer, language.")],
    model: Annotated[
        str | None, typer.Option("--model", help="champion, previous, challenger, a version number, or a folder.")
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Ask pairs of questions of a release's FAQ cache, or of a shop's, fitted if need be. Exit code 1: a bar is missed."""
    with answering(json) as answer:
        from data.schema import FaqPair, read_jsonl
        from pipelines.faq_check import FaqCheck, show
        from pipelines.faq_fit import FaqUnderCheck

        pairs = read_jsonl(path, FaqPair)
        under = FaqUnderCheck.of_release(model) if model else FaqUnderCheck.of_shop(data)
        found = FaqCheck.of(pairs, under.entries, under.matcher)
        answer.body = {**found.body(), **under.told()}
        answer.exit_code = 0 if found.figures.passed else 1
        show(answer.body, found)


@app.command("fit")
def fit(data: Data = None, json: Json = False) -> None:
    """Fit the verifier of a shop's FAQ to its calibration questions (a minute) and ask the frozen pairs; the next release
    takes it along, and answers near questions if too few were answered wrongly."""
    with answering(json) as answer:
        from data.artifact import ArtifactStore, home
        from data.errors import EnvironmentLacks
        from data.shop import Shop
        from pipelines.faq_fit import fit_faq
        from serving.embedder import INSTALL

        fitted = fit_faq(ArtifactStore(home() / "artifacts"), Shop.open(data))
        if fitted is None:
            raise EnvironmentLacks(
                f"nothing to fit: the shop has no faq_calibration.jsonl, or no embedder is here ({INSTALL})"
            )
        answer.body = {"digest": fitted.digest, **fitted.facts}
        screen().print_json(data=answer.body)


@app.command("reload")
def reload(
    url: Annotated[str, typer.Option(help="The endpoint, without /v1.")] = "http://127.0.0.1:8000",
    json: Json = False,
) -> None:
    """Have a running endpoint take over the champion's FAQ, without a restart. Exit code 1: it refuses."""
    with answering(json) as answer:
        from pipelines.faq_reload import reload_faq

        answer.body = reload_faq(url.rstrip("/").removesuffix("/v1"))
        screen().print_json(data=answer.body)
