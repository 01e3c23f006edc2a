"""`kefu keys`: API keys of the endpoint. A running one knows of a change within about a second."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.answer import answering
from pipelines.cli_options import Json
from pipelines.screen import screen

if TYPE_CHECKING:
    from serving.keys import ApiKey, KeyStore

app = typer.Typer(help="Make, list and revoke API keys of the endpoint.", no_args_is_help=True)
DAY_S = 86_400.0
Name = Annotated[str, typer.Argument(help="What the key is called: who uses it, where.")]


@app.command("create")
def create(
    name: Name,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="chat (if nothing is said) or admin, or both.")
    ] = None,
    days: Annotated[float | None, typer.Option("--days", help="It expires after so many days; else never.")] = None,
    json: Json = False,
) -> None:
    """Make a key. Its secret is printed this once and is kept nowhere: only its hash is."""
    with answering(json) as answer:
        key, secret = _store().create(name, scope or ["chat"], None if days is None else days * DAY_S)
        answer.body = {**_body(key), "secret": secret}
        until = f", until {_date(key.expires_at)}" if key.expires_at else ""
        screen().print(
            f"key [bold]{key.name}[/] ({', '.join(key.scopes)}{until}). Its secret is shown this once. Keys are asked for "
            "off loopback, and on loopback with KEFU_REQUIRE_API_KEYS=1.",
            soft_wrap=True,
        )
        if not json:
            print(secret)


@app.command("list")
def show(json: Json = False) -> None:
    """List all keys that there ever were, oldest first; secrets are not kept."""
    with answering(json) as answer:
        from rich.table import Table

        found = [_body(key) for key in _store().all()]
        answer.body = {"keys": found}
        table = Table("name", "scopes", "state", "created", "last used", "expires", box=None)
        for key in found:
            scopes = ", ".join(key["scopes"])
            times = [key[time] or "never" for time in ("created_at", "last_used_at", "expires_at")]
            table.add_row(key["name"], scopes, key["state"], *times)
        screen().print(table if found else "no keys yet; kefu keys create NAME makes one")


@app.command("revoke")
def revoke(name: Name, json: Json = False) -> None:
    """End a key for good, within about a second."""
    with answering(json) as answer:
        key = _store().revoke(name)
        answer.body = _body(key)
        screen().print(f"key [bold]{key.name}[/] opens nothing any more")


def _store() -> "KeyStore":
    from serving.database import database_url
    from serving.keys import KeyStore

    return KeyStore.open(database_url("conversations.db"))


def _body(key: "ApiKey") -> dict[str, Any]:
    times = {name: getattr(key, name) for name in ("created_at", "last_used_at", "expires_at", "revoked_at")}
    state = key.state(datetime.now(UTC).timestamp())
    return {"name": key.name, "scopes": list(key.scopes), "state": state} | {
        name: _date(time) if time else None for name, time in times.items()
    }


def _date(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
