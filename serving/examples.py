"""The requests that the OpenAPI page shows, each one that the endpoint answers."""

from typing import Any

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
