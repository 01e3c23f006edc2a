"""A conversation with the endpoint from a terminal: streaming, one conversation_id. Not covered: caller's tools."""

import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from data.errors import BadInput, EnvironmentLacks
from pipelines.screen import screen

TIMEOUT_S = 300.0


@dataclass
class Reply:
    """One answer: its text, the reasoning if it was asked for, and the endpoint's own object."""

    text: str = ""
    reasoning: str = ""
    kefu: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Conversation:
    """One conversation with the endpoint at `base_url` (without /v1)."""

    base_url: str
    id: str = field(default_factory=lambda: f"chat-{uuid.uuid4().hex[:12]}")
    transport: httpx.BaseTransport | None = None

    def ask(self, text: str, on_text: Callable[[str], None] = lambda _piece: None, *, thinking: bool = False) -> Reply:
        """Sends one customer message; `on_text` gets the answer piece by piece.

        Raises:
            EnvironmentLacks: nobody answers there, or the answer breaks off.
            BadInput: the endpoint refuses the request.
        """
        body = {
            "model": "kefu",
            "messages": [{"role": "user", "content": text}],
            "conversation_id": self.id,
            "stream": True,
            "enable_thinking": thinking,
        }
        reply = Reply()
        for chunk in self._chunks(body):
            if "error" in chunk:
                raise EnvironmentLacks(f"{self.base_url}: {chunk['error'].get('message', chunk['error'])}")
            reply.kefu |= chunk.get("kefu") or {}
            for choice in chunk.get("choices", ()):
                piece = choice.get("delta", {}).get("content") or ""
                reply.text += piece
                on_text(piece)
        return reply

    def _chunks(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        with httpx.Client(transport=self.transport, timeout=TIMEOUT_S, trust_env=False) as client:
            url = f"{self.base_url}/v1/chat/completions"
            try:
                with client.stream("POST", url, json=body, headers=_headers()) as response:
                    if not response.is_success:
                        response.read()
                        raise BadInput(f"{self.base_url} refuses ({response.status_code}): {_message(response)}")
                    for line in response.iter_lines():
                        data = line.removeprefix("data:").strip()
                        if line.startswith("data:") and data != "[DONE]":
                            yield json.loads(data)
            except httpx.TransportError as error:
                raise EnvironmentLacks(
                    f"{self.base_url} does not answer ({error}); start it: kefu serve --demo"
                ) from error


def chat(base_url: str, thinking: bool = False) -> int:
    """Asks until the customer leaves (an empty line, Ctrl+D); returns how many questions there were."""
    conversation, asked = Conversation(base_url), 0
    out = screen()
    out.print(f"[dim]{base_url}, conversation {conversation.id}; an empty line ends it[/]")
    while True:
        try:
            text = input("› ").strip()
        except (EOFError, KeyboardInterrupt):
            return asked
        if not text:
            return asked
        reply = conversation.ask(text, lambda piece: print(piece, end="", flush=True), thinking=thinking)
        print()
        out.print(f"[dim]{notes(reply)}[/]")
        asked += 1


def notes(reply: Reply) -> str:
    """What stands in the endpoint's own object, in a line."""
    kefu = reply.kefu
    parts = [f"intent {kefu['intent']}"] if kefu.get("intent") else []
    if kefu.get("cache"):
        parts.append(f"from the FAQ ({kefu['cache'].get('id', '')})")
    parts += [f"tool {tool.get('name', tool) if isinstance(tool, dict) else tool}" for tool in kefu.get("tools") or ()]
    if kefu.get("confirmation"):
        parts.append("waits for a confirmation")
    return ", ".join(parts)


def _headers() -> dict[str, str]:
    headers = {}
    if key := os.environ.get("KEFU_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    if token := os.environ.get("KEFU_CUSTOMER_TOKEN"):
        headers["X-Customer-Token"] = token
    return headers


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:300]
