"""The command `kefu`. Every command reads its input, calls one function, and answers (`pipelines/answer.py`).

Groups of commands have a file each (`pipelines/cli_*.py`). Heavy modules are imported inside the commands, so that
`kefu --help` answers at once.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.answer import answering
from pipelines.cli_agent import app as agent_app
from pipelines.cli_customers import app as customers_app
from pipelines.cli_data import app as data_app
from pipelines.cli_database import app as database_app
from pipelines.cli_faq import app as faq_app
from pipelines.cli_keys import app as keys_app
from pipelines.cli_options import Data, Json, RecipePath
from pipelines.environment import documentation
from pipelines.screen import screen
from recipes.recipe import RECIPES, Recipe

if TYPE_CHECKING:
    from pipelines.rollout import Rollout
    from serving.release import Release

app = typer.Typer(
    name="kefu",
    help="From an online shop's dialogs to a served, gated customer-service agent.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")
app.add_typer(faq_app, name="faq")
app.add_typer(agent_app, name="agent")
app.add_typer(keys_app, name="keys")
app.add_typer(customers_app, name="customers")
app.add_typer(database_app, name="database")

EMBEDDED = RECIPES / "smollm2-135m.yaml"
Model = Annotated[str, typer.Option("--model", help="champion, previous, challenger, a version number, or a folder.")]
Mechanics = Annotated[bool, typer.Option("--mechanics", help="Let a release through that only proves mechanics.")]


@app.command()
def release(
    recipe: RecipePath,
    data: Data = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before starting.")] = False,
    mechanics: Mechanics = False,
    json: Json = False,
) -> None:
    """Train, merge, quantize, evaluate, decide and, if the gate passes, promote."""
    with answering(json) as answer:
        from pipelines.launch import run_release, show

        name = Recipe.read(recipe).name
        if not (yes or json) and screen().is_terminal and screen().is_interactive and _at_keyboard():
            typer.confirm(
                f"Release {name}? It becomes the champion if the gate passes", default=True, abort=True, err=True
            )
        answer.body = run_release(recipe, data, mechanics=mechanics)
        show(answer.body)
        done = answer.body["status"] == "promoted" or answer.body["promoted_for_mechanics"]
        answer.exit_code = 0 if done else 1


@app.command()
def evaluate(
    cases: Annotated[Path, typer.Option("--cases", help="Intent cases as JSON lines.")],
    model: Model = "champion",
    json: Json = False,
) -> None:
    """Ask a release, or a checkpoint folder, for the intents of a file of cases."""
    with answering(json) as answer:
        from data.schema import IntentCase, read_jsonl
        from data.shop import Shop
        from pipelines.evaluate import evaluate_cases

        read_jsonl(cases, IntentCase)
        if (Path(model) / "config.json").is_file():
            shop, serve = Shop.default(), Recipe.read(EMBEDDED).serve
            answer.body = evaluate_cases(Path(model), cases, serve, shop.prompts, shop.taxonomy.names)
        else:
            found = _rollout().resolve(model).release
            names = found.taxonomy.names
            answer.body = evaluate_cases(found.model, cases, found.recipe.serve, found.prompts, names)
        screen().print_json(data=answer.body)


@app.command()
def parity(
    model: Model = "champion",
    labels: Annotated[int, typer.Option(min=1, help="How many labels each pair of models is compared on.")] = 200,
    json: Json = False,
) -> None:
    """Check that training and serving agree: token ids of prompts, labels from adapter to engine. Exit code 1: they do not;
    3: what the release was made of is gone."""
    with answering(json) as answer:
        from data.artifact import ArtifactStore, home
        from pipelines.parity import check_parity, show

        found = check_parity(ArtifactStore(home() / "artifacts"), _rollout().resolve(model).release, labels)
        show(found)
        answer.body = found.body()
        answer.exit_code = 0 if found.passed else 1 if found.reasons else 3


@app.command(epilog="\n\n".join(("Environment:", *(f"{name}: {means}" for name, means in documentation()))))
def serve(
    model: Model = "champion",
    host: Annotated[str, typer.Option(help="Off loopback there must be an API key: kefu keys create.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    demo: Annotated[bool, typer.Option("--demo", help="Sign everybody in as one demo customer (loopback).")] = False,
    mechanics: Mechanics = False,
    any_path: Annotated[
        bool, typer.Option("--any-path", help="Serve on a numeric path that was not evaluated.")
    ] = False,
    engine_url: Annotated[str | None, typer.Option(help="Use this OpenAI-compatible engine; start none.")] = None,
    json: Json = False,
) -> None:
    """Start a release's engine and open the endpoint, until stopped."""
    with answering(json) as answer:
        from pipelines.serve import Endpoint
        from pipelines.serve import serve as run

        resolved = _rollout().resolve(model)
        if resolved.stale:
            screen().print("[yellow]MLflow does not answer: serving the last verified champion, marked stale[/]")
        again = partial(_resolved_again, model)
        run(Endpoint(resolved, host, port, demo, mechanics, any_path, engine_url, again))
        answer.body = {"status": "stopped", "version": resolved.version, "digest": resolved.release.digest}


@app.command()
def chat(
    url: Annotated[str, typer.Option(help="The endpoint, without /v1.")] = "http://127.0.0.1:8000",
    thinking: Annotated[bool, typer.Option("--thinking", help="Let the model think before it answers.")] = False,
    json: Json = False,
) -> None:
    """Talk to the endpoint in the terminal."""
    with answering(json) as answer:
        from pipelines.chat import chat as talk

        answer.body = {"asked": talk(url.rstrip("/").removesuffix("/v1"), thinking)}


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="A version number, or challenger.")],
    mechanics: Mechanics = False,
    json: Json = False,
) -> None:
    """Make a registered version the champion."""
    with answering(json) as answer:
        moved = _rollout().promote(version, mechanics=mechanics)
        answer.body = vars(moved)
        said = "is the champion now" if moved.changed else "was the champion already"
        screen().print(f"version {moved.version} {said}; before: {moved.previous or 'none'} ({moved.seconds} s)")


@app.command()
def rollback(json: Json = False) -> None:
    """Go back to the champion before this one."""
    with answering(json) as answer:
        moved = _rollout().rollback()
        answer.body = vars(moved)
        screen().print(f"version {moved.version} is the champion again, {moved.previous} is not ({moved.seconds} s)")
        if moved.pending:
            screen().print("[yellow]MLflow does not answer; its aliases follow on the next call[/]")


@app.command()
def ledger(json: Json = False) -> None:
    """List every promotion and rollback, oldest first."""
    with answering(json) as answer:
        from pipelines.ledger import Ledger, dump, last_move_seconds

        entries, standing = Ledger.default().entries(), Ledger.default().standing()
        champion, previous = standing.champion, standing.previous
        for entry in entries:
            screen().print(
                f"{entry.at}  {entry.action:<8} {entry.step:<6} version {entry.champion.version} {entry.champion.name}"
            )
        answer.body = {
            "version": champion.version if champion else None,
            "previous": previous.version if previous else None,
            "seconds": last_move_seconds(entries),
            "unfinished": standing.unfinished.move if standing.unfinished else None,
            "entries": dump(entries),
        }


@app.command()
def doctor(
    recipe: Annotated[Path, typer.Option("--recipe", help="The recipe that must work here.")] = RECIPES
    / "smollm2-135m.yaml",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    json: Json = False,
) -> None:
    """Check this machine, and say what it lacks. Exit code 3: something needed is missing."""
    with answering(json) as answer:
        from pipelines.doctor import examine, report

        checks = examine(recipe, port)
        colors = {"ok": "green", "note": "yellow", "lacks": "bold red"}
        for check in checks:
            screen().print(
                f"[{colors[check.status]}]{check.status:<5}[/] {check.name:<20} {check.found}", soft_wrap=True
            )
            if check.advice:
                screen().print(f"{'':<27}{check.advice}", style="dim", soft_wrap=True)
        answer.body = report(checks)
        answer.exit_code = 0 if answer.body["ok"] else 3


@app.command()
def demo(json: Json = False) -> None:
    """The whole job on the embedded default, then five questions to what came out."""
    with answering(json) as answer:
        from pipelines.demo import demo as run

        answer.body = run()
        answer.exit_code = 0 if answer.body["status"] == "promoted" else 1


def main() -> None:
    """The entry point of the command."""
    app()


def _rollout() -> "Rollout":
    from pipelines.registry import Registry
    from pipelines.rollout import Rollout

    return Rollout(Registry.open())


def _resolved_again(model: str) -> "Release":
    return _rollout().resolve(model).release


def _at_keyboard() -> bool:
    import sys

    return sys.stdin.isatty()
