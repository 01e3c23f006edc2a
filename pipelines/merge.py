"""Base plus adapter as one ordinary checkpoint, in BF16. Not covered: merging into quantized weights; quantize after.

The sum is done in FP32 and rounded to BF16 once: in BF16 the product of the adapter's matrices would be rounded before
it is added, and the sum again.
"""

from pathlib import Path
from typing import Any

from data.artifact import Adapter, ArtifactStore, Base, Merged, code_digest
from pipelines.base_model import load_model, load_tokenizer, save_model


def merge(store: ArtifactStore, base: Base, adapter: Adapter) -> Merged:
    """The merged checkpoint with the base's tokenizer and template; facts: parameters, bytes, tied."""
    return store.build(
        Merged,
        lambda folder: _merge(base, adapter, folder),
        inputs={"base": base.digest, "adapter": adapter.digest},
        section=None,
        code=code_digest("pipelines.merge", "pipelines.base_model"),
    )


def _merge(base: Base, adapter: Adapter, folder: Path) -> dict[str, Any]:
    import torch
    from peft import PeftModel

    model = load_model(base.folder, "float32")
    tied = model.config.tie_word_embeddings
    merged = PeftModel.from_pretrained(model, adapter.folder).merge_and_unload(safe_merge=True)
    assert merged.config.tie_word_embeddings == tied, "merging has untied the embeddings"
    if tied:
        head, embeddings = merged.get_output_embeddings().weight, merged.get_input_embeddings().weight
        assert torch.equal(head, embeddings), "head and embeddings have come apart"
        merged.tie_weights()
    save_model(merged.to(torch.bfloat16), load_tokenizer(base.folder), folder)
    return {
        "parameters": sum(parameter.numel() for parameter in merged.parameters()),
        "bytes": sum(path.stat().st_size for path in folder.glob("*.safetensors")),
        "tied": tied,
    }
