"""What happens beside the steps of a training: the bar moves, the figures go on, freed memory goes back."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from data.footprint import trim_heap

OnStep = Callable[[int, Mapping[str, float]], None]
TRIMMED_EVERY = 3  # steps; to take memory from the system again costs time, a fifth if done in every step


def progress_bar() -> Any:
    """A bar with the time left on standard error, as a context manager (rich's)."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *times)
    return Progress(*columns, console=Console(file=sys.stderr))


def each_step(on_step: OnStep, bar: Any) -> Any:
    """A callback of Transformers' trainer that moves `bar`, calls `on_step(step, figures)` and keeps the heap small."""
    from transformers import TrainerCallback

    class EachStep(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.task = bar.add_task("train", total=state.max_steps, completed=state.global_step)

        def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float], **_: Any) -> None:
            if "loss" in logs:
                bar.update(self.task, completed=state.global_step, description=f"train  loss {logs['loss']:.3f}")
                on_step(state.global_step, {key: float(value) for key, value in logs.items()})

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if args.use_cpu and state.global_step % TRIMMED_EVERY == 0:
                trim_heap()  # batches of all shapes tear the heap: by two gigabytes within ten steps

    return EachStep()
