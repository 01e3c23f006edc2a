"""Merging: what base and adapter say together, tied and repeatable."""

from pathlib import Path

import torch

from data.artifact import Adapter, ArtifactStore, Base, Merged
from data.chat import template
from pipelines.base_model import load_model, load_tokenizer
from pipelines.merge import merge
from pipelines.quantize import tensor_types


def test_the_merged_model_says_what_base_and_adapter_say(
    tiny_base: Base, tiny_adapter: Adapter, tiny_merged: Merged
) -> None:
    from peft import PeftModel

    new = tiny_base.facts["new_token_ids"]
    ids = torch.tensor([[5, 60, *new, 70]])
    both = PeftModel.from_pretrained(load_model(tiny_base.folder, "float32"), tiny_adapter.folder).eval()
    merged = load_model(tiny_merged.folder, "float32").eval()
    with torch.no_grad():
        expected, found, base = (
            both(ids).logits,
            merged(ids).logits,
            load_model(tiny_base.folder, "float32")(ids).logits,
        )

    assert (expected - base).abs().max() > 0.1
    assert (expected - found).abs().max() < 0.05 * expected.abs().max()  # rounded to BF16 once


def test_it_stays_tied_and_brings_tokenizer_and_template(tiny_base: Base, tiny_merged: Merged) -> None:
    types = dict(tensor_types(tiny_merged.folder))

    assert tiny_merged.facts["tied"] and "lm_head.weight" not in types
    assert set(types.values()) == {"BF16"}
    assert (tiny_merged.folder / "chat_template.jinja").read_text() == template()
    assert load_tokenizer(tiny_merged.folder).get_vocab() == load_tokenizer(tiny_base.folder).get_vocab()


def test_merging_again_elsewhere_gives_the_same_digest(
    tmp_path: Path, tiny_base: Base, tiny_adapter: Adapter, tiny_merged: Merged
) -> None:
    assert merge(ArtifactStore(tmp_path), tiny_base, tiny_adapter).digest == tiny_merged.digest
