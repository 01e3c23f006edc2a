"""The zoo of bad input: every specimen gets its own message from `kefu data check` and `kefu data build`; none ends in a trace,
none leaves a corpus behind, whole or half.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from data.shop import Shop
from pipelines.cli import app
from recipes.recipe import RECIPES
from tests.data.specimens import FILES, LABELS, LINE, SAID, SHOPS, THINGS, YAMLS, folder, row, talk


def kefu(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def refused(result: Result, words: str, *codes: int) -> str:
    """What a command said: no trace, a code of ours, the telling words, and not the whole file again."""
    assert result.exit_code in codes, (result.exit_code, result.exception, result.stderr[-500:])
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.stderr
    assert re.search(words, " ".join(result.stderr.split())), result.stderr[-1000:]
    assert len(result.stderr) < 6000
    return result.stderr


def built(source: dict[str, Any], tmp_path: Path) -> Result:
    recipe = yaml.safe_load((RECIPES / "qwen3-tiny.yaml").read_text(encoding="utf-8"))
    recipe["data"] |= {"sources": [source], "redact_people": []}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return kefu("data", "build", str(path))


def source_of(path: Path, content: bytes = b"") -> dict[str, Any]:
    """The source that somebody would write for a file."""
    if path.suffix != ".jsonl":
        return {"name": "table", "path": str(path)}
    forms = {b'"messages"': "openai", b'"conversations"': "sharegpt"}
    return {"name": next((form for key, form in forms.items() if key in content), "jsonl"), "path": str(path)}


def small_shop(folder: Path) -> Path:
    """The default shop with one utterance, one dialog and one case of each kind."""
    shop = Shop.default()
    for part in ("train", "cases"):
        (folder / part).mkdir(parents=True)
    for part in ("intents.yaml", "faq.yaml", "tools.json"):
        shutil.copy(shop.folder / part, folder)
    shutil.copytree(shop.folder / "prompts", folder / "prompts")
    (folder / "train" / "utterances.jsonl").write_text(LINE)
    (folder / "train" / "dialogs.jsonl").write_text(talk(*SAID, id="d", language="en", source="test"))
    (folder / "cases" / "intents.jsonl").write_text(row(text="Is the office open on Sunday?"))
    case = {
        "id": "c",
        "messages": [{"role": "user", "content": "Where is 7, please?"}],
        "expect": None,
        "language": "en",
    }
    (folder / "cases" / "tools.jsonl").write_text(json.dumps(case) + "\n")
    return folder


def nothing_built(home: Path) -> bool:
    """No corpus and no part of one, but for the lock; reading comes before everything that takes long."""
    return not [path for path in home.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_the_zoo_is_large() -> None:
    assert len(FILES) + len(THINGS) >= 80


@pytest.mark.parametrize("name", FILES)
def test_a_broken_file_gets_its_message(name: str, tmp_path: Path, kefu_home: Path) -> None:
    content, words = FILES[name]
    path = tmp_path / name
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(raw)
    missing = "no column" in words or "columns seem" in words
    refused(kefu("data", "check", str(path)), words, 2 if missing else 1)
    refused(built(source_of(path, raw), tmp_path), words, 2)
    assert nothing_built(kefu_home)


@pytest.mark.parametrize("name", LABELS)
def test_a_wrong_label_gets_its_message(name: str, tmp_path: Path) -> None:
    content, words = LABELS[name]
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    refused(kefu("data", "check", str(path)), words, 1)


@pytest.mark.parametrize("name", THINGS)
def test_what_is_no_file_gets_its_message(name: str, tmp_path: Path, kefu_home: Path) -> None:
    make, words = THINGS[name]
    path = tmp_path / name
    make(path)
    refused(kefu("data", "check", str(path)), words, 1, 2)
    words = r"a folder; expected" if make is folder else words
    refused(built(source_of(path), tmp_path), words, 2)
    assert nothing_built(kefu_home)


@pytest.mark.parametrize("name", YAMLS)
def test_a_broken_recipe_or_taxonomy_gets_its_message(name: str, tmp_path: Path, kefu_home: Path) -> None:
    content, words = YAMLS[name]
    shop = small_shop(tmp_path / "shop")
    for path in (tmp_path / "recipe.yaml", shop / "intents.yaml"):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    refused(kefu("data", "build", str(tmp_path / "recipe.yaml")), words, 2)
    refused(kefu("data", "check", str(shop)), words, 2)
    assert nothing_built(kefu_home)


@pytest.mark.parametrize("name", SHOPS)
def test_a_broken_shop_gets_its_message(name: str, tmp_path: Path) -> None:
    part, content, words = SHOPS[name]
    shop = small_shop(tmp_path / "shop")
    assert kefu("data", "check", str(shop)).exit_code == 0
    if content is None:
        (shop / part).unlink()
    else:
        (shop / part).write_text(content, encoding="utf-8")
    refused(kefu("data", "check", str(shop)), words, 1, 2)


def test_every_line_end_and_a_mark_are_read(tmp_path: Path) -> None:
    texts = (
        "My kettle hums",
        "The lid rattles when it boils",
        "It smells of rubber since May",
        "The lamp on it never goes out",
    )
    for end in ("\n", "\r\n", "\r", "mixed"):
        ends = ["\r\n", "\r", "\n", "\r"] if end == "mixed" else [end] * 4
        path = tmp_path / "rows.jsonl"
        rows = (
            row(text=text, intent="warranty_repair ").strip() for text in texts
        )  # a blank at a label's end is no error
        path.write_bytes(b"\xef\xbb\xbf" + "".join(map("".join, zip(rows, ends, strict=True))).encode())
        result = kefu("data", "check", str(path), "--json")
        body = json.loads(result.stdout)
        assert (body["rows"], body["kept"], body["findings"]) == (4, 4, {}), (end, body["findings"])


def test_all_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("not JSON\n" + LINE + row(text=1) * 3 + row(intent="hum") + '{"a"\n', encoding="utf-8")
    result = kefu("data", "check", str(path), "--json")
    found = json.loads(result.stdout)["findings"]
    assert result.exit_code == 1
    assert [finding["places"] for finding in found["malformed"]] == [
        [f"{path}:1"],
        [f"{path}:{number}" for number in (3, 4, 5)],
        [f"{path}:7"],
    ]
    assert [finding["places"] for finding in found["unknown label"]] == [[f"{path}:6"]]


def test_rows_of_a_table_stand_where_they_begin(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    good = 'text,label\n"My kettle\nhums",hum\n\n'
    path.write_bytes(good.encode() + "壶,hum\n".encode("gbk") + b"My lid hums,ring\n")
    found = json.loads(kefu("data", "check", str(path), "--json").stdout)["findings"]
    assert [finding["places"] for finding in found["malformed"]] == [[f"{path}:5"]]
    assert [finding["places"] for finding in found["unknown label"]] == [[f"{path}:2"], [f"{path}:6"]]
