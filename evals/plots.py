"""The report's two plots. Labels are the taxonomy's identifiers, so no font for Chinese is needed."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from evals.metrics import UNPARSABLE

INK, CANDIDATE, REFERENCE = "#1f2933", "#2f6fab", "#b8c4cf"


def confusion_png(confusion: Mapping[str, Mapping[str, int]], labels: Sequence[str]) -> bytes:
    """Who is taken for whom, as a PNG: rows are the expected intents, columns the predicted ones, unparsable last."""
    import numpy as np

    rows = [label for label in labels if label in confusion]
    columns = [*labels, *([UNPARSABLE] if any(set(row) - set(labels) for row in confusion.values()) else [])]
    counts = np.zeros((len(rows), len(columns)), dtype=int)
    for index, label in enumerate(rows):
        for predicted, number in confusion[label].items():
            counts[index, columns.index(predicted if predicted in labels else UNPARSABLE)] += number
    figure, axes = _figure(2.2 + 0.3 * len(columns), 2.0 + 0.28 * len(rows))
    axes.imshow(counts / counts.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), number in np.ndenumerate(counts):
        if number:
            dark = number > counts[row].sum() / 2
            axes.text(column, row, number, ha="center", va="center", fontsize=7, color="white" if dark else INK)
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("expected")
    return _saved(figure, "png")


def intent_bars_svg(scores: Mapping[str, float], reference: Mapping[str, float]) -> str:
    """F1 by intent, weakest first, as an SVG element; thin bars are the reference's, where it is known."""
    labels = sorted(scores, key=lambda label: (scores[label], label))
    places = range(len(labels))
    figure, axes = _figure(8, 1.0 + 0.24 * len(labels))
    if reference:
        values = [reference.get(label, 0.0) for label in labels]
        axes.barh([p + 0.27 for p in places], values, height=0.2, color=REFERENCE, label="BF16")
    axes.barh([p - 0.08 for p in places], [scores[label] for label in labels], height=0.46, color=CANDIDATE)
    for place, label in enumerate(labels):
        axes.text(min(scores[label] + 0.01, 1.005), place - 0.08, f"{scores[label]:.2f}", va="center", fontsize=8)
    axes.set_yticks(places, labels, fontsize=8)
    axes.set_xlim(0, 1.06)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlabel("F1" + (" (thin: BF16)" if reference else ""))
    axes.spines[["top", "right"]].set_visible(False)
    text = _saved(figure, "svg").decode()
    return text[text.index("<svg") :]


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _saved(figure: Any, kind: str) -> bytes:
    import matplotlib

    buffer = io.BytesIO()
    # Equal figures give equal bytes; text stays text in SVG.
    with matplotlib.rc_context({"svg.hashsalt": "kefu", "svg.fonttype": "none"}):
        figure.savefig(buffer, format=kind, dpi=110, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()
