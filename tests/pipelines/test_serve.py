"""`kefu serve` before an engine elsewhere: what the environment says holds at the socket, and keys change while it runs."""

import time
from collections.abc import Iterator

import httpx
import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from typer.testing import CliRunner

from data.errors import BadInput
from pipelines.cli import app
from pipelines.rollout import Resolved
from pipelines.serve import Endpoint, gateway, serving
from serving.engine import free_port
from serving.release import Release
from tests.pipelines.registered import MakeRelease

FAQ = {"model": "kefu", "messages": [{"role": "user", "content": "怎么退货？"}]}  # needs no engine


@pytest.fixture
def release(make_release: MakeRelease) -> Release:
    made = make_release()
    Tokenizer(BPE(vocab={}, merges=[])).save(str(made.model / "tokenizer.json"))
    return made


@pytest.fixture
def running(release: Release, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The base URL of an endpoint that asks for keys; the first is in the environment."""
    monkeypatch.setenv("KEFU_API_KEYS", "sk-env")
    monkeypatch.setenv("KEFU_KEY_REQUESTS_PER_MINUTE", "200")
    with serving(_endpoint(release, "127.0.0.1")) as url:
        yield url


def _endpoint(release: Release, host: str) -> Endpoint:
    return Endpoint(Resolved(release, "1"), host, free_port(), any_path=True, engine_url="http://127.0.0.1:9/v1")


def ask(url: str, key: str, **headers: str) -> httpx.Response:
    headers |= {"Authorization": f"Bearer {key}"}
    return httpx.post(f"{url}/v1/chat/completions", json=FAQ, headers=headers)


def until(url: str, key: str, status: int) -> None:
    """Waits until the endpoint knows."""
    deadline = time.monotonic() + 20
    while ask(url, key).status_code != status:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_keys_come_and_go_while_it_serves(running: str) -> None:
    served = ask(running, "sk-env")
    assert served.status_code == 200 and served.json()["kefu"]["cache"]
    assert served.headers["x-ratelimit-limit-requests"] == "200"
    secret = CliRunner().invoke(app, ["keys", "create", "web"]).stdout.strip()
    until(running, secret, 200)
    CliRunner().invoke(app, ["keys", "revoke", "web"])
    until(running, secret, 401)
    assert ask(running, "sk-env").status_code == 200
    assert ask(running, "sk-env", Host="evil.example").json()["error"]["code"] == "host_not_trusted"


def test_it_is_not_opened_to_everybody(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    exposed = _endpoint(release, "0.0.0.0")
    with pytest.raises(BadInput, match="kefu keys create"), gateway(exposed):
        pass
    monkeypatch.setenv("KEFU_ENGINE_SEATS", "many")
    with pytest.raises(BadInput, match="KEFU_ENGINE_SEATS"), gateway(exposed):
        pass
