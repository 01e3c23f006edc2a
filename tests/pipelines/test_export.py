"""`kefu data export`: all dialogs of a source in another form, or nothing."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from data.schema import Dialog, read_jsonl
from data.shop import Shop
from data.sources import OpenAISource, ShareGPTSource, guessed, read_sources
from pipelines.cli import app


def export(path: Path, to: Path, form: str) -> Result:
    return CliRunner().invoke(app, ["data", "export", str(path), "--to", str(to), "--form", form, "--json"])


def test_the_shop_s_dialogs_come_back(tmp_path: Path) -> None:
    shop = Shop.default()
    seed = shop.train / "dialogs.zh.jsonl"
    dialogs = read_jsonl(seed, Dialog)
    for form, source in (("openai", OpenAISource), ("sharegpt", ShareGPTSource)):
        to = tmp_path / f"{form}.jsonl"
        result = export(seed, to, form)
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout) == {
            "file": str(to), "form": form, "dialogs": len(dialogs), "utterances_left_out": 0,
        }  # fmt: skip
        assert isinstance(guessed(to), source)
        back = read_sources([guessed(to)], shop).dialogs
        assert [(d.id, d.intent, d.thinking) for d in back] == [(d.id, d.intent, d.thinking) for d in dialogs]
        assert [[(m.role, m.content) for m in d.messages] for d in back] == [
            [(m.role, m.content) for m in d.messages] for d in dialogs
        ]


def test_a_bad_row_leaves_no_file(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    good = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}
    rows.write_text("".join(json.dumps(row) + "\n" for row in (good, {"messages": good["messages"][:1]})))
    to = tmp_path / "out.jsonl"
    result = export(rows, to, "openai")
    assert result.exit_code == 2 and "rows.jsonl:2: " in json.loads(result.stdout)["error"]
    assert [path.name for path in tmp_path.glob("*out*")] == []


def test_utterances_are_no_dialogs(tmp_path: Path) -> None:
    result = export(Shop.default().train / "utterances.zh.jsonl", tmp_path / "out.jsonl", "openai")
    assert result.exit_code == 2 and "utterances and no dialog" in json.loads(result.stdout)["error"]
    assert not (tmp_path / "out.jsonl").exists()
    nowhere = export(Shop.default().train / "dialogs.zh.jsonl", tmp_path / "no" / "out.jsonl", "openai")
    assert nowhere.exit_code == 2 and "cannot be written" in json.loads(nowhere.stdout)["error"]
