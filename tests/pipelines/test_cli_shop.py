"""`kefu customers` and `kefu database`: what they answer, and that no secret is shown."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from serving.customer_keys import OWN, CustomerKeys
from serving.identity import customer_of
from serving.migrate import head


def kefu(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == code, result.output
    (line,) = result.stdout.splitlines()
    body: dict[str, Any] = json.loads(line)
    return body


def test_keys_are_listed_and_rotated_without_their_secrets(kefu_home: Path) -> None:
    (first,) = kefu("customers", "keys")["keys"]
    token = kefu("customers", "token", "demo", "--minutes", "5")["token"]
    new, old = kefu("customers", "rotate-key", "--grace-hours", "2")["keys"]
    assert first["signs"] and new["signs"] and old["kid"] == first["kid"] and old["retires_at"]
    assert customer_of(token, CustomerKeys.open()) == "demo"
    (only,) = kefu("customers", "rotate-key", "--grace-hours", "0")["keys"]
    assert only["kid"] not in (new["kid"], old["kid"])
    shown = CliRunner().invoke(app, ["customers", "keys"]).output
    assert only["kid"] in CliRunner().invoke(app, ["customers", "keys"]).stderr + shown
    assert json.loads((kefu_home / OWN).read_text())["keys"][0]["k"] not in shown


def test_tables_are_brought_up_to_date(kefu_home: Path) -> None:
    behind = kefu("database", "status", code=1)["schemas"]
    assert [(row["schema"], row["revision"]) for row in behind] == [("shop", None), ("conversations", None)]
    for row in kefu("database", "upgrade")["schemas"]:
        assert (row["before"], row["revision"]) == (None, head(row["schema"]))
    assert all(row["revision"] == row["head"] for row in kefu("database", "status")["schemas"])


def test_a_database_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEFU_DATABASE_URL", "postgresql+psycopg://kefu:secret@127.0.0.1:1/shop")
    error = kefu("database", "status", code=3)["error"]
    assert "127.0.0.1:1/shop does not answer" in error and "secret" not in error
