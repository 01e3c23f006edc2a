"""`kefu keys`: a key's secret is shown once, its life can be followed, and it can be ended."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from pipelines.cli import app
from serving.database import database_url
from serving.keys import KeyStore, fingerprint


def kefu(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments])


def body(*arguments: str) -> dict[str, Any]:
    result = kefu(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_key_is_made_listed_and_revoked() -> None:
    made = body("create", "web", "--scope", "admin", "--scope", "chat", "--days", "30")
    assert (made["name"], made["scopes"], made["state"]) == ("web", ["chat", "admin"], "active")
    assert made["expires_at"] > made["created_at"] and made["created_at"].endswith("Z")
    (listed,) = body("list")["keys"]
    assert listed == {name: value for name, value in made.items() if name != "secret"}
    store = KeyStore.open(database_url("conversations.db"))
    found = store.find(fingerprint(made["secret"]))
    store.close()
    assert found is not None and found.name == "web"
    assert body("revoke", "web")["state"] == "revoked"
    assert body("list")["keys"][0]["state"] == "revoked"


def test_for_people_the_secret_alone_is_on_standard_output(kefu_home: Path) -> None:
    result = kefu("create", "web")
    (secret,) = result.stdout.splitlines()
    assert secret.startswith("kefu_") and secret not in result.stderr
    assert "shown this once" in result.stderr and "KEFU_REQUIRE_API_KEYS" in result.stderr
    listed = kefu("list")
    assert listed.stdout == "" and "web" in listed.stderr and secret not in listed.stderr
    assert secret.encode() not in b"".join(file.read_bytes() for file in kefu_home.rglob("*") if file.is_file())


def test_an_error_is_one_message_and_a_code() -> None:
    assert "kefu keys create NAME" in kefu("list").stderr
    for arguments, says in (
        (("revoke", "web"), "there is no key 'web'"),
        (("create", "Web"), "1 to 64 of a-z"),
        (("create", "web", "--scope", "root"), "root"),
        (("create", "web", "--days", "0"), "must live for some time"),
    ):
        result = kefu(*arguments)
        assert result.exit_code == 2 and says in " ".join(result.stderr.split()), result.stderr
        assert result.stdout == ""
