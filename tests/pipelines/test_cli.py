import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipelines.cli import app
from pipelines.registry import Registry
from tests.pipelines.registered import ROOT, Register


def kefu(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def last_line(result: Result) -> dict[str, object]:
    """What --json promises: one JSON object, and nothing else on standard output."""
    (line,) = result.stdout.splitlines()
    body: dict[str, object] = json.loads(line)
    return body


def test_every_command_is_there_and_takes_json() -> None:
    commands = ("release", "evaluate", "parity", "serve", "chat", "promote", "rollback", "ledger", "doctor", "demo")
    groups = {
        "agent": ("check", "thinking", "memory"),
        "data": ("check", "build", "export"),
        "keys": ("create", "list", "revoke"),
    }
    grouped = ((group, name) for group, names in groups.items() for name in names)
    for command in (*((name,) for name in commands), *grouped):
        result = kefu(*command, "--help")
        assert result.exit_code == 0, command
        assert "--json" in result.stdout, command


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("release", "nowhere.yaml"), 2, "no such file"),
        (("release", str(ROOT / "recipes" / "qwen3-tiny.yaml"), "--data", "/nowhere"), 2, "is not a shop"),
        (("data", "check", "nowhere.jsonl"), 2, "no such file"),
        (("evaluate", "--cases", "nowhere.jsonl"), 2, "no such file"),
        (("promote", "7"), 2, "no release '7'"),
        (("rollback",), 1, "no earlier champion"),
        (("serve",), 2, "no champion yet"),
        (("chat", "--nonsense"), 2, "No such option"),
        (("serve", "--port", "0"), 2, "equal to 1"),
    ],
)
def test_an_error_is_one_message_and_a_code(
    registry: Registry, arguments: tuple[str, ...], code: int, says: str
) -> None:
    result = kefu(*arguments)
    assert result.exit_code == code
    assert says in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_an_error_with_json_is_json(registry: Registry) -> None:
    result = kefu("promote", "7", "--json")
    assert result.exit_code == 2
    assert last_line(result)["status"] == "error"


def test_promote_rollback_and_ledger(register: Register) -> None:
    register("one")
    register("two")
    assert last_line(kefu("promote", "1", "--json"))["version"] == "1"
    assert last_line(kefu("promote", "2", "--json")) | {"seconds": 0} == {
        "version": "2",
        "previous": "1",
        "seconds": 0,
        "changed": True,
        "pending": False,
    }
    assert last_line(kefu("rollback", "--json"))["version"] == "1"
    told = last_line(kefu("ledger", "--json"))
    assert (told["version"], told["previous"], told["unfinished"]) == ("1", None, None)
    assert isinstance(told["entries"], list) and len(told["entries"]) == 6


def test_mechanics_is_neither_promoted_nor_served_by_accident(register: Register) -> None:
    register("one", purpose="mechanics", passed=False)
    assert kefu("promote", "challenger").exit_code == 2
    assert kefu("promote", "1").exit_code == 1
    assert kefu("promote", "1", "--mechanics").exit_code == 0
    result = kefu("serve")
    assert result.exit_code == 1
    assert "--mechanics" in result.stderr


def test_data_check_counts_and_finds_leaks(tmp_path: Path) -> None:
    case = (ROOT / "evals" / "cases" / "intents.en.jsonl").read_text(encoding="utf-8").splitlines()[0]
    known = {key: json.loads(case)[key] for key in ("text", "intent", "language")}
    rows = [
        known,
        {"text": "My kettle hums in B flat", "intent": "warranty_repair", "language": "en"},
        {"text": "my kettle hums in b flat!", "intent": "warranty_repair", "language": "en"},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = kefu("data", "check", str(path), "--json")
    body = last_line(result)
    assert result.exit_code == 1
    assert (body["rows"], body["kept"], body["leaks"]) == (3, 1, 1)
    assert body["dropped"] == {"duplicate": 1, "leak": 1}
    assert {"languages", "intents", "pii_redacted"} <= body.keys()


def test_data_check_names_every_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    good = '{"text": "This is a disgrace", "intent": "complaint", "language": "en"}\n'
    bad = "".join(f'{{"text": {number}}}\n' * 2 for number in range(25))
    path.write_text(good + bad, encoding="utf-8")
    result = kefu("data", "check", str(path))
    assert result.exit_code == 1
    assert "malformed (50)" in result.stderr and "rows.jsonl:2: text: expected a text, found 0" in result.stderr
    assert f"(2 rows, also {path}:3)" in result.stderr and "... and 5 more" in result.stderr
    body = last_line(kefu("data", "check", str(path), "--json"))
    assert (body["rows"], body["kept"], body["dropped"]) == (51, 1, {"malformed": 50})


def test_data_check_measures_in_tokens_of_a_recipe_s_base(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "Tell me all."}, {"role": "assistant", "content": "It hums. " * 400}]
    path = tmp_path / "talks.jsonl"
    path.write_text(json.dumps({"messages": said}) + "\n", encoding="utf-8")
    result = kefu("data", "check", str(path), "--recipe", str(ROOT / "recipes" / "qwen3-tiny.yaml"), "--json")
    body = last_line(result)
    found = [finding["what"] for finding in body["findings"]["length"]]  # type: ignore[index]
    assert result.exit_code == 1
    assert "training leaves out more than 1,024 (train.max_length)" in found[0]
    assert "served ones have 512 (serve.answer_tokens)" in found[1]
    assert body["tokens"]["longest"] > 1024 and body["tokens"]["limit"] == 1024  # type: ignore[index]


def test_the_shop_s_own_data_has_nothing_to_find() -> None:
    body = last_line(kefu("data", "check", str(ROOT / "data" / "seed" / "dialogs.zh.jsonl"), "--json"))
    assert body["findings"] == {}


def test_doctor_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KEFU_ENGINE_PYTHON", str(tmp_path / "python"))
    result = kefu("doctor", "--json")
    body = last_line(result)
    assert result.exit_code == 3
    assert body["ok"] is False
    checks = {check["name"]: check for check in body["checks"]}  # type: ignore[attr-defined]
    assert checks["engine environment"]["status"] == "lacks" and "make engine" in checks["engine environment"]["advice"]


def test_release_refuses_at_once_where_the_machine_lacks_something(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KEFU_ENGINE_PYTHON", str(tmp_path / "python"))
    result = kefu("release", str(ROOT / "recipes" / "qwen3-tiny.yaml"), "--yes")
    assert result.exit_code == 3
    assert "engine environment" in result.stderr
