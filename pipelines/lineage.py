"""What a release was made of, found again in the artifact store by the digests that manifests record.

A release carries only its quantized model; base, adapter and merged model stay where it was trained. Not covered: fetching
them from elsewhere.
"""

from dataclasses import dataclass
from typing import Self, TypeVar

from data.artifact import MANIFEST, Adapter, Artifact, ArtifactStore, Base, Corpus, Merged, Quantized
from data.errors import EnvironmentLacks

A = TypeVar("A", bound=Artifact)


@dataclass(frozen=True)
class Lineage:
    """The artifacts behind a quantized model, verified."""

    corpus: Corpus
    base: Base
    adapter: Adapter
    merged: Merged

    @classmethod
    def of(cls, store: ArtifactStore, quantized: str) -> Self:
        """From the digest of a quantized model, backwards.

        Raises:
            EnvironmentLacks: one of them is no longer in the store; it is named.
            BadInput: one has changed on disk.
        """
        merged = find(store, Merged, _known(find(store, Quantized, quantized), "merged"))
        base = find(store, Base, _known(merged, "base"))
        adapter = find(store, Adapter, _known(merged, "adapter"))
        return cls(find(store, Corpus, _known(adapter, "corpus")), base, adapter, merged)


def find(store: ArtifactStore, kind: type[A], digest: str) -> A:
    """The artifact with this content, verified.

    Raises:
        EnvironmentLacks: the store does not hold it.
        BadInput: it has changed on disk.
    """
    folder = store.root / kind.kind
    for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
        if kind(manifest.parent).digest == digest:
            return kind.open(manifest.parent)
    raise EnvironmentLacks(
        f"no {kind.kind} artifact {digest[:12]} below {folder}: it was removed, or the release was made elsewhere; "
        "run this where it was made, or release the recipe again"
    )


def _known(artifact: Artifact, name: str) -> str:
    inputs: dict[str, str] = artifact.manifest["inputs"]
    return inputs[name]
