"""The sources sifted: every row read once, cleaned, checked, nothing twice, no leak, personal data replaced, its side decided.

What is good waits in a database on disk, so that there may be more rows than memory holds. Needs no base model, so bad data is
told before one is fetched. Not covered: which of the rows a corpus takes (`data/build.py`).
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from data.artifact import ArtifactStore, Sifted, code_digest, file_digest, json_digest
from data.intake import Intake, refusal
from data.rows import Found
from data.shop import Shop
from data.sources import Example, Source
from data.staging import Dropped, Staging

AT_ONCE = 2_000  # rows
SETTINGS = ("sources", "validation", "near_duplicates", "per_intent", "bad_rows", "redact_people")  # of a recipe's data
PII = tuple(f"data.pii.{path.stem}" for path in sorted((Path(__file__).parent / "pii").glob("[a-z]*.py")))
CODE = ("cleaning", "firewall", "intake", "labels", "schema", "sift", "staging")
Track = Callable[[Iterable[Found[Example]]], Iterable[Found[Example]]]


def sift(
    store: ArtifactStore, shop: Shop, sources: Iterable[Source], section: Mapping[str, Any], track: Track = iter
) -> Sifted:
    """The rows of some sources, sifted. Facts: read, dropped{reason}, pii_redacted{kind}.

    `section` is the recipe's data section as JSON; `track` may watch the rows of a source as they are read.

    Raises:
        BadInput: a frozen case is among the rows; or some are malformed, have a label that the taxonomy lacks, or two
            labels, and the section does not say to drop them.
    """
    sources = tuple(sources)

    def make(folder: Path) -> dict[str, Any]:
        with Staging(folder / Sifted.ROWS, new=True) as staging:
            return _read(staging, sources, shop, section, track)

    return store.build(
        Sifted,
        make,
        inputs={"shop": shop.digest(), "sources": sources_digest(sources, shop)},
        section={name: section[name] for name in SETTINGS if name in section},
        code=code_digest(*(f"data.{module}" for module in CODE), *PII),
    )


def sources_digest(sources: Iterable[Source], shop: Shop) -> str:
    """The digest of what sources hold: of their file where they have one (the shop has its own digest), else of their
    rows, which takes a pass over them."""
    digests = []
    for source in sources:
        if source.name == "shop":
            continue
        path, first = getattr(source, "path", None), next(iter(source.rows(shop)), None)
        readable = first is not None and first.row is not None  # a broken file may be endless
        if readable and path is not None and path.is_file():
            digests.append(file_digest(path))
            continue
        rows = hashlib.sha256()
        for found in source.rows(shop):
            rows.update(repr(found).encode("utf-8", "surrogatepass"))
        digests.append(rows.hexdigest())
    return json_digest(digests)


def _read(
    staging: Staging, sources: Iterable[Source], shop: Shop, section: Mapping[str, Any], track: Track
) -> dict[str, Any]:
    """Takes in what is good, then looks at all of it together."""
    intake, rows, duplicates = Intake(shop, section["validation"]), 0, 0
    for source in sources:
        people, waiting = source.name in section["redact_people"], iter(track(source.rows(shop)))
        while batch := list(islice(waiting, AT_ONCE)):
            good = intake.take(batch, people=people)
            rows += len(batch)
            duplicates += len(good) - staging.add(good)
    intake.refuse_leaks()
    contradictions = [
        Dropped("contradiction", labels[0][1], text, "is " + ", and ".join(f"{label} at {at}" for label, at in labels))
        for text, labels in staging.contradictions()
    ]
    if section["bad_rows"] == "refuse" and (problems := [*intake.bad, *contradictions]):
        raise refusal(problems)
    staging.drop(intake.bad)
    staging.drop_contradictions()
    staging.drop_held_out_dialogs()
    staging.drop_near_duplicates(section["near_duplicates"])
    if section["per_intent"]:
        staging.keep_at_most(section["per_intent"])
    dropped = staging.dropped_counts() | ({"duplicate": duplicates} if duplicates else {})
    return {"read": rows, "dropped": dropped, "pii_redacted": dict(sorted(intake.redacted.items()))}
