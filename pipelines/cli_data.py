"""`kefu data`: what training would keep of some data, corpora and what changed between them, exports."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines.answer import answering
from pipelines.cli_options import Data, Json, RecipePath
from pipelines.screen import screen
from recipes.recipe import Recipe

app = typer.Typer(help="Look at training data, or build a corpus of it.", no_args_is_help=True)


@app.command("check")
def check(
    path: Annotated[Path, typer.Argument(help="A JSON lines, CSV, TSV or Parquet file, or a shop's folder.")],
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", help="Also measure in tokens of this recipe's base what is too long for it."),
    ] = None,
    json: Json = False,
) -> None:
    """Say what training would keep of some data, and all that is wrong with it (exit code 1); nothing is changed."""
    with answering(json) as answer:
        from data.shop import Shop
        from pipelines.prepare import check_data, show_findings

        answer.body = check_data(path, Shop.default(), Recipe.read(recipe) if recipe else None)
        answer.exit_code = 1 if answer.body["findings"] else 0
        show_findings(answer.body)


@app.command("build")
def build(recipe: RecipePath, data: Data = None, json: Json = False) -> None:
    """Build the corpus of a recipe."""
    with answering(json) as answer:
        from data.artifact import ArtifactStore, home
        from data.shop import Shop
        from pipelines.base_model import prepare_base
        from pipelines.prepare import corpus_summary, prepare, sift_sources

        known, shop, store = Recipe.read(recipe), Shop.open(data), ArtifactStore(home() / "artifacts")
        sifted = sift_sources(store, shop, known)  # bad data is told before a base is fetched
        corpus = prepare(store, shop, known, prepare_base(store, known.base), sifted)
        answer.body = corpus_summary(corpus)
        screen().print_json(data=answer.body)


@app.command("diff")
def diff(
    before: Annotated[Path, typer.Argument(help="A corpus folder, as `kefu data build` names it.")],
    after: Annotated[Path, typer.Argument(help="The corpus to compare with it.")],
    json: Json = False,
) -> None:
    """Say what changed from one corpus to another: rows, sides, labels, settings."""
    with answering(json) as answer:
        from data.artifact import Corpus
        from data.diff import diff

        answer.body = diff(Corpus.open(before), Corpus.open(after))
        screen().print_json(data=answer.body)


@app.command("export")
def write_export(
    path: Annotated[Path, typer.Argument(help="A file of dialogs, or a shop's folder.")],
    to: Annotated[Path, typer.Option("--to", help="The JSON lines file to write.")],
    form: Annotated[Literal["openai", "sharegpt"], typer.Option("--form", help="Whose form.")] = "openai",
    json: Json = False,
) -> None:
    """Write dialogs in OpenAI's or ShareGPT's form, for other trainers; read back they are the same."""
    with answering(json) as answer:
        from data.shop import Shop
        from pipelines.export import export

        answer.body = export(path, to, form, Shop.default())
        screen().print_json(data=answer.body)
