"""An engine at its HTTP port, faked: it says a raw text, and puts it on the wire as vLLM's parsers would."""

import json
from collections.abc import Callable
from typing import Any

from tests.serving.wire import parsed_message, parsed_stream

Json = dict[str, Any]
FORCED = '<tool_call>\n{"name": "hand_over", "arguments": {"urgent": true}}\n</tool_call>'


class RawEngine:
    """`says` gives the raw text for the messages, tools and template options of a chat; a forced call is `FORCED`.

    A token is a byte, and the prompt's text is its JSON, so that the completion of a prompt's tokens is that of its chat.
    """

    def __init__(self, says: Callable[[Json], str]) -> None:
        self._says = says

    def respond(self, path: str, body: Json) -> str:
        """The body of the answer: JSON, or server-sent events."""
        if path == "/tokenize":
            return json.dumps({"tokens": list(json.dumps(body).encode())})
        if path == "/detokenize":
            return json.dumps({"prompt": bytes(body["tokens"]).decode()})
        if path == "/v1/completions":
            told = body["prompt"]  # a text asks whether the engine is ready
            text = "" if isinstance(told, str) else self._says(json.loads(bytes(told)))
            return json.dumps({"choices": [{"index": 0, "text": text, "finish_reason": "stop"}]})
        return self._chat(body)

    def _chat(self, body: Json) -> str:
        choice = body.get("tool_choice") or "auto"
        raw = self._says(body) if choice in ("auto", "none") else FORCED
        thinking = (body.get("chat_template_kwargs") or {}).get("enable_thinking", False)
        how = {"thinking": thinking, "calls": choice != "none" and bool(body.get("tools"))}
        if body.get("stream"):
            cuts = range(3, len(raw), 3)
            chunks = [{"index": 0, "delta": delta} for delta in parsed_stream(raw, cuts, **how)]
            chunks.append({"index": 0, "delta": {}, "finish_reason": "stop"})
            lines = [f"data: {json.dumps({'choices': [chunk]})}\n\n" for chunk in chunks]
            return "".join([*lines, "data: [DONE]\n\n"])
        message = {"role": "assistant", **parsed_message(raw, **how)}
        ids = {"token_ids": list(raw.encode())} if body.get("return_token_ids") else {}
        return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop", **ids}]})
