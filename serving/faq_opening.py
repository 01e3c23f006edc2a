"""A release's FAQ cache: its entries, and near matches where everything for them is there and passed.

Fails closed: whatever is missing, of another version, or did not pass its check leaves exact hits alone, and says why.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from data.errors import BadInput, EnvironmentLacks
from serving.embedder import Embedder, configured_embedder
from serving.faq_cache import FaqCache, Matcher
from serving.faq_verifier import Figures, Verifier, libraries, read_fitted, read_forest, read_vectors, texts_of
from serving.release import Release

FOLDER = "faq"  # of a release
_KEPT = ("model/", "prompts/", "tools.json", "intents.yaml", "recipe.yaml")  # what an FAQ edit leaves alone


@dataclass(frozen=True)
class OpenedFaq:
    """A cache, why it takes exact hits alone (if it does), and what its check found."""

    cache: FaqCache
    exact_only: str | None
    figures: Figures | None = None


def open_faq(release: Release, embedder: Embedder | None = None) -> OpenedFaq:
    """The FAQ cache of a release, with near matches if it was fitted, passed, and its embedder is here.

    Raises:
        BadInput: two entries of a language answer the same question.
    """
    folder, entries = release.folder / FOLDER, release.faq
    if not folder.is_dir():
        return OpenedFaq(FaqCache(entries), "the release holds no fitted verifier: kefu faq fit, then release again")
    try:
        return _opened(folder, release, embedder)
    except (BadInput, EnvironmentLacks) as error:
        return OpenedFaq(FaqCache(entries), str(error))


def require_same_but_faq(old: Release, new: Release) -> None:
    """Refuses to take an FAQ from a release that differs in anything that a running engine or agent was opened with.

    Raises:
        BadInput: naming what differs, or that the gate did not pass it.
    """
    before, after = (_kept(release) for release in (old, new))
    differ = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if differ:
        raise BadInput(
            f"release {new.digest[:12]} differs from the one that serves in more than the FAQ ({', '.join(differ[:5])}); "
            "restart the endpoint to serve it"
        )
    decision = new.folder / "decision.json"
    passed = json.loads(decision.read_bytes()).get("passed") if decision.is_file() else None
    if passed is not True and old.info.purpose == "production":
        raise BadInput(f"release {new.digest[:12]} did not pass its gate; its FAQ is not taken")


def _kept(release: Release) -> dict[str, str]:
    files: dict[str, str] = release.manifest["files"]
    return {name: digest for name, digest in files.items() if name.startswith(_KEPT)}


def _opened(folder: Path, release: Release, embedder: Embedder | None) -> OpenedFaq:
    fitted, entries = read_fitted(folder), release.faq
    if not fitted.open:
        why = "its check found too many wrong answers" if fitted.figures else "it was never checked on frozen pairs"
        return OpenedFaq(FaqCache(entries), why, fitted.figures)
    embedder = embedder or configured_embedder()
    if embedder.name != fitted.embedder:
        raise EnvironmentLacks(f"fitted with the embedder {fitted.embedder}, here is {embedder.name}")
    vectors = read_vectors(folder, texts_of(entries, fitted.calibration))
    matcher = Matcher(libraries(entries, fitted.calibration, vectors), Verifier(fitted, read_forest(folder)), embedder)
    return OpenedFaq(FaqCache(entries, matcher), None, fitted.figures)
