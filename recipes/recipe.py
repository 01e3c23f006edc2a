"""Recipes: one strict YAML is one complete way of running the whole pipeline. No inheritance, no import strings.

Unknown keys and wrong values are refused, all at once, with the valid keys named. Not covered: what the values mean to each
library; that is said where the stage uses them.
"""

import types
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, ValidationError, field_validator, model_validator

from data.errors import BadInput
from data.schema import Language, Strict
from data.sources import Source
from data.yamltext import yaml_value

Share = Annotated[float, Field(gt=0, le=1)]
Figure = Literal["intent_macro_f1", "retention", "tool_call_accuracy", "unparsable"]

RECIPES = Path(__file__).resolve().parent


class HubBase(Strict):
    """A model on the Hugging Face Hub."""

    kind: Literal["hub"]
    name: str
    revision: str = "main"


class FolderBase(Strict):
    """A local Transformers checkpoint (safetensors only)."""

    kind: Literal["folder"]
    path: Path


class GgufBase(Strict):
    """A local GGUF file; its weights are dequantized to BF16."""

    kind: Literal["gguf"]
    path: Path


class PackageBase(Strict):
    """A GGUF file inside an installed Python package (which is never imported)."""

    kind: Literal["package"]
    package: str
    file: str


class RandomBase(Strict):
    """A tiny Qwen3 with random weights, built on the spot, with the tokenizer of `tokenizer`. For mechanics only."""

    kind: Literal["random"]
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    kv_heads: PositiveInt
    head_dim: PositiveInt
    seed: int
    tokenizer: PackageBase


BaseModelSource = Annotated[HubBase | FolderBase | GgufBase | PackageBase | RandomBase, Field(discriminator="kind")]


class DataRecipe(Strict):
    """What is learned: sources, the token budget (prompt and completion, tokens of the base) and how it is divided."""

    sources: tuple[Source, ...] = Field(min_length=1)
    max_tokens: PositiveInt
    shares: dict[Literal["intent", "dialog"], Share]  # of the budget
    languages: dict[Language, Share]  # of each task's share
    # how often each row comes in one epoch, if not once; 1.5 is all of them once and half of them once more
    repeat: dict[Literal["intent", "dialog"], Annotated[float, Field(ge=1)]] = Field(default_factory=dict)
    validation: Share  # of the utterances, held out; they also widen the retention test
    # similarity from which a row says about the same as another of its label, and is dropped
    near_duplicates: Share = 0.7
    per_intent: PositiveInt | None = None  # utterances of each intent and language at most, before the budget
    bad_rows: Literal["refuse", "drop"] = "refuse"  # malformed, of an unknown label, contradicting each other
    # sources, by name, in which names and addresses are replaced too (a slow recognizer): what people really wrote.
    # Numbers, phones, e-mail and cards are replaced in all
    redact_people: tuple[str, ...] = ("jsonl", "openai", "sharegpt", "table", "traces")
    seed: int = 0

    @field_validator("redact_people")
    @classmethod
    def _sources_by_their_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = sorted(str(_tag(model)) for model in _flatten(Source) if isinstance(model, type))
        if unknown := sorted(set(names) - set(known)):
            raise ValueError(f"no source is called {', '.join(unknown)}; known: {', '.join(known)}")
        return names


class LoraRecipe(Strict):
    """LoRA as PEFT and TRL take it."""

    rank: PositiveInt
    alpha: PositiveInt
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    learning_rate: Annotated[float, Field(gt=0)]
    epochs: Annotated[float, Field(gt=0)]
    batch_size: PositiveInt
    gradient_accumulation: PositiveInt = 1
    tokens_at_once: PositiveInt = 1280  # of one pass: a large batch takes several, for memory; same gradient
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.03
    scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_length: PositiveInt
    save_steps: PositiveInt
    gradient_checkpointing: bool = False
    seed: int = 0


class QuantizeRecipe(Strict):
    """FP8 E4M3. `block` is (rows, columns) of a weight scale for FP8_BLOCK; FP8_DYNAMIC scales by channel and token."""

    scheme: Literal["FP8_BLOCK", "FP8_DYNAMIC"]
    block: tuple[PositiveInt, PositiveInt] | None = None
    ignore: tuple[str, ...] = ("lm_head",)

    @model_validator(mode="after")
    def _block_where_needed(self) -> "QuantizeRecipe":
        if (self.scheme == "FP8_BLOCK") != (self.block is not None):
            raise ValueError("FP8_BLOCK needs a block such as [128, 128]; FP8_DYNAMIC takes none")
        return self


class Floors(Strict):
    """What a release must reach when it serves; a set one whose figure was not measured refuses the release."""

    tokens_per_s: Annotated[float, Field(gt=0)] | None = None  # at least, all requests together
    first_token_ms: Annotated[float, Field(gt=0)] | None = None  # at most, the median
    memory_mb: Annotated[float, Field(gt=0)] | None = None  # at most, of the engine


class GateRecipe(Strict):
    """The thresholds. `intents` limits the gate to a subset of the taxonomy (all intents are still reported).

    Of the optional ones a bar that is not set is not held; its figure is recorded all the same.
    """

    languages: tuple[Language, ...] = Field(min_length=1)
    intents: tuple[str, ...] | None = None
    intent_f1: Share
    retention: Share
    tool_calls: Share
    unparsable: Annotated[float, Field(ge=0, le=1)] = 0.02  # largest share of unparsable labels
    power: Share = 0.8  # to find a model that keeps everything non-inferior
    require: tuple[Figure, ...] = get_args(Figure)
    restraint: Share | None = None  # right answers among the tool cases in which no call is due
    thinking_leaks: NonNegativeInt = 0  # answers with reasoning although thinking is off
    markup_leaks: NonNegativeInt | None = None  # answers with a mark of the template in their text
    promises: NonNegativeInt | None = None  # answers that promise what no shop can
    ungrounded: Annotated[float, Field(ge=0, le=1)] | None = None  # answers with a claim that no source has
    # slices on which the champion's accuracy is protected, and what share of it must be kept: a language, `plain`,
    # `hard`, or a style of the cases; with several languages each is protected without being named
    protect: dict[str, Share] = Field(default_factory=dict)
    # checks that must have run, such as parity and conformance; each that ran must be clean
    checks: tuple[str, ...] = ()
    floors: Floors = Floors()


class EvaluateRecipe(Strict):
    """What is evaluated beside the models that the gate compares."""

    prompted_base: bool = False  # the untuned base too, for the report: another start of the engine, asked once


class EngineRecipe(Strict):
    """Flags of the engine that depend on the model and the machine it is meant for."""

    max_num_seqs: PositiveInt = 16
    kv_cache_gib: Annotated[float, Field(gt=0)] = 1.0  # on a CPU
    # on a GPU; fp8 pays where memory, not arithmetic, bounds how many requests fit: it halves what a token takes there
    kv_cache_dtype: Literal["auto", "fp8"] = "auto"
    gpu_memory_utilization: Share = 0.85
    enforce_eager: bool = True


class ServeRecipe(Strict):
    """What the endpoint offers: tools by name, context and history in tokens, the engine."""

    tools: tuple[str, ...] = Field(min_length=1)
    context: PositiveInt
    history: PositiveInt
    answer_tokens: PositiveInt = 512
    thinking_tokens: PositiveInt = 512
    engine: EngineRecipe = EngineRecipe()

    @model_validator(mode="after")
    def _history_inside_context(self) -> "ServeRecipe":
        if self.history + self.answer_tokens + self.thinking_tokens > self.context:
            raise ValueError("history + answer_tokens + thinking_tokens must fit into context")
        return self


class Recipe(Strict):
    """One way of running everything. `purpose: mechanics` marks a model that proves the plumbing and nothing else."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    purpose: Literal["production", "mechanics"]
    base: BaseModelSource
    data: DataRecipe
    train: LoraRecipe
    quantize: QuantizeRecipe
    evaluate: EvaluateRecipe = EvaluateRecipe()
    gate: GateRecipe
    serve: ServeRecipe

    @classmethod
    def read(cls, path: Path) -> "Recipe":
        """Reads and checks a recipe.

        Raises:
            BadInput: the file is missing, not YAML, or does not fit; every problem is named, with the valid keys.
        """
        known = ", ".join(sorted(f"recipes/{p.name}" for p in RECIPES.glob("*.yaml")))
        content = yaml_value(path, f"a recipe; those of this repository: {known}")
        if not isinstance(content, dict):
            raise BadInput(f"{path}: expected a mapping with the keys {', '.join(cls.model_fields)}")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise BadInput("\n".join(_explain(path, problem) for problem in error.errors())) from error


def _explain(path: Path, problem: Any) -> str:
    names, _ = _resolved(problem["loc"])
    where = f"{path}: {'.'.join(names)}"
    if problem["type"] != "extra_forbidden":
        return f"{where}: {problem['msg']} (found {problem.get('input')!r})"
    _, model = _resolved(problem["loc"][:-1])
    return f"{where}: unknown key; valid here: {', '.join(model.model_fields)}"


def _resolved(location: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel]]:
    """A location within a recipe without pydantic's tags of unions, and the model that it leads into."""
    names: list[str] = []
    models: list[type[BaseModel]] = [Recipe]
    for part in location:
        if tagged := [model for model in models if len(models) > 1 and _tag(model) == part]:
            models = tagged
            continue
        names.append(str(part))
        field = models[0].model_fields.get(str(part))
        leaves = _flatten(field.annotation) if field else []
        models = [leaf for leaf in leaves if isinstance(leaf, type) and issubclass(leaf, BaseModel)] or models
    return names, models[0]


def _tag(model: type[BaseModel]) -> Any:
    """The value by which a union knows this model: of the field that can have only one."""
    values = [get_args(f.annotation) for f in model.model_fields.values() if get_origin(f.annotation) is Literal]
    return next((only[0] for only in values if len(only) == 1), None)


def _flatten(annotation: Any) -> list[Any]:
    arguments = get_args(annotation)
    if isinstance(annotation, types.GenericAlias | types.UnionType) or arguments:
        return [leaf for argument in arguments for leaf in _flatten(argument)]
    return [annotation]
