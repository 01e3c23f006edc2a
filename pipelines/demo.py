"""`kefu demo`: the whole job on the embedded default, then a conversation with what came out of it.

Not covered: installing anything (`make demo` does that first).
"""

import re
from pathlib import Path
from typing import Any

from pipelines import doctor
from pipelines.chat import Conversation, Reply, notes
from pipelines.launch import run_release, show
from pipelines.registry import Registry
from pipelines.rollout import Rollout
from pipelines.screen import screen
from pipelines.serve import Endpoint, serving, stoppable
from recipes.recipe import RECIPES
from serving.engine import free_port

RECIPE = RECIPES / "smollm2-135m.yaml"
# topic, question, whether with thinking
QUESTIONS = (
    ("FAQ", "怎么退货？", False),
    ("order status", "Where is my order 700418?", False),
    ("address change", "Please change the delivery address of order 123456 to 88 Hill Road, Hangzhou.", False),
    ("thinking", "My parcel arrived damaged and I leave on holiday tomorrow. What should I do first?", True),
    ("out of scope", "帮我写一首关于大海的诗", False),
)


def demo(recipe_path: Path = RECIPE, *, mechanics: bool = False) -> dict[str, Any]:
    """Releases, serves for a moment, asks five questions, shows it all; a rejected release is not served.

    Raises:
        EnvironmentLacks: this machine lacks something, told before anything long starts.
    """
    doctor.require(recipe_path)
    summary = run_release(recipe_path, None, mechanics=mechanics)
    if summary["status"] != "promoted" and not summary["promoted_for_mechanics"]:
        show(summary)
        return summary | {"conversation": []}
    resolved = Rollout(Registry.open()).resolve()
    endpoint = Endpoint(resolved, port=free_port(), demo=True, mechanics=mechanics)
    conversation: list[dict[str, Any]] = []
    with stoppable(), serving(endpoint) as url:
        for question in QUESTIONS:
            conversation += _ask(url, *question)
    show(summary)
    screen().print("serve it: [bold]kefu serve --demo[/], talk to it: [bold]kefu chat[/]")
    return summary | {"conversation": conversation}


def _ask(url: str, topic: str, text: str, thinking: bool) -> list[dict[str, Any]]:
    """One question in its own conversation; a write that waits is confirmed with the code that the server showed."""
    conversation = Conversation(url)
    reply = conversation.ask(text, thinking=thinking)
    turns = [_turn(topic, text, reply)]
    if waiting := reply.kefu.get("confirmation"):
        word = "confirm" if re.search("[a-z]", text) else "确认"
        yes = f"{word} {waiting['code']}"
        turns.append(_turn(topic, yes, conversation.ask(yes)))
    return turns


def _turn(topic: str, text: str, reply: Reply) -> dict[str, Any]:
    out = screen()
    out.rule(f"[dim]{topic}[/]", align="left")
    out.print("[bold cyan]customer[/] ", end="")
    out.print(text, markup=False)
    out.print("[bold green]kefu[/]     ", end="")
    out.print(reply.text, markup=False)
    if line := notes(reply):
        out.print(f"         {line}", style="dim", markup=False)
    return {"topic": topic, "customer": text, "kefu": reply.text, "details": reply.kefu}
