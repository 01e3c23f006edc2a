"""Running the release flow from a command, and telling people what came out.

Not covered: the flow itself (`pipelines/release.py`), which needs Prefect and is imported only when it runs.
"""

from pathlib import Path
from typing import Any

from rich.table import Table

from data.errors import EnvironmentLacks
from data.shop import Shop
from pipelines import doctor
from pipelines.orchestration import prefect_running
from pipelines.screen import megabytes, screen
from recipes.recipe import Recipe


def run_release(recipe_path: Path, data: Path | None, *, mechanics: bool = False) -> dict[str, Any]:
    """Runs the flow in this process and returns its summary, promoted or rejected.

    Raises:
        KefuError: whatever stopped it.
    """
    Recipe.read(recipe_path), Shop.open(data)  # wrong input is told at once, not after Prefect has started
    doctor.require(recipe_path)
    with prefect_running():
        from pipelines.release import release

        try:
            state = release(recipe_path.resolve(), data.resolve() if data else None, mechanics, return_state=True)
        except RuntimeError as error:  # Prefect's own word for a server that does not answer
            raise EnvironmentLacks(f"Prefect: {error}; is the server of PREFECT_API_URL up?") from error
    outcome: Any = state.result(raise_on_failure=False)
    if isinstance(outcome, BaseException):
        raise outcome
    summary: dict[str, Any] = outcome
    return summary


def show(summary: dict[str, Any]) -> None:
    """Prints a release's summary: the figures, the stages, where everything lies."""
    out = screen()
    out.print(_figures(summary))
    out.print(_stages(summary))
    if summary["status"] == "promoted":
        out.print(f"[bold green]promoted[/] version {summary['model_version']} of kefu is the champion")
    else:
        out.print(f"[bold red]rejected[/] version {summary['model_version']} of kefu; it stays challenger:")
        for reason in summary["gate"]["reasons"]:
            out.print(f"  - {reason}", markup=False)
        if summary["promoted_for_mechanics"]:
            out.print("promoted all the same, for mechanics only")
    out.print(f"report   {summary['report']}", soft_wrap=True)
    out.print(f"MLflow   {summary['mlflow']}", soft_wrap=True)


def _figures(summary: dict[str, Any]) -> Table:
    figures = summary["figures"]
    table = Table("figure", "value", "95 %", title=f"{summary['recipe']} ({summary['numeric_path']})")
    for language in ("en", "zh"):
        if f"intent_macro_f1.{language}" in figures:
            low, high = figures[f"intent_f1_lower.{language}"], figures[f"intent_f1_upper.{language}"]
            name = f"intent macro-F1, {language} (n={figures[f'intent_cases.{language}']})"
            table.add_row(name, _number(figures[f"intent_macro_f1.{language}"]), f"{low:.3f} to {high:.3f}")
    lower = f"at least {_number(summary['retention_lower'])} (one-sided)"
    table.add_row(f"retention FP8/BF16 (n={summary['retention_n']})", _number(summary["retention"]), lower)
    table.add_row("tool calls right", _number(summary["tool_call_accuracy"]), "")
    before, after = summary["bytes_before"], summary["bytes_after"]
    if before and after:
        table.add_row("weights BF16 -> FP8", f"{megabytes(before)} -> {megabytes(after)}", f"{after / before:.0%}")
    return table


def _stages(summary: dict[str, Any]) -> Table:
    table = Table("stage", "seconds", "peak memory", title="stages")
    for name, seconds in summary["seconds"].items():
        was = f"reused ({summary['seconds_when_made'][name]:.1f} when made)"
        peak = summary["peak_memory_mb"][name]
        table.add_row(name, was if name in summary["reused"] else f"{seconds:.1f}", f"{peak:,.0f} MB" if peak else "")
    return table


def _number(value: float | None) -> str:
    return "missing" if value is None else f"{value:.4f}"
