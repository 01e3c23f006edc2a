"""FP8 E4M3 is proved from the files, not from the configuration."""

from pathlib import Path

import pytest
import torch

from data.artifact import ArtifactStore, Merged
from data.chat import template
from data.errors import BadInput, CheckFailed
from pipelines.base_model import load_model
from pipelines.quantize import prove_fp8, quantize, tensor_types
from recipes.recipe import QuantizeRecipe

SCHEMES = [QuantizeRecipe(scheme="FP8_BLOCK", block=(64, 128)), QuantizeRecipe(scheme="FP8_DYNAMIC")]
LINEARS = 2 * 7


@pytest.mark.parametrize("recipe", SCHEMES, ids=lambda recipe: recipe.scheme)
def test_every_linear_weight_becomes_fp8(
    tmp_path: Path, tiny_merged: Merged, recipe: QuantizeRecipe, capsys: pytest.CaptureFixture[str]
) -> None:
    quantized = quantize(ArtifactStore(tmp_path), tiny_merged, recipe)
    types = dict(tensor_types(quantized.folder))
    ids = torch.tensor([[5, 60, 7, 70]])
    with torch.no_grad():
        before, after = (load_model(path.folder, "bfloat16")(ids).logits for path in (tiny_merged, quantized))

    assert capsys.readouterr().out == ""  # standard output belongs to --json
    assert quantized.facts["fp8_tensors"] == LINEARS == sum(t == "F8_E4M3" for t in types.values())
    assert types["model.embed_tokens.weight"] == "BF16" and "lm_head.weight" not in types
    assert quantized.facts["bytes_after"] < quantized.facts["bytes_before"]
    assert quantized.facts["bytes_before"] == (tiny_merged.folder / "model.safetensors").stat().st_size
    assert (quantized.folder / "chat_template.jinja").read_text() == template()
    assert (before - after).abs().max() < 0.2 * before.abs().max()


def test_the_digest_repeats(tmp_path: Path, tiny_merged: Merged) -> None:
    one, two = (quantize(ArtifactStore(tmp_path / name), tiny_merged, SCHEMES[0]) for name in "ab")

    assert one.digest == two.digest


def test_a_block_over_the_seams_is_refused(tmp_path: Path, tiny_merged: Merged) -> None:
    with pytest.raises(BadInput, match=r"k_proj has 64 rows.*smaller block"):
        quantize(ArtifactStore(tmp_path), tiny_merged, QuantizeRecipe(scheme="FP8_BLOCK", block=(128, 128)))


def test_a_checkpoint_that_is_not_fp8_does_not_pass(tiny_merged: Merged) -> None:
    with pytest.raises(CheckFailed, match=r"q_proj\.weight: BF16"):
        prove_fp8(tiny_merged.folder, tiny_merged.folder, ["model.layers.0.self_attn.q_proj.weight"])
