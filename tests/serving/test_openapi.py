"""The page of the API: its examples are served, and it says all of what there is."""

import httpx

from serving.openapi import EXAMPLES


async def test_the_pages_examples_are_served(client: httpx.AsyncClient) -> None:
    for name, example in EXAMPLES.items():
        response = await client.post("/v1/chat/completions", json=example["value"])
        assert response.status_code == 200, f"{name}: {response.text}"


async def test_the_page_documents_all(client: httpx.AsyncClient) -> None:
    page = (await client.get("/openapi.json")).json()
    schemas = page["components"]["schemas"]
    assert {"ChatRequest", "ChatResponse", "Kefu", "Thought", "ErrorResponse", "ChatChunk", "Delta"} <= set(schemas)
    kefu = schemas["Kefu"]["properties"]
    assert {"conversation_id", "release", "intent", "cache", "tools", "confirmation", "thinking"} <= set(kefu)
    assert all(field.get("description") for field in kefu.values())
    chat = page["paths"]["/v1/chat/completions"]["post"]
    assert set(chat["requestBody"]["content"]["application/json"]["examples"]) == set(EXAMPLES)
    assert "text/event-stream" in chat["responses"]["200"]["content"] and "422" not in chat["responses"]
    for path in page["paths"].values():
        assert all(operation["description"] for operation in path.values())
