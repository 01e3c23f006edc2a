"""A tiny Qwen3 with a tokenizer trained on the spot, and what the stages make of it, shared by a session."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from data.artifact import Adapter, ArtifactStore, Base, Corpus, Merged
from data.chat import Row, call_text
from data.schema import Function, Language, Message, write_jsonl
from pipelines.base_model import prepare_base
from pipelines.merge import merge
from pipelines.train import train
from recipes.recipe import FolderBase, LoraRecipe

TOOL = {"type": "function", "function": {"name": "query_order_status", "description": "d", "parameters": {}}}
LORA = LoraRecipe(rank=4, alpha=8, learning_rate=1e-2, epochs=2, batch_size=4, max_length=1024, save_steps=3)
TURNS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def make_checkpoint(folder: Path, tokens: Sequence[str] = TURNS, kind: str = "qwen3", *, tied: bool = True) -> Path:
    """Writes a random model of 0.3 M parameters and Transformers' type `kind`; its tokenizer has `tokens` as special ones."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=list(tokens), initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator(["where is my order", "I want a refund", "我的订单在哪里"] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=tokens[0])
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=64,
        max_position_embeddings=2048,
        tie_word_embeddings=tied,
    )
    torch.manual_seed(3)
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_rows() -> list[Row]:
    """Twenty rows: short labels in two languages, one tool call, one answer with thinking."""
    texts: tuple[tuple[str, str, Language], ...] = (
        ("where is my order", "order_status", "en"),
        ("我的订单在哪里", "order_status", "zh"),
        ("I want a refund", "refund", "en"),
    )
    rows = [
        Row(
            task="intent",
            messages=(
                Message(role="system", content="Name the intent."),
                Message(role="user", content=text + " please" * (number % 4)),
            ),
            completion=intent,
            language=language,
            source="test",
        )
        for number in range(6)
        for text, intent, language in texts
    ]
    call = call_text(Function(name="query_order_status", arguments={"order_id": "42"}))
    ask = (Message(role="user", content="where is my order 42"),)
    rows.append(Row(task="tool_call", messages=ask, completion=call, tools=(TOOL,), language="en", source="test"))
    thought = "<think>\nthe order is due\n</think>\n\nIt is on its way."
    rows.append(Row(task="thinking", messages=ask, completion=thought, thinking=True, language="en", source="test"))
    return rows


def make_corpus(store: ArtifactStore, rows: Sequence[Row]) -> Corpus:
    """A corpus of these rows."""

    def make(folder: Path) -> None:
        write_jsonl(folder / "train.jsonl", list(rows))

    key = json.dumps([row.model_dump(mode="json") for row in rows])
    return store.build(Corpus, make, inputs={"rows": key}, section=None, code="")


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def tiny_base(tiny_store: ArtifactStore, tiny_checkpoint: Path) -> Base:
    return prepare_base(tiny_store, FolderBase(kind="folder", path=tiny_checkpoint))


@pytest.fixture(scope="session")
def tiny_corpus(tiny_store: ArtifactStore) -> Corpus:
    return make_corpus(tiny_store, tiny_rows())


@pytest.fixture(scope="session")
def tiny_adapter(tiny_store: ArtifactStore, tiny_base: Base, tiny_corpus: Corpus) -> Adapter:
    return train(tiny_store, tiny_corpus, tiny_base, LORA, lambda step, figures: None)


@pytest.fixture(scope="session")
def tiny_merged(tiny_store: ArtifactStore, tiny_base: Base, tiny_adapter: Adapter) -> Merged:
    return merge(tiny_store, tiny_base, tiny_adapter)
