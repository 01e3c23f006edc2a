"""Every kind of base becomes the same kind of folder, and what is missing is said."""

from pathlib import Path

import pytest
import torch
from transformers.convert_slow_tokenizer import bytes_to_unicode

from data.artifact import ArtifactStore, Base
from data.chat import SPECIAL_TOKENS, template
from data.errors import BadInput, EnvironmentLacks
from pipelines.base_model import load_model, load_tokenizer, prepare_base
from recipes.recipe import RECIPES, FolderBase, GgufBase, HubBase, PackageBase, Recipe
from tests.pipelines.tiny import make_checkpoint

ALL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *SPECIAL_TOKENS)


def test_a_base_speaks_qwen3(tiny_base: Base) -> None:
    tokenizer = load_tokenizer(tiny_base.folder)
    text = "a<think>b</think><tool_call>{}</tool_call>"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]

    assert {tokenizer.convert_tokens_to_ids(t) for t in ("<think>", "</think>", "<tool_call>", "</tool_call>")} <= set(
        ids
    )
    assert tokenizer.decode([*ids, tokenizer.eos_token_id], skip_special_tokens=True) == text  # parsers must see them
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert tokenizer.chat_template == template() == (tiny_base.folder / "chat_template.jinja").read_text()


def test_new_rows_lie_at_the_mean_and_differ(tiny_base: Base, tiny_checkpoint: Path) -> None:
    before = load_model(tiny_checkpoint, "float32").get_input_embeddings().weight
    after = load_model(tiny_base.folder, "float32").get_input_embeddings().weight
    new = tiny_base.facts["new_token_ids"]

    assert new == list(range(len(before), len(before) + len(SPECIAL_TOKENS)))
    assert torch.equal(after[: len(before)], before)
    assert len(after) % 128 == 0 and len(after) == tiny_base.facts["vocabulary"]
    assert (after[new] - before.mean(0)).abs().max() < 0.1 * before.std()
    assert len({tuple(row.tolist()) for row in after[new]}) == len(new)


def test_the_same_base_has_the_same_digest_anywhere(tmp_path: Path, tiny_base: Base, tiny_checkpoint: Path) -> None:
    again = prepare_base(ArtifactStore(tmp_path), FolderBase(kind="folder", path=tiny_checkpoint))

    assert again.digest == tiny_base.digest
    for path in tiny_base.folder.glob("*.json"):
        assert str(tiny_checkpoint) not in path.read_text() and str(tiny_base.folder) not in path.read_text()


def test_a_base_that_has_the_tokens_keeps_its_weights(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "whole", ALL)
    base = prepare_base(ArtifactStore(tmp_path), FolderBase(kind="folder", path=folder))
    before, after = (load_model(path, "float32").state_dict() for path in (folder, base.folder))

    assert base.facts["new_token_ids"] == []
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("tied", [True, False])
def test_marks_that_a_base_cannot_tell_apart_are_new_to_it(tmp_path: Path, tied: bool) -> None:
    folder = make_checkpoint(tmp_path / "whole", ALL, tied=tied)
    ids = load_tokenizer(folder).convert_tokens_to_ids(["<tool_call>", "</tool_call>"])
    model = load_model(folder, "bfloat16")
    with torch.no_grad():
        for table in (model.get_input_embeddings(), model.get_output_embeddings()):
            table.weight[ids] = table.weight[0].clone()
    model.save_pretrained(folder)
    base = prepare_base(ArtifactStore(tmp_path), FolderBase(kind="folder", path=folder))
    after = load_model(base.folder, "float32")

    assert base.facts["new_token_ids"] == sorted(ids)
    for table in (after.get_input_embeddings(), after.get_output_embeddings()):
        assert not torch.equal(table.weight[ids[0]], table.weight[ids[1]])


def test_turn_tokens_are_given_to_a_base_without_chatml(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "plain", ("<|endoftext|>",))
    base = prepare_base(ArtifactStore(tmp_path), FolderBase(kind="folder", path=folder))
    tokenizer = load_tokenizer(base.folder)

    assert len(base.facts["new_token_ids"]) == 2 + len(SPECIAL_TOKENS)
    assert tokenizer.decode(tokenizer("hi<|im_end|>")["input_ids"], skip_special_tokens=True) == "hi"


def write_gguf(path: Path) -> None:
    """A Llama of one layer, Q8_0 and F32, with a tokenizer of bytes, the turn tokens and `<tool_call>` as its user's."""
    import gguf
    import numpy

    hidden, middle = 64, 96
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *bytes_to_unicode().values(), "hi", "no", "<tool_call>"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(256)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(middle)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 3 + [1] * (len(tokens) - 4) + [4])
    writer.add_token_merges(["h i", "n o"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    shapes = {f"blk.0.attn_{name}": (hidden, hidden) for name in ("q", "k", "v", "output")}
    shapes |= {"blk.0.ffn_gate": (middle, hidden), "blk.0.ffn_up": (middle, hidden), "blk.0.ffn_down": (hidden, middle)}
    shapes |= {"token_embd": (len(tokens), hidden)}
    generator = numpy.random.default_rng(0)
    for name, shape in shapes.items():
        values = gguf.quants.quantize(generator.normal(size=shape).astype("f4"), gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor(f"{name}.weight", values, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", numpy.ones(hidden, dtype="f4"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackageBase:
    """A package with a GGUF in it that cannot be imported."""
    folder = tmp_path / "site" / "carries_a_model"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('imported')")
    write_gguf(folder / "model.gguf")
    monkeypatch.syspath_prepend(folder.parent)
    return PackageBase(kind="package", package="carries_a_model", file="model.gguf")


def test_a_gguf_in_a_package_is_dequantized_without_an_import(tmp_path: Path, package: PackageBase) -> None:
    base = prepare_base(ArtifactStore(tmp_path), package)
    model, tokenizer = load_model(base.folder, "bfloat16"), load_tokenizer(base.folder)

    assert (base.facts["architecture"], model.dtype) == ("LlamaForCausalLM", torch.bfloat16)
    assert not hasattr(model.config, "quantization_config")
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert len(base.facts["new_token_ids"]) == len(SPECIAL_TOKENS) - 1
    known = 3 + 256 + 2  # where the file has <tool_call>
    assert known not in base.facts["new_token_ids"]
    assert tokenizer("hi<tool_call>no", add_special_tokens=False)["input_ids"][1] == known  # whole


def test_a_random_qwen3_takes_its_tokenizer_from_a_package(tmp_path: Path, package: PackageBase) -> None:
    source = Recipe.read(RECIPES / "qwen3-tiny.yaml").base.model_copy(update={"tokenizer": package})
    one, two = (prepare_base(ArtifactStore(tmp_path / name), source) for name in "ab")

    assert one.facts["architecture"] == "Qwen3ForCausalLM"
    assert one.digest == two.digest
    assert len(load_tokenizer(one.folder)) == 3 + 256 + 3 + len(SPECIAL_TOKENS) - 1


@pytest.mark.slow
def test_the_embedded_default_is_made_from_its_package(tmp_path: Path) -> None:
    base = prepare_base(ArtifactStore(tmp_path), Recipe.read(RECIPES / "smollm2-135m.yaml").base)

    assert load_model(base.folder, "bfloat16").dtype == torch.bfloat16
    assert base.facts["parameters"] == 134588736


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        (FolderBase(kind="folder", path=Path("/nowhere")), BadInput, "config.json"),
        (GgufBase(kind="gguf", path=Path("/nowhere.gguf")), BadInput, "no such GGUF"),
        (PackageBase(kind="package", package="no_such_package", file="a.gguf"), EnvironmentLacks, "pip install"),
        (PackageBase(kind="package", package="gguf", file="no.gguf"), EnvironmentLacks, "holds no no.gguf"),
        (HubBase(kind="hub", name="nobody/nothing"), EnvironmentLacks, "kind: folder"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, source: object, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        prepare_base(ArtifactStore(tmp_path), source)  # type: ignore[arg-type]


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(BadInput, match="pickled"):
        prepare_base(ArtifactStore(tmp_path / "store"), FolderBase(kind="folder", path=tmp_path))
