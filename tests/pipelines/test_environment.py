"""The environment of `kefu serve`: every variable arrives, what does not do is named, secrets are not shown."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.errors import BadInput
from pipelines.cli import app
from pipelines.environment import ServeEnvironment, documentation, variable
from serving.keys import KeyStore
from serving.limits import Allowance

KEYS = ("KEFU_KEY_REQUESTS_PER_MINUTE", "KEFU_KEY_TOKENS_PER_MINUTE", "KEFU_KEY_CONCURRENCY")


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/conversations.db"


def test_on_loopback_nothing_is_limited_and_only_its_own_names_are_answered(database: str) -> None:
    found = ServeEnvironment.read({"KEFU_API_KEYS": ""}).settings("127.0.0.1", database)
    assert found["key_allowance"] == found["customer_allowance"] == Allowance()
    assert (found["api_keys"], found["key_store"], found["cors_origins"]) == ((), None, ())
    assert found["trusted_hosts"] == ("localhost", "127.0.0.1", "::1")


def test_elsewhere_keys_are_asked_for_and_limits_hold(database: str) -> None:
    found = ServeEnvironment.read({}).settings("0.0.0.0", database)
    assert found["key_allowance"] == Allowance(3000, 1_000_000, 64)
    assert found["customer_allowance"] == Allowance(60, 100_000, 4)
    assert isinstance(found["key_store"], KeyStore) and found["trusted_hosts"] == ()
    found["key_store"].close()


def test_what_is_set_is_so_on_any_host(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")  # not asked before there is something to send
    given = dict(zip(KEYS, ("5", "0", "none"), strict=True)) | {
        "KEFU_API_KEYS": "a, b,,",
        "KEFU_REDIS_URL": "redis://cache:6379/0",
        "KEFU_ENGINE_SEATS": "8",
        "KEFU_ENGINE_QUEUE": "0",
        "KEFU_REQUEST_TIMEOUT_S": "30.5",
        "KEFU_MAX_BODY_BYTES": "1000",
        "KEFU_CORS_ORIGINS": "https://shop.example,http://localhost:3000",
        "KEFU_PAGE_EMBEDDERS": "https://shop.example",
        "KEFU_TRUSTED_HOSTS": "api.shop.example",
    }
    for host in ("0.0.0.0", "localhost"):
        found = ServeEnvironment.read(given).settings(host, database)
        found.pop("key_store").close()
        found.pop("customer_allowance")
        assert found.pop("bounds").retention_s == 30 * 86_400
        assert (found.pop("traces_uri"), found.pop("trace_share")) == ("http://127.0.0.1:1", 0.1)
        assert found == {
            "api_keys": ("a", "b"),
            "key_allowance": Allowance(requests_per_minute=5),
            "redis_url": "redis://cache:6379/0",
            "engine_seats": 8,
            "engine_queue": 0,
            "request_timeout_s": 30.5,
            "max_body_bytes": 1000,
            "cors_origins": ("https://shop.example", "http://localhost:3000"),
            "page_embedders": ("https://shop.example",),
            "trusted_hosts": ("api.shop.example", "localhost", "127.0.0.1", "::1"),
        }


def test_traces_can_be_off_and_conversations_kept_for_a_week(database: str) -> None:
    given = {"KEFU_TRACE_SHARE": "0", "KEFU_RETENTION_DAYS": "7.5"}
    found = ServeEnvironment.read(given).settings("127.0.0.1", database)
    assert found["traces_uri"] is None and found["bounds"].retention_s == 7.5 * 86_400


def test_keys_can_be_asked_for_on_loopback(database: str) -> None:
    store = ServeEnvironment.read({"KEFU_REQUIRE_API_KEYS": "1"}).settings("127.0.0.1", database)["key_store"]
    assert isinstance(store, KeyStore)
    store.close()


def test_any_host_may_be_trusted(database: str) -> None:
    assert ServeEnvironment.read({"KEFU_TRUSTED_HOSTS": "*"}).settings("127.0.0.1", database)["trusted_hosts"] == ()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("KEFU_KEY_CONCURRENCY", "-1", "greater than or equal to 0 (found '-1')"),
        ("KEFU_ENGINE_SEATS", "many", "valid integer"),
        ("KEFU_REQUEST_TIMEOUT_S", "0", "greater than 0"),
        ("KEFU_REQUIRE_API_KEYS", "perhaps", "valid boolean"),
        ("KEFU_CORS_ORIGINS", "https://shop.example/", "without a path; found https://shop.example/"),
        ("KEFU_TRUSTED_HOSTS", "shop.example:443", "no port; found shop.example:443"),
        ("KEFU_TRACE_SHARE", "2", "less than or equal to 1 (found '2')"),
        ("KEFU_TRACE_SHARE", "all", "valid number"),
        ("KEFU_RETENTION_DAYS", "0", "greater than or equal to 0.04"),
        ("KEFU_REDIS_URL", "http://:secret@cache", "redis://"),
    ],
)
def test_what_does_not_do_is_named(name: str, value: str, says: str) -> None:
    with pytest.raises(BadInput) as refused:
        ServeEnvironment.read({name: value, "KEFU_MAX_BODY_BYTES": "5"})
    assert str(refused.value).startswith(f"{name}: ") and says in str(refused.value)
    assert "secret" not in str(refused.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(BadInput) as refused:
        ServeEnvironment.read({"KEFU_ENGINE_SEATS": "0", "KEFU_ENGINE_QUEUE": "x"})
    assert len(str(refused.value).splitlines()) == 2


def test_the_help_of_serve_lists_every_variable() -> None:
    shown = CliRunner().invoke(app, ["serve", "--help"]).stdout
    assert [name for name, _ in documentation()] == [variable(name) for name in ServeEnvironment.model_fields]
    assert all(name in shown for name, _ in documentation())
