"""`kefu database`: how far the tables of the shop and of the conversations are, and bringing them up to date."""

from typing import Any

import typer

from pipelines.answer import answering
from pipelines.cli_options import Json
from pipelines.screen import screen

app = typer.Typer(help="The tables of orders and conversations.", no_args_is_help=True)


@app.command("status")
def status(json: Json = False) -> None:
    """Say which revision each schema has reached. Exit code 1: one is behind this code or ahead of it."""
    with answering(json) as answer:
        answer.body = {"schemas": _schemas(change=False)}
        answer.exit_code = 0 if all(row["revision"] == row["head"] for row in answer.body["schemas"]) else 1


@app.command("upgrade")
def upgrade(json: Json = False) -> None:
    """Bring every schema up to date; `kefu serve` does so by itself."""
    with answering(json) as answer:
        answer.body = {"schemas": _schemas(change=True)}


def _schemas(*, change: bool) -> list[dict[str, Any]]:
    from serving.database import SCHEMAS, connect, database_url, told
    from serving.migrate import head, reached
    from serving.migrate import upgrade as bring

    rows = []
    for schema in SCHEMAS:
        engine = connect(database_url(f"{schema}.db"))
        with told(engine):
            before = bring(engine, schema) if change else reached(engine, schema)
        now = head(schema) if change else before
        where = engine.url.render_as_string()
        rows.append({"schema": schema, "database": where, "before": before, "revision": now, "head": head(schema)})
        screen().print(f"{schema:<15} {now or 'none'} of {head(schema)}  {where}", soft_wrap=True, markup=False)
        engine.dispose()
    return rows
