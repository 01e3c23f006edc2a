"""Whether training and serving agree: what a release was made of is found again, and an engine is started on it.

The same conversations must be the same token ids to trainer, Transformers and engine; the same labels must come from adapter,
merged, dequantized and served model. Not covered: answers longer than a label, and the gateway above the engine.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from data.artifact import ArtifactStore, home
from data.chat import INTENT_MAX_TOKENS, intent_row
from data.errors import BadInput, EnvironmentLacks
from evals.conversations import Case, conversations
from evals.parity import RATES, Agreement, Parity, Side, agreement, judge
from evals.token_ids import greedy_ids
from pipelines.evaluate import SERVED_NAME, read_held_out
from pipelines.greedy import greedy_of_adapter, greedy_of_checkpoint
from pipelines.lineage import Lineage
from pipelines.prepare import utterances
from pipelines.readings import Reading, evenly, read, trained_rows, with_engine
from pipelines.screen import screen
from serving.dequantize import dequantized
from serving.engine import running_engine
from serving.hardware import Hardware
from serving.release import Release


def check_parity(store: ArtifactStore, release: Release, labels: int) -> Parity:
    """The verdict on a release, from `labels` labels (200 are the fewest that show 99.5 %). Where artifacts that it was
    made of are gone, only its own tokenizer and the engine are compared, and the verdict names what is missing.

    Raises:
        EnvironmentLacks: the engine cannot be started.
        CheckFailed: the engine does not give its token ids.
    """
    fixed = conversations(release.prompts, release.tools)
    try:
        made = Lineage.of(store, release.manifest["inputs"].get("quantized", "unknown"))
    except (BadInput, EnvironmentLacks) as error:
        alone = _served(read(fixed, release.model, release.model), release)[0]
        return judge(alone.names, alone.sides[1:], ends=alone.faults, missing=[str(error)])
    asked = _label_cases(made, release, labels)
    reading = read([*fixed, *trained_rows(made.corpus), *asked], made.base.folder, release.model)
    prompts = reading.sides[0].ids[len(reading.cases) - len(asked) :]
    written = labels_by_transformers(store, made, release, prompts)
    reading, written["served"] = _served(reading, release, asked)
    return judge(reading.names, reading.sides, agreements(asked, written, reading.sides[0].decode), reading.faults)


def labels_by_transformers(
    store: ArtifactStore, made: Lineage, release: Release, prompts: Sequence[Sequence[int]]
) -> dict[str, list[list[int]]]:
    """What adapter, merged and dequantized model write after each prompt, by name."""
    # in the engine's type: where it has no FP8 kernel, this is what it serves
    plain = dequantized(store, release.model, Hardware.detect().compute_dtype)
    return {
        "adapter": greedy_of_adapter(made.base, made.adapter, prompts, INTENT_MAX_TOKENS),
        "merged": greedy_of_checkpoint(made.merged.folder, prompts, INTENT_MAX_TOKENS),
        "dequantized": greedy_of_checkpoint(plain.folder, prompts, INTENT_MAX_TOKENS),
    }


def agreements(cases: Sequence[Case], written: Mapping[str, Sequence[Sequence[int]]], decode: Any) -> list[Agreement]:
    """Neighbours of the chain, held against their rates."""
    names = [case.name for case in cases]
    return [
        agreement(names, Side(one, written[one], decode), Side(other, written[other], decode), rate)
        for (one, other), rate in RATES.items()
    ]


def show(found: Parity) -> None:
    """Prints the verdict: what was compared, every rate beside what it must reach, every reason."""
    out = screen()
    same = "[green]the same[/]" if found.token_ids_equal else "[bold red]not the same[/]"
    out.print(f"{found.prompts} prompts are {same} token ids: {', '.join(found.sides)}")
    for pair in found.agreements:
        shown = f"{pair.equal} of {pair.cases} ({pair.rate:.1%}, at least {pair.lower:.1%} with 95 %)"
        out.print(f"labels {' and '.join(pair.sides)}: {shown}, expected {pair.required:.1%}")
    for line in (*found.reasons, *(f"missing: {name}" for name in found.missing)):
        out.print(f"  [bold red]-[/] {escape(line)}", soft_wrap=True)


def _served(reading: Reading, release: Release, asked: Sequence[Case] = ()) -> tuple[Reading, list[list[int]]]:
    """The reading with the engine's, and what it writes after each of the label prompts."""
    serve, log = release.recipe.serve, home() / "logs" / "engine-parity.log"
    width = serve.engine.max_num_seqs
    with running_engine(release.model, serve, served_names=[SERVED_NAME], log=log) as engine:
        heard = with_engine(reading, engine.base_url, SERVED_NAME, width)
        rows = [case.row for case in asked]
        return heard, greedy_ids(engine.base_url, SERVED_NAME, rows, INTENT_MAX_TOKENS, width)


def _label_cases(made: Lineage, release: Release, count: int) -> list[Case]:
    """Utterances in the gated languages: held-out ones first, then trained ones, evenly spaced."""
    gated = release.recipe.gate.languages
    held_out, trained = (
        [case for case in cases if case.language in gated]
        for cases in (read_held_out(made.corpus), utterances(made.corpus))
    )
    chosen = evenly(held_out, count)
    chosen += evenly(trained, count - len(chosen))
    return [Case(f"label of {case.text!r}", intent_row(case, release.prompts, "parity")) for case in chosen]
