"""TRL's trainer as Kefu runs it: logits only where something is learned, rows in flat passes without padding
(`packing.py`). One process.

What TRL 1.16 adds on a CPU is left out, none of it part of the mathematics: scores of prompt tokens, entropy, token
accuracy. Its fused head cannot be used at all beside trained rows of a tied embedding: it wants the stored weight,
without those rows, and fails at their wrapper. Not covered: several GPUs.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data.artifact import Base
from data.errors import BadInput
from pipelines.base_model import load_model, load_tokenizer
from pipelines.encode import Encoded
from pipelines.packing import ATTENTION, flat, grouped_attention, in_passes, spans
from recipes.recipe import LoraRecipe
from serving.hardware import Hardware

IGNORED = -100  # a label without loss, by PyTorch's convention
SCORED_AT_ONCE = 512  # positions whose logits are held in memory; more are scored in pieces and recomputed backwards


def make_trainer(
    base: Base,
    rows: Sequence[Encoded],
    recipe: LoraRecipe,
    checkpoints: Path,
    hardware: Hardware,
    *callbacks: Any,
) -> Any:
    """The trainer for encoded rows, ready to run on this hardware; checkpoints go below `checkpoints`."""
    import datasets
    import transformers
    from peft.tuners.lora import LoraLayer
    from trl import SFTConfig

    bf16 = hardware.compute_dtype == "bfloat16"
    transformers.utils.logging.disable_progress_bar()
    transformers.set_seed(recipe.seed)  # the adapter's first values
    # FP32 under BF16 autocast is the faster and exacter way on a CPU; a GPU need not hold the frozen weights in FP32
    model = load_model(base.folder, "bfloat16" if hardware.gpu else "float32")
    if not model._supports_attention_backend:  # Transformers would only warn, and rows of a pass see each other
        raise BadInput(
            f"a base of type {model.config.model_type} cannot be trained: expected causal attention in every layer, through "
            "Transformers' attention interface; take a Llama, Qwen2 or Qwen3"
        )
    transformers.AttentionInterface.register(ATTENTION, grouped_attention)
    model.set_attn_implementation(ATTENTION)
    if bf16 and hardware.gpu is None:
        _as_stored(model)
    options = SFTConfig(
        output_dir=str(checkpoints),
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.scheduler,
        warmup_steps=recipe.warmup,
        weight_decay=recipe.weight_decay,
        gradient_checkpointing=recipe.gradient_checkpointing,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        save_steps=recipe.save_steps,
        save_total_limit=2,
        logging_steps=1,
        bf16=bf16,
        use_cpu=hardware.gpu is None,
        dataloader_pin_memory=hardware.gpu is not None,
        disable_tqdm=True,
        report_to="none",
        seed=recipe.seed,
    )
    trainer = _trainer_class(recipe.tokens_at_once)(
        model=model,
        args=options,
        train_dataset=datasets.Dataset.from_list([_example(row) for row in rows]),
        processing_class=load_tokenizer(base.folder),
        peft_config=_lora(recipe, model, base.facts["new_token_ids"]),
        callbacks=list(callbacks),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    for module in trainer.model.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False  # autocast casts anyway: to FP32 and back would be two copies more
    return trainer


def _as_stored(model: Any) -> None:
    """Holds the frozen projections in BF16, as they are on disk: autocast would cast them so, anew in every pass. Norms,
    embeddings (the head is tied to them) and with them the residual stream stay in FP32."""
    import torch

    for layer in model.base_model.layers:
        for module in layer.modules():
            if isinstance(module, torch.nn.Linear):
                module.to(torch.bfloat16)


def _example(row: Encoded) -> dict[str, list[int]]:
    return {"input_ids": row.prompt + row.completion, "labels": [IGNORED] * len(row.prompt) + row.completion}


def _lora(recipe: LoraRecipe, model: Any, new_tokens: Sequence[int]) -> Any:
    """LoRA, and the rows of new tokens: it alone would leave them as they are. A head of its own has rows of its own."""
    from peft import LoraConfig

    tables = ["embed_tokens"] if model.config.tie_word_embeddings else ["embed_tokens", "lm_head"]
    targets = recipe.target_modules
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        trainable_token_indices={table: list(new_tokens) for table in tables} if new_tokens else None,
    )


def _trainer_class(tokens_at_once: int) -> Any:
    """TRL's trainer with the changes that this module is about; built here so that importing it stays cheap."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.utils.checkpoint import checkpoint
    from trl import SFTTrainer

    class Shuffled(torch.utils.data.Sampler[int]):  # type: ignore[misc]
        """Rows in an order that depends on seed and epoch alone, so that a resumed run sees what an uninterrupted one
        sees. Tasks are mixed in every batch: with batches grouped by length the dialogs came in bursts, and each burst
        undid what the one before had taught."""

        def __init__(self, rows: int, seed: int) -> None:
            self.rows, self.seed, self.epoch = rows, seed, 0

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __len__(self) -> int:
            return self.rows

        def __iter__(self) -> Iterator[int]:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            return iter(torch.randperm(self.rows, generator=generator).tolist())

    class CompletionTrainer(SFTTrainer):  # type: ignore[misc]
        """Trains a batch in flat passes and scores only the positions that have a label, through the model's own head."""

        def _get_train_sampler(self, train_dataset: Any = None) -> Shuffled:
            return Shuffled(len(self.train_dataset), self.args.seed)

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
            """One batch in flat passes of bounded size. The gradient is that of the whole batch, as the loss of each pass is
            divided by the trained tokens of the whole step."""
            lengths = inputs["attention_mask"].sum(dim=1).tolist()
            batch = [ids[:length] for ids, length in zip(inputs["input_ids"].tolist(), lengths, strict=True)]
            learned = inputs["labels"] != IGNORED
            assert bool((learned.any(dim=1) & ~learned[:, 0]).all()), "a row is a prompt and its completion"
            prompts = learned.int().argmax(dim=1).tolist()
            trained_tokens = learned.sum() if num_items_in_batch is None else num_items_in_batch
            step = super().training_step
            total = torch.zeros((), device=inputs["labels"].device)
            for groups in in_passes(batch, prompts, self.processing_class.eos_token_id, tokens_at_once):
                ids, positions, scored = flat(batch, prompts, groups)
                flat_inputs = {
                    "input_ids": torch.tensor([ids]),
                    "position_ids": torch.tensor([positions]),
                    "scored": torch.tensor(scored),
                    "spans": spans(groups, self.args.device),
                }
                total += step(model, flat_inputs, trained_tokens)
            return total

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            """The loss of one flat pass: what is predicted at the places `scored` against the ids that follow them."""
            assert not return_outputs, "there are no logits to return"
            causal = self.accelerator.unwrap_model(model).get_base_model()
            with self.accelerator.autocast():
                hidden = causal.base_model(
                    input_ids=inputs["input_ids"],
                    position_ids=inputs["position_ids"],
                    spans=inputs["spans"],
                    use_cache=False,
                ).last_hidden_state[0]
                total = summed_loss(
                    causal.lm_head, hidden[inputs["scored"]], inputs["input_ids"][0, inputs["scored"] + 1]
                )
            return total / num_items_in_batch

    def summed_loss(head: Any, hidden: Any, targets: Any) -> Any:
        def piece(states: Any, labels: Any) -> Any:
            return cross_entropy(head(states).float(), labels, reduction="sum")

        if len(targets) <= SCORED_AT_ONCE:
            return piece(hidden, targets)
        parts = zip(hidden.split(SCORED_AT_ONCE), targets.split(SCORED_AT_ONCE), strict=True)
        return sum(checkpoint(piece, states, labels, use_reentrant=False) for states, labels in parts)

    return CompletionTrainer
