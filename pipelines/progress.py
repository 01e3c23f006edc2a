"""What happens beside the steps of a training: the bar moves, the figures go on, freed memory goes back."""

from collections.abc import Callable, Mapping
from typing import Any

from data.footprint import trim_heap

OnStep = Callable[[int, Mapping[str, float]], None]
TRIMMED_EVERY = 3  # steps; to take memory from the system again costs time, a fifth if done in every step


def each_step(on_step: OnStep, move: Callable[..., None]) -> Any:
    """A callback of Transformers' trainer that moves a bar (`screen.progress_bar`), calls `on_step(step, figures)` and keeps
    the heap small."""
    from transformers import TrainerCallback

    class EachStep(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            move(state.global_step, total=state.max_steps)

        def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float], **_: Any) -> None:
            if "loss" in logs:
                move(state.global_step, description=f"train  loss {logs['loss']:.3f}")
                on_step(state.global_step, {key: float(value) for key, value in logs.items()})

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if args.use_cpu and state.global_step % TRIMMED_EVERY == 0:
                trim_heap()  # batches of all shapes tear the heap: by two gigabytes within ten steps

    return EachStep()
