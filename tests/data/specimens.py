"""The animals of the zoo of bad input: each by its name, with the words that its message must have."""

import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

GOOD = {"text": "My kettle hums in B flat", "intent": "warranty_repair", "language": "en"}
LINE = json.dumps(GOOD) + "\n"
ZH = '{"text": "水壶嗡嗡响，能修一下吗", "intent": "warranty_repair", "language": "zh"}\n'
SAID = [{"role": "user", "content": "Hum?"}, {"role": "assistant", "content": "It hums."}]


def row(**fields: Any) -> str:
    return json.dumps(GOOD | fields) + "\n"


def talk(*messages: dict[str, Any], **fields: Any) -> str:
    return json.dumps({"messages": messages, **fields}) + "\n"


def calling(arguments: Any) -> str:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": arguments}}
    return talk(SAID[0], {"role": "assistant", "content": None, "tool_calls": [call]})


def nested(depth: int) -> str:
    return '{"a": ' * depth + "1" + "}" * depth


def zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("rows.jsonl", LINE)
    return packed.getvalue()


def table(**columns: Any) -> bytes:
    packed = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), packed)
    return packed.getvalue()


# name of the file: its content, and the words that its message must have
FILES: dict[str, tuple[str | bytes, str]] = {
    "utf16.jsonl": (LINE.encode("utf-16"), r"is UTF-16, not UTF-8; iconv -f UTF-16"),
    "utf16-no-mark.jsonl": (LINE.encode("utf-16-le"), r"is UTF-16, not UTF-8"),
    "utf32.jsonl": (LINE.encode("utf-32"), r"is UTF-32, not UTF-8"),
    "gbk.jsonl": ((ZH * 3).encode("gbk"), r"gbk.jsonl:1: not UTF-8 but, as it seems, GB18030; iconv -f GB18030"),
    "latin1.jsonl": (row(text="PLACE").replace("PLACE", "Señor café hums").encode("latin-1"), r"as it seems, CP1252"),
    "one-line-of-gbk.jsonl": (LINE.encode() + ZH.encode("gbk"), r"one-line-of-gbk.jsonl:2: .*GB18030"),
    "gbk.csv": (
        "text,label\n水壶嗡嗡响,warranty_repair\n".encode("gbk"),
        r"gbk.csv:2: not UTF-8 but, as it seems, GB18030",
    ),
    "nul.jsonl": (LINE.encode().replace(b"kettle", b"ket\0tle"), r"holds NUL bytes \(the first at 16\)"),
    "nul-far-in.jsonl": (
        LINE.encode() * 900 + LINE.encode().replace(b"kettle", b"ket\0tle"),
        r":901: .*a NUL byte in column 17",
    ),
    "bomb.jsonl": ("[" * 200_000 + "\n", r"nested deeper than 32 levels; flatten it"),
    "deep.jsonl": (LINE[:-2] + f', "x": {nested(40)}}}\n', r"nested deeper than 32 levels"),
    "deep-arguments.jsonl": (calling(nested(40)), r"turn 1: the arguments of look: nested deeper than 32 levels"),
    "archive.jsonl": (zipped(), r"is a ZIP archive \(or an Excel workbook\); unpack it"),
    "packed.jsonl": (gzip.compress(LINE.encode()), r"is compressed with gzip; gunzip it"),
    "paper.jsonl": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", r"is a PDF; export its text"),
    "paper.csv": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", r"is a PDF; export its text"),
    "page.jsonl": ("<!DOCTYPE html><html>", r"is a web page; download the file itself"),
    "pointer.jsonl": ("version https://git-lfs.github.com/spec/v1\n", r"a pointer of Git LFS"),
    "database.jsonl": (b"SQLite format 3\0", r"is an SQLite database"),
    "parquet.jsonl": (table(text=["hm"], label=["x"]), r"is a Parquet file; name it .parquet"),
    "empty.jsonl": ("", r"is empty; expected at least one row"),
    "blank.jsonl": ("\n \n\r\n\t\n", r"is empty; expected at least one row"),
    "empty.csv": ("", r"is empty; expected at least one row"),
    "only-header.csv": ("text,label\n", r"is empty; expected at least one row"),
    "array.jsonl": ("[\n" + LINE.strip() + "\n]\n", r"array.jsonl:1: one JSON array over several lines"),
    "array-in-a-line.jsonl": (f"[{LINE.strip()}]\n", r"not a JSON object but a list: write each .* \(jq -c"),
    "pretty.jsonl": (json.dumps(GOOD, indent=2), r"pretty.jsonl:1: one JSON object over several lines"),
    "comma-after.jsonl": (LINE.strip() + ",\n" + LINE, r":1: not JSON: .*a comma after the object; remove it"),
    "comma-inside.jsonl": (LINE[:-2] + ",}\n", r"a comma before }; remove it"),
    "two-in-a-line.jsonl": (LINE.strip() + LINE, r"more after the first value; one a line"),
    "single-quotes.jsonl": (str(GOOD) + "\n", r"single quotes; JSON has double ones"),
    "cut-off.jsonl": (LINE + LINE[:30], r"cut-off.jsonl:2: .*a quote is never closed: the line was cut off"),
    "control.jsonl": (LINE.replace("kettle", "ket\ttle"), r"a raw control character .* write it escaped"),
    "backslash.jsonl": (LINE.replace("kettle", "ket\\tle\\x"), r"a backslash that escapes nothing"),
    "twice.jsonl": (LINE[:-2] + ', "intent": "complaint"}\n', r'the key "intent" comes twice in one object; keep one'),
    "nan.jsonl": (LINE[:-2] + ', "x": NaN}\n', r"NaN is not JSON; write null"),
    "infinity.jsonl": (LINE[:-2] + ', "x": -Infinity}\n', r"-Infinity is not JSON"),
    "huge-float.jsonl": (LINE[:-2] + ', "x": 1e999}\n', r"too large for any reader"),
    "huge-integer.jsonl": (
        LINE[:-2] + f', "x": {"9" * 5000}}}\n',
        r"a number of 5000 digits; write identifiers as text",
    ),
    "surrogate.jsonl": (LINE.replace("kettle", r"kettle \ud83d"), r"half of a character, \\ud83d"),
    "numbers.jsonl": (row(text=42), r"text: expected a text, found 42"),
    "null-label.jsonl": (row(intent=None), r"intent: expected a text, found null"),
    "no-label.jsonl": ('{"text": "Hum", "language": "en"}\n', r"intent: missing"),
    "foreign-keys.jsonl": ('{"prompt": "Hum?", "answer": "Hm."}\n', r"text: missing; .*prompt: an unknown key"),
    "foreign-language.jsonl": (row(language="de"), r"language: expected 'en' or 'zh', found \"de\""),
    "role.jsonl": (
        talk({"role": "bot", "content": "Hm."}, *SAID),
        r"turn 0: role 'bot'; expected one of system, developer",
    ),
    "sharegpt-role.jsonl": (
        '{"conversations": [{"from": "bot", "value": "Hm."}]}',
        r"turn 0: from 'bot'; expected one of human",
    ),
    "no-role.jsonl": (talk({"content": "Hm."}, *SAID), r"turn 0: role null; expected one of"),
    "no-call.jsonl": (
        talk(SAID[0], {"role": "tool", "content": "x"}, SAID[1]),
        r"turn 1: a tool result without a call",
    ),
    "customer-last.jsonl": (talk(*SAID, SAID[0]), r"the last turn must be the assistant's"),
    "late-system.jsonl": (
        talk(*SAID, {"role": "system", "content": "x"}, SAID[1]),
        r"turn 2: a system message may only",
    ),
    "empty-turn.jsonl": (talk({"role": "user", "content": " "}, SAID[1]), r"messages.0: an empty user message"),
    "turn-of-number.jsonl": (
        talk({"role": "user", "content": 7}, SAID[1]),
        r"turn 0: content: expected a text, found a number",
    ),
    "messages-of-text.jsonl": (
        '{"messages": ["hi", "ho"]}\n',
        r"messages: expected a list of turns, found a text in place 0",
    ),
    "arguments-list.jsonl": (calling(["7"]), r"the arguments of look: expected an object, found a list"),
    "arguments-broken.jsonl": (calling('{"order_id": '), r"the arguments of look: not JSON: .*the line ends"),
    "arguments-text.jsonl": (calling('"7"'), r"the arguments of look: expected an object, found a text"),
    "calls-of-text.jsonl": (
        talk(SAID[0], {"role": "assistant", "tool_calls": "look"}),
        r"tool_calls: expected a list of objects",
    ),
    "tools-of-text.jsonl": (talk(*SAID, tools="look"), r"tools: expected a list of objects, found a text"),
    "no-column.csv": (
        "query,category\nHum?,x\n",
        r"no column text or label; it has query, category: set text and label",
    ),
    "twice.csv": ("text,text,label\na,b,c\n", r'the header has "text" more than once'),
    "semicolons.csv": ("text;label\nHum?;x\n", r"its columns seem to be separated by ';'"),
    "ragged.csv": ("text,label\nHum, really?,complaint\n", r"ragged.csv:2: 3 cells where the header has 2; put a text"),
    "short.csv": ("text,label\nHum?\n", r"short.csv:2: 1 cells where the header has 2; fill it up"),
    "unclosed.csv": (
        'text,label\nHum,complaint\n"Hum,complaint\nHo,complaint\n',
        r":3: .*a quote that opens here is never closed",
    ),
    "huge-cell.csv": (
        'text,label\n"' + "hum " * 40_000 + '",complaint\n',
        r":2: .*a cell of more than 131,072 characters",
    ),
    "after-quote.csv": ('text,label\n"Hum" really,complaint\n', r"not a table: .*double the quotes"),
    "no-label.csv": ("text,label\nHum?,\n", r"no-label.csv:2: intent: empty; expected a text"),
    "truncated.parquet": (table(text=["hm"], label=["x"])[:-40], r"not a Parquet file, or not a whole one"),
    "csv.parquet": ("text,label\nhm,x\n", r"not a Parquet file"),
    "lists.parquet": (table(text=[["hm"]], label=["x"]), r"lists.parquet:1: text: expected a text, found a list"),
    "bytes.parquet": (table(text=[b"hm"], label=["x"]), r"text: expected a text, found bytes; save the column as text"),
    "null.parquet": (table(text=[None, "hm"], label=["x", "x"]), r"null.parquet:1: text: empty; expected a text"),
    "other-columns.parquet": (table(query=["hm"], label=[3]), r"no column text; it has query, label"),
}

# what only the check has more to say about; the build of such rows is refused in tests/data/test_build.py
LABELS: dict[str, tuple[str | bytes, str]] = {
    "misspelt.jsonl": (LINE + row(text="Hums!", intent="warranty_repiar"), r":2: .*; meant warranty_repair\?"),
    "spelt-otherwise.jsonl": (row(intent="Warranty Repair"), r"'Warranty Repair' is not .*; meant warranty_repair\?"),
    "chinese.jsonl": (row(intent="保修维修"), r"meant warranty_repair\?"),
    "class-numbers.parquet": (table(text=["hm"], label=[3]), r"'3' is a number, not an intent; say which intents"),
    "many.jsonl": (
        row(intent="hum") * 1000,
        r"unknown label \(1000\) \S+:1: 'hum' is not .* \(1000 rows, also \S+:2, ",
    ),
    "contradiction.jsonl": (
        LINE + row(intent="complaint"),
        r"is complaint, and warranty_repair at \S+contradiction.jsonl:1",
    ),
}


def folder(path: Path) -> None:
    path.mkdir()


def dangling(path: Path) -> None:
    path.symlink_to("gone.jsonl")


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def failing(path: Path) -> None:
    path.symlink_to("/proc/self/mem")  # opens, and fails when it is read


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def long_line(path: Path) -> None:
    with path.open("w") as file:
        file.write(LINE + '{"text": "')
        file.writelines("hum " * 250_000 for _ in range(100))
        file.write('"}\n' + '{"text": 1}\n')


THINGS: dict[str, tuple[Callable[[Path], None], str]] = {
    "folder.jsonl": (folder, r"is not a shop: missing intents.yaml"),
    "folder.csv": (folder, r"is not a shop"),
    "dangling.jsonl": (dangling, r"a link to gone.jsonl, which does not exist"),
    "pipe.jsonl": (os.mkfifo, r"a pipe, which may never end; .*save it to a file first"),
    "pipe.csv": (os.mkfifo, r"a pipe, which may never end"),
    "endless.jsonl": (endless, r"a device or socket, which may never end"),
    "failing.jsonl": (failing, r"cannot be read to its end \(Input/output error\); copy it again"),
    "sparse.jsonl": (sparse, r"holds NUL bytes"),
    "sparse.csv": (sparse, r"holds NUL bytes"),
    "long-line.jsonl": (long_line, r"long-line.jsonl:2: longer than 1,048,576 characters"),
}

LAUGHS = "a: &a [lol, lol]\n" + "".join(
    f"{y}: &{y} [{', '.join([f'*{x}'] * 9)}]\n" for x, y in zip("abcdefgh", "bcdefghi", strict=True)
)
# what is wrong with any YAML
YAMLS: dict[str, tuple[str | bytes, str]] = {
    "syntax": ("a: [1, 2\n", r":2: not valid YAML: "),
    "tab": ("a:\n\tb: 1\n", r":2: not valid YAML: .*\\t"),
    "cycle": ("a: &a\n  b: *a\n", r":2: not valid YAML: the alias \*a; write out what it stands for"),
    "laughs": (LAUGHS, r":2: not valid YAML: the alias \*a"),
    "twice": ("a: 1\nb: 2\na: 3\n", r":3: not valid YAML: the key 'a' comes twice; keep one"),
    "object": ("a: !!python/object/apply:os.system [true]\n", r":1: not valid YAML: .*python/object/apply:os.system"),
    "date": ("a: 2026-13-45\n", r"not valid YAML: month must be in 1..12"),
    "deep": ("a: " + "[" * 500 + "]" * 500, r":1: not valid YAML: nested deeper than 20 levels"),
    "gbk": ("a: 水壶嗡嗡响\n".encode("gbk"), r"not UTF-8 but, as it seems, GB18030"),
    "utf16": ("a: 1\n".encode("utf-16"), r"is UTF-16, not UTF-8"),
    "archive": (zipped(), r"is a ZIP archive"),
    "control": ("a: \x07\n", r"not valid YAML: .*special characters are not allowed"),
    "large": ("a: 1 # " + "x" * 5_000_000, r"5,000,007 bytes; expected .* of at most 4,194,304"),
}
SHOPS: dict[str, tuple[str, str | None, str]] = {
    "no taxonomy": ("intents.yaml", None, r"is not a shop: missing intents.yaml; expected"),
    "an intent twice": (
        "intents.yaml",
        "intents:\n  hum: {zh: 嗡, means: hums}\n  hum: {zh: 响, means: rings}\n",
        r"intents.yaml:3: not valid YAML: the key 'hum' comes twice",
    ),
    "a list of intents": (
        "intents.yaml",
        "intents: [hum, ring]\n",
        r"intents.yaml: intents: .* found \[\"hum\", \"ring\"\]",
    ),
    "an intent without meaning": ("intents.yaml", "intents:\n  hum: {zh: 嗡}\n", r"intents.hum.means: missing"),
    "an empty taxonomy": ("intents.yaml", "", r"intents.yaml: value: .*Taxonomy, found null"),
    "broken tools": ("tools.json", "[{]", r"tools.json: expected a JSON list of tools in OpenAI's shape; .*column 3"),
    "tools of another shape": (
        "tools.json",
        '[{"name": "look"}]',
        r"tools.json: expected .*OpenAI's shape; KeyError: 'function'",
    ),
    "a bad training row": (
        "train/utterances.jsonl",
        LINE + "{}\n",
        r"utterances.jsonl:2: text: missing; intent: missing",
    ),
    "no dialogs": ("train/dialogs.jsonl", None, r"train: no dialogs\*.jsonl"),
    "a bad case": ("cases/intents.jsonl", "{}\n", r"cases/intents.jsonl:1: text: missing"),
}
