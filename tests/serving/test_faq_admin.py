"""Near answers through the endpoint: what it tells of them, the listing, and taking over an edited FAQ."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from data.artifact import ArtifactStore
from serving.faq_opening import open_faq
from serving.gateway import create_app
from serving.keys import KeyStore
from serving.release import Release
from serving.settings import GatewaySettings
from tests.serving.near import PASSED, Hashing, matcher, small, write_fitted

MakeRelease = Callable[..., Release]


@pytest.fixture
def edited(release: Release, tmp_path: Path) -> MakeRelease:
    """Makes a release that differs from the usual one by what `change` does to its folder."""

    def made(name: str, change: Callable[[Path], None], passed: bool | None = True) -> Release:
        def make(folder: Path) -> None:
            shutil.copytree(release.folder, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json"))
            if passed is not None:
                (folder / "decision.json").write_text(json.dumps({"passed": passed, "reasons": []}))
            change(folder)

        return ArtifactStore(tmp_path / "edited").build(Release, make, inputs={"name": name}, section=None, code="test")

    return made


@pytest.fixture
def near(edited: MakeRelease, settings: GatewaySettings) -> GatewaySettings:
    """An endpoint's settings with a fitted FAQ."""
    return dataclasses.replace(settings, release=edited("near", write_fitted), embedder=Hashing())


def client_of(settings: GatewaySettings, engine: Any) -> httpx.AsyncClient:
    app: FastAPI = create_app(settings, transport=httpx.MockTransport(engine))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kefu")


def ask(text: str, **body: Any) -> dict[str, Any]:
    return {"model": "kefu", "messages": [{"role": "user", "content": text}], **body}


def paraphrase() -> tuple[str, str]:
    """A question that is a near hit, and its entry."""
    for row in small()[1]:
        for text in row.paraphrases:
            verdict = matcher().match(text, row.language)
            if verdict is not None and verdict.hit:
                return text, row.id
    raise AssertionError("no paraphrase is a hit")


async def test_a_near_answer_says_so(near: GatewaySettings, engine: Any, shop: Any, h: Any) -> None:
    text, name = paraphrase()
    async with client_of(near, engine) as http:
        whole = await http.post("/v1/chat/completions", json=ask(text))
        assert whole.json()["kefu"]["cache"]["kind"] == "semantic" and whole.json()["kefu"]["cache"]["id"] == name
        assert whole.headers["X-Kefu-Cache"] == f"semantic; id={name}"
        stream = await http.post("/v1/chat/completions", json=ask(text, stream=True))
        assert stream.headers["X-Kefu-Cache"] == f"semantic; id={name}"
        assert h.events(stream.text)[-1]["kefu"]["cache"] == whole.json()["kefu"]["cache"]
        assert not engine.requests
        other = await http.post("/v1/chat/completions", json=ask("Sing me a song about zebras."))
        assert other.headers["X-Kefu-Cache"] == "none" and engine.requests


async def test_the_listing_counts_hits_and_shows_near_misses(near: GatewaySettings, engine: Any, shop: Any) -> None:
    text, _ = paraphrase()
    async with client_of(near, engine) as http:
        for question in (text, text, small()[0][0].question):
            await http.post("/v1/chat/completions", json=ask(question))
        listing = (await http.get("/v1/faq")).json()
    hits = {(entry["id"], entry["language"]): entry["hits"] for entry in listing["entries"]}
    assert sum(found["semantic"] for found in hits.values()) == 2
    assert hits[small()[0][0].id, small()[0][0].language]["exact"] == 1
    assert listing["exact_only"] is None and listing["embedder"] == Hashing.name
    assert all(entry["threshold"] > 0 for entry in listing["entries"])


async def test_what_leans_on_the_conversation_goes_to_the_model(near: GatewaySettings, engine: Any, shop: Any) -> None:
    text, _ = paraphrase()
    async with client_of(near, engine) as http:
        first = await http.post("/v1/chat/completions", json=ask(text, conversation_id="talk"))
        later = await http.post("/v1/chat/completions", json=ask(f"And also {text}", conversation_id="talk"))
        whole = ask(text) | {"messages": [*ask("Hi")["messages"], {"role": "assistant", "content": "Which order?"}]}
        asked_back = await http.post(
            "/v1/chat/completions", json=whole | {"messages": [*whole["messages"], *ask(text)["messages"]]}
        )
        metrics = (await http.get("/metrics")).text
    assert first.headers["X-Kefu-Cache"].startswith("semantic")
    assert later.headers["X-Kefu-Cache"] == asked_back.headers["X-Kefu-Cache"] == "none"
    assert 'kefu_faq_lookups_total{result="bypass"} 2.0' in metrics


@pytest.mark.parametrize(
    ("figures", "why"), [(None, "never checked"), (PASSED.model_copy(update={"false_hit_upper_95": 0.02}), "too many")]
)
def test_what_did_not_pass_takes_exact_hits_alone(edited: MakeRelease, figures: Any, why: str) -> None:
    opened = open_faq(edited("closed", lambda folder: write_fitted(folder, figures)), Hashing())
    assert opened.cache.matcher is None and opened.exact_only is not None and why in opened.exact_only
    assert opened.cache.lookup(small()[0][0].question).kind == "exact"


@pytest.mark.parametrize("damage", ["verifier.json", "forest.safetensors", "vectors.safetensors"])
def test_what_is_damaged_takes_exact_hits_alone(edited: MakeRelease, damage: str) -> None:
    def change(folder: Path) -> None:
        write_fitted(folder)
        (folder / "faq" / damage).write_bytes(b"{}")

    opened = open_faq(edited("damaged", change), Hashing())
    assert opened.cache.matcher is None and opened.exact_only is not None and damage in opened.exact_only


def test_another_embedder_takes_exact_hits_alone(edited: MakeRelease) -> None:
    class Other(Hashing):
        name = "other 2"

    opened = open_faq(edited("near", write_fitted), Other())
    assert opened.cache.matcher is None and opened.exact_only is not None and "other 2" in opened.exact_only


def answers_otherwise(folder: Path) -> None:
    text = (folder / "faq.yaml").read_text(encoding="utf-8")
    assert "Within 7 days of receipt, open My Orders" in text
    changed = text.replace("Within 7 days of receipt, open My Orders", "Within 9 days of receipt, open My Orders")
    (folder / "faq.yaml").write_text(changed, encoding="utf-8")


async def test_an_edit_is_taken_over_without_a_restart(
    settings: GatewaySettings, edited: MakeRelease, engine: Any, shop: Any
) -> None:
    new = edited("new", answers_otherwise)
    async with client_of(dataclasses.replace(settings, champion=lambda: new), engine) as http:
        before = (await http.post("/v1/chat/completions", json=ask("How do I return an item?"))).json()
        swapped = await http.post("/v1/faq/reload")
        after = (await http.post("/v1/chat/completions", json=ask("How do I return an item?"))).json()
        ready = (await http.get("/readyz")).json()
    assert swapped.status_code == 200 and swapped.json()["changed"] and swapped.json()["release"] == new.digest
    assert (
        "7 days" in before["choices"][0]["message"]["content"] and before["kefu"]["release"] == settings.release.digest
    )
    assert "9 days" in after["choices"][0]["message"]["content"] and after["kefu"]["release"] == new.digest
    assert ready["release"] == new.digest


@pytest.mark.parametrize(
    ("change", "passed", "why"),
    [
        (lambda folder: (folder / "prompts" / "intent.md").write_text("Say."), True, "prompts/intent.md"),
        (answers_otherwise, False, "did not pass its gate"),
        (answers_otherwise, None, "did not pass its gate"),
    ],
)
async def test_what_must_not_be_taken_over(
    settings: GatewaySettings, edited: MakeRelease, engine: Any, shop: Any, change: Any, passed: Any, why: str
) -> None:
    new = edited(f"bad {passed} {why}", change, passed)
    async with client_of(dataclasses.replace(settings, champion=lambda: new), engine) as http:
        refused = await http.post("/v1/faq/reload")
        answer = (await http.post("/v1/chat/completions", json=ask("How do I return an item?"))).json()
    assert refused.status_code == 400 and why in refused.json()["error"]["message"]
    assert "7 days" in answer["choices"][0]["message"]["content"]
    assert answer["kefu"]["release"] == settings.release.digest


async def test_an_endpoint_without_releases_to_ask_for_says_so(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/faq/reload")).status_code == 404


async def test_a_key_needs_the_scope_admin(settings: GatewaySettings, engine: Any, shop: Any, tmp_path: Path) -> None:
    made = KeyStore.open(f"sqlite:///{tmp_path / 'keys.db'}")
    secrets = {scope: made.create(scope, (scope,))[1] for scope in ("chat", "admin")}
    store = KeyStore.open(f"sqlite:///{tmp_path / 'keys.db'}")
    async with client_of(dataclasses.replace(settings, key_store=store), engine) as http:
        for method, path in (("GET", "/v1/faq"), ("POST", "/v1/faq/reload")):
            without = await http.request(method, path)
            chat = await http.request(method, path, headers={"Authorization": f"Bearer {secrets['chat']}"})
            admin = await http.request(method, path, headers={"Authorization": f"Bearer {secrets['admin']}"})
            assert (without.status_code, chat.status_code) == (401, 403)
            assert chat.json()["error"]["code"] == "missing_scope"
            assert admin.status_code == (200 if method == "GET" else 404)
