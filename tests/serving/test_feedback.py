"""Feedback: from whoever got the answer alone, stored without personal data, replaced when given again."""

import dataclasses
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from serving.answer_ids import AnswerIds
from serving.database import Database
from serving.gateway import create_app
from serving.memory import ConversationTables, Owner
from serving.ratings import RatingRow, redacted


def stored(settings: Any) -> list[tuple[str, str, str | None, str]]:
    database = Database.open(settings.conversations_url, ConversationTables)
    with database.read() as session:
        rows = [(row.answer_id, row.rating, row.comment, row.release) for row in session.scalars(select(RatingRow))]
    database.close()
    return rows


async def test_feedback_is_stored_and_given_again_replaces(
    chat: Any, client: httpx.AsyncClient, h: Any, settings: Any
) -> None:
    answer = await chat("hello there", h.token("demo"))
    streamed = h.events((await chat.post("hello there", h.token("demo"), stream=True)).text)[0]
    for id, rating, comment in (
        (answer["id"], "up", "Nice. Call me on 13800138000, I am 王小明"),
        (streamed["id"], "down", None),
        (answer["id"], "down", "  "),
        (answer["id"], "up", "Write to zofia@example.org"),
    ):
        body = {"id": id, "rating": rating, "comment": comment}
        response = await client.post("/v1/feedback", json=body, headers=h.token("demo"))
        assert response.status_code == 204 and response.content == b""
    digest = settings.release.digest
    assert sorted(stored(settings)) == sorted(
        [(answer["id"], "up", "Write to [email]", digest), (streamed["id"], "down", None, digest)]
    )


async def test_only_the_owner_of_an_answer_rates_it(settings: Any, engine: Any, shop: Any, h: Any) -> None:
    guarded = dataclasses.replace(settings, api_keys=("sk-1", "sk-2"))
    app = create_app(guarded, transport=httpx.MockTransport(engine))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kefu") as client:
        mine = {"Authorization": "Bearer sk-1", **h.token("demo")}
        body = {"model": "kefu", "messages": [{"role": "user", "content": "hi there"}]}
        id = (await client.post("/v1/chat/completions", json=body, headers=mine)).json()["id"]
        for headers, status in (
            ({**mine, **h.token("other")}, 404),
            ({**mine, "Authorization": "Bearer sk-2"}, 404),
            ({"Authorization": "Bearer sk-1"}, 404),
            (h.token("demo"), 401),
            (mine, 204),
        ):
            response = await client.post("/v1/feedback", json={"id": id, "rating": "up"}, headers=headers)
            assert response.status_code == status, response.text
        for made_up in (id[:-1] + ("0" if id[-1] != "0" else "1"), "chatcmpl-1", id.upper()):
            response = await client.post("/v1/feedback", json={"id": made_up, "rating": "up"}, headers=mine)
            assert response.status_code == 404 and response.json()["error"]["code"] == "answer_not_found"
    assert len(stored(settings)) == 1


@pytest.mark.parametrize(
    "body",
    [{}, {"id": "a"}, {"id": "a", "rating": "meh"}, {"id": "a", "rating": "up", "comment": "x" * 2001},
     {"id": "", "rating": "up"}, {"id": "a", "rating": "up", "more": 1}],
)  # fmt: skip
async def test_what_is_no_feedback_is_400(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    response = await client.post("/v1/feedback", json=body)
    assert response.status_code == 400 and response.json()["error"]["type"] == "invalid_request_error"


def test_comments_lose_what_is_personal() -> None:
    said = redacted("订单 88120045 的王小明（13800138000）住在杭州市西湖区文三路 12 号，Anna Kowalska knows.")
    assert said is not None
    for personal in ("88120045", "13800138000", "文三路", "Kowalska", "王小明"):
        assert personal not in said
    assert redacted("Too slow, and it asked twice.") == "Too slow, and it asked twice."


def test_a_comment_is_not_stored_where_names_cannot_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from data.errors import EnvironmentLacks

    def lacks(_text: str, people: bool) -> None:
        raise EnvironmentLacks("not installed")

    monkeypatch.setattr("serving.ratings.find", lacks)
    assert redacted("I am Anna") is None


def test_an_id_fits_its_owner_alone() -> None:
    ids, other_key = AnswerIds(b"k" * 64), AnswerIds(b"l" * 64)
    owners = [Owner(None), Owner("a"), Owner("a", "b"), Owner(None, "a"), Owner("b", "a"), Owner('a", "b'), Owner("ab")]
    for owner in owners:
        id = ids.new(owner)
        assert [ids.belongs(id, one) for one in owners] == [one == owner for one in owners]
        assert not other_key.belongs(id, owner)
