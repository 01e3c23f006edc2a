"""What the OpenAPI page shows beside the routes: the answers and errors by status, the chunks of a stream, examples.

Not covered: the routes, which document themselves.
"""

from typing import Any

from fastapi import FastAPI

from serving.answers import ChatChunk, ChatResponse, ErrorResponse

_REFERENCE = "#/components/schemas/{model}"
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": about}
    for status, about in (
        (400, "not a request, or one for what is not offered; `param` names the field"),
        (401, "no valid API key, or a customer token that does not hold"),
        (404, "no such model, or a conversation that is not the caller's"),
        (413, "the body is over the limit"),
        (500, "a fault of the endpoint's own"),
        (503, "the engine is down or full, or a database is away; `Retry-After` says when to come again"),
        (504, "the engine did not finish in time"),
        ("4XX", "refused for another reason, which the error names"),
    )
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": ChatResponse,
        "description": "An answer; with `stream` server-sent events, a `ChatChunk` each, and `[DONE]`",
        "content": {"text/event-stream": {"schema": {"$ref": _REFERENCE.format(model="ChatChunk")}}},
    },
    **ERRORS,
}
_LOOKUP: dict[str, Any] = {
    "name": "query_order_status",
    "description": "Where an order stands",
    "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
}
EXAMPLES: dict[str, Any] = {
    "agent": {
        "summary": "A customer asks; the agent answers with the shop's prompt, FAQ, memory and tools",
        "value": {
            "model": "kefu",
            "messages": [{"role": "user", "content": "我的订单 123456 到哪了？"}],
            "conversation_id": "chat-42",
        },
    },
    "thinking": {
        "summary": "Thinking where the question looks as if it pays, streamed, with usage",
        "value": {
            "model": "kefu",
            "messages": [{"role": "user", "content": "Two packs at 12.50 or five for 27: which is cheaper each?"}],
            "enable_thinking": "auto",
            "thinking_budget": 256,
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    },
    "confirmation": {
        "summary": "The customer's yes to a change that the agent asked about",
        "value": {
            "model": "kefu",
            "messages": [{"role": "user", "content": "confirm 4821"}],
            "conversation_id": "chat-42",
        },
    },
    "tools": {
        "summary": "Model mode: the caller's own tools, whose calls come back",
        "value": {
            "model": "Qwen3-1.7B",
            "messages": [{"role": "user", "content": "Where is order 123456?"}],
            "tools": [{"type": "function", "function": _LOOKUP}],
            "tool_choice": "auto",
            "parallel_tool_calls": False,
        },
    },
    "functions": {
        "summary": "The older form of tools",
        "value": {
            "model": "Qwen3-1.7B",
            "messages": [{"role": "user", "content": "Where is order 123456?"}],
            "functions": [_LOOKUP],
            "function_call": "auto",
        },
    },
    "schema": {
        "summary": "Model mode: an answer that fits a JSON schema",
        "value": {
            "model": "Qwen3-1.7B",
            "messages": [{"role": "user", "content": "Is this about an order? 'Where is my parcel?'"}],
            "tools": [{"type": "function", "function": _LOOKUP}],
            "tool_choice": "none",
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "verdict",
                    "schema": {
                        "type": "object",
                        "properties": {"about_order": {"type": "boolean"}},
                        "required": ["about_order"],
                    },
                },
            },
        },
    },
}


def document(app: FastAPI) -> None:
    """Adds to the application's page what no route names: the chunk of a stream."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        page = made()
        chunk = ChatChunk.model_json_schema(ref_template=_REFERENCE)
        page["components"]["schemas"] |= {**chunk.pop("$defs"), "ChatChunk": chunk}
        return page

    app.openapi = openapi  # type: ignore[method-assign]
