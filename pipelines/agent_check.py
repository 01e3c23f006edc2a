"""`kefu agent check`: every scenario in a fresh shop, played by its customer against the real endpoint, graded.

Not covered: what a scenario is (`evals/scenario.py`), what a pass is (`evals/agent.py`), the shop and the gateway before it
(`pipelines/fresh_shop.py`, `pipelines/desk.py`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.agent import Grade, Run, agent_figures, grade
from evals.customer import converse
from evals.scenario import Scenario, read_scenarios
from pipelines.desk import Asked, Desk
from pipelines.fresh_shop import State, wanted_states
from pipelines.screen import progress_bar, screen
from serving.wording import REASONS

TEMPERATURE = 0.5  # of several trials, which would be one and the same if they were greedy; the requirement's own
SHOWN = 20  # failures on the screen
Job = tuple[Scenario, State, int]


def check_agent(path: Path, asked: Asked, trials: int = 1) -> dict[str, Any]:
    """Plays a file of scenarios, each `trials` times, and gives the figures with every failure.

    Raises:
        BadInput: the file is malformed, names a tool that there is not, or expects what the shop refuses.
        EnvironmentLacks: the engine cannot be started.
    """
    grades = play(asked.spoken(path, read_scenarios(path)), asked, trials)
    return {
        **agent_figures(grades).model_dump(mode="json"),
        "thinking": asked.thinking,
        "release": asked.release.digest,
        "failures": [_failure(one) for one in grades if not one.passed],
    }


def play(scenarios: Sequence[Scenario], asked: Asked, trials: int = 1) -> list[Grade]:
    """The grade of each trial of each scenario. A single trial is greedy, as served; several are sampled, each with its seed.

    Raises:
        As `check_agent`.
    """
    wanted = wanted_states(scenarios)
    jobs = [(*job, trial) for trial in range(trials) for job in zip(scenarios, wanted, strict=True)]
    sampled = {"temperature": TEMPERATURE} if trials > 1 else {}
    known = [entry.answer for entry in asked.release.faq]
    known += [text for words in REASONS.values() for text in words.values()]

    def one(desk: Desk, job: Job) -> Grade:
        scenario, wanted, trial = job
        options = {**sampled, "enable_thinking": asked.thinking, **({"seed": trial} if sampled else {})}
        before = desk.open(scenario)
        with desk.client() as client:
            said = converse(client, scenario, f"{scenario.id[:100]}-{trial}", desk.ran, trial=trial, **options)
        after = desk.shop.state()
        run = Run(scenario=scenario, trial=trial, exchanges=said, before=before, after=after, wanted=wanted)
        return grade(run, known)

    with asked.desks(len(jobs)) as desks, progress_bar("agent check", len(jobs)) as move:
        return desks.each(jobs, one, move)


def show(body: dict[str, Any]) -> None:
    """Prints the figures, then the first failures with what was said."""
    out = screen()
    out.print_json(data={key: value for key, value in body.items() if key != "failures"})
    for failure in body["failures"][:SHOWN]:
        out.print(f"\n[bold red]{failure['id']}[/] {failure['attack'] or ''}", soft_wrap=True)
        for reason in failure["reasons"]:
            out.print(f"  {reason}", markup=False, soft_wrap=True)
        for turn in failure["conversation"]:
            out.print(f"  > {turn['customer']}\n  < {turn['answer']}", markup=False, style="dim", soft_wrap=True)
    if len(body["failures"]) > SHOWN:
        out.print(f"\n... and {len(body['failures']) - SHOWN} more (all of them with --json)")


def _failure(one: Grade) -> dict[str, Any]:
    conversation = [
        {"customer": x.customer, "answer": x.answer, "calls": [call.model_dump() for call in x.calls]}
        for x in one.exchanges
    ]
    told = one.model_dump(mode="json", include={"id", "language", "attack", "trial", "reasons"})
    return {**told, "conversation": conversation}
