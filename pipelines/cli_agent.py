"""The commands of the agent's evaluation: `kefu agent check`, `thinking` and `memory`, on the files shipped or any other."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.schema import Language
from pipelines.answer import answering
from pipelines.cli_options import Json

if TYPE_CHECKING:
    from pipelines.desk import Asked

app = typer.Typer(help="Ask a release as its customers do, and grade what it did.", no_args_is_help=True)
CASES = Path(__file__).resolve().parent.parent / "evals" / "cases"
Model = Annotated[str, typer.Option("--model", help="champion, previous, challenger, a version number, or a folder.")]
EngineUrl = Annotated[str | None, typer.Option(help="Ask this OpenAI-compatible engine; start none.")]
EngineModel = Annotated[str | None, typer.Option(help="The model's name at --engine-url (default: kefu).")]
Spoken = Annotated[Language | None, typer.Option("--language", help="Ask only in this language.")]
Thinking = Annotated[bool, typer.Option("--thinking", help="Let the model think before it answers.")]


@app.command()
def check(
    scenarios: Annotated[Path, typer.Argument(help="Scenarios as JSON lines.")] = CASES / "agent.jsonl",
    model: Model = "champion",
    language: Spoken = None,
    trials: Annotated[int, typer.Option(min=1, help="Plays each scenario so often; from 4 on pass^1 to pass^4.")] = 1,
    thinking: Thinking = False,
    engine_url: EngineUrl = None,
    engine_model: EngineModel = None,
    json: Json = False,
) -> None:
    """Play scenarios in fresh shops and grade the final state, the calls that ran, consent and the facts told. Exit code 1:
    one failed."""
    with answering(json) as answer:
        from evals.scenario import read_scenarios
        from pipelines.agent_check import check_agent, show

        read_scenarios(scenarios)
        answer.body = check_agent(scenarios, _asked(model, language, engine_url, engine_model, thinking), trials)
        show(answer.body)
        answer.exit_code = 1 if answer.body["failures"] else 0


@app.command()
def thinking(
    questions: Annotated[Path, typer.Argument(help="Thinking questions as JSON lines.")] = CASES / "thinking.jsonl",
    model: Model = "champion",
    language: Spoken = None,
    engine_url: EngineUrl = None,
    engine_model: EngineModel = None,
    json: Json = False,
) -> None:
    """Ask questions of several steps with thinking off, on and auto: how many are right, and what the tokens bought."""
    with answering(json) as answer:
        from pipelines.asking import ask_thinking, show

        answer.body = ask_thinking(questions, _asked(model, language, engine_url, engine_model))
        show(answer.body)


@app.command()
def memory(
    questions: Annotated[Path, typer.Argument(help="Memory questions as JSON lines.")] = CASES / "memory.jsonl",
    model: Model = "champion",
    language: Spoken = None,
    engine_url: EngineUrl = None,
    engine_model: EngineModel = None,
    json: Json = False,
) -> None:
    """Tell facts, and ask for them at once and after the window has moved on."""
    with answering(json) as answer:
        from pipelines.asking import ask_memory, show

        answer.body = ask_memory(questions, _asked(model, language, engine_url, engine_model))
        show(answer.body)


def _asked(
    model: str, language: Language | None, engine_url: str | None, engine_model: str | None, thinking: bool = False
) -> "Asked":
    from pipelines.desk import SERVED_NAME, Asked
    from pipelines.registry import Registry
    from pipelines.rollout import Rollout

    release = Rollout(Registry.open()).resolve(model).release
    name = engine_model or (SERVED_NAME if engine_url is None else "kefu")
    return Asked(release, engine_url, name, thinking, language)
