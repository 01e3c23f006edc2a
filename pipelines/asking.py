"""`kefu agent thinking` and `kefu agent memory`: questions with checkable answers, asked of the real endpoint.

The window moves on by questions of the release's own FAQ, whose answers need no engine. Not covered: the questions and
what is right (`evals/questions.py`).
"""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, get_args

from data.errors import BadInput
from data.schema import Language, read_jsonl
from evals.questions import Depth, Mode, Question, Recall, Reply, recall, think, way_figures
from pipelines.desk import Asked, Desk
from pipelines.screen import progress_bar, screen
from serving.release import Release
from serving.tokenizer import ServedTokenizer

BEYOND: Depth = "after the window has moved on"
DEPTHS: tuple[Depth, ...] = get_args(Depth)
SHOWN = 20  # wrong answers on the screen


def ask_thinking(path: Path, asked: Asked) -> dict[str, Any]:
    """Asks every question with thinking off, on and, where the endpoint offers it, auto.

    Raises:
        BadInput: the file is malformed.
        EnvironmentLacks: the engine cannot be started.
    """
    questions = asked.spoken(path, read_jsonl(path, Question))
    modes: tuple[Mode, ...] = get_args(Mode)
    with asked.desks(len(questions)) as desks, progress_bar("thinking", len(modes) * len(questions)) as move:

        def one(desk: Desk, job: tuple[Question, Mode]) -> Reply:
            with desk.client(signed_in=False) as client:
                return think(client, *job)

        offered = [mode for mode in modes if mode != "auto" or desks.each([(questions[0], mode)], one, move)[0].offered]
        jobs = [(question, mode) for mode in offered for question in questions]
        move(0, total=len(jobs))
        replies = desks.each(jobs, one, move)
    return _body(questions, replies, asked) | {"not_offered": [mode for mode in modes if mode not in offered]}


def ask_memory(path: Path, asked: Asked) -> dict[str, Any]:
    """Tells facts and asks for them: at once, and after the window has moved on.

    Raises:
        BadInput: the file is malformed, or the release has no FAQ in a question's language to talk of meanwhile.
        EnvironmentLacks: the engine cannot be started.
    """
    questions = asked.spoken(path, read_jsonl(path, Recall))
    spoken: list[Language] = sorted({question.language for question in questions})
    between = {language: other_matters(asked.release, language) for language in spoken}
    jobs = [(question, depth) for depth in DEPTHS for question in questions]

    def one(desk: Desk, job: tuple[Recall, Depth]) -> Reply:
        question, depth = job
        talk = between[question.language] if depth == BEYOND else ()
        with desk.client() as client:
            return recall(client, question, talk, f"{question.id[:100]}-{DEPTHS.index(depth)}", depth)

    with asked.desks(len(jobs)) as desks, progress_bar("memory", len(jobs)) as move:
        return _body(questions, desks.each(jobs, one, move), asked)


def other_matters(release: Release, language: Language) -> list[str]:
    """Questions of the FAQ, over and over, that together with their answers are longer than the window.

    Raises:
        BadInput: there is none in this language.
    """
    entries = [entry for entry in release.faq if entry.language == language]
    if not entries:
        raise BadInput(f"the release's FAQ has no {language} entry to let the window move on with")
    count, room, said = ServedTokenizer.of(release).count, release.recipe.serve.history, []
    for entry in cycle(entries):
        if room < 0:
            break
        said.append(entry.question)
        room -= count(entry.question) + count(entry.answer)  # the template's own tokens come on top
    return said


def show(body: dict[str, Any]) -> None:
    """Prints the figures, then the first wrong answers."""
    out = screen()
    out.print_json(data={key: value for key, value in body.items() if key != "wrong"})
    for reply in body["wrong"][:SHOWN]:
        out.print(f"  {reply['id']} ({reply['way']}): {reply['error'] or reply['answer']}", markup=False, style="dim")


def _body(questions: Sequence[Any], replies: Sequence[Reply], asked: Asked) -> dict[str, Any]:
    return {
        "questions": len(questions),
        "ways": {way: figures.model_dump(mode="json") for way, figures in way_figures(replies).items()},
        "release": asked.release.digest,
        "wrong": [reply.model_dump(mode="json") for reply in replies if not reply.right],
    }
