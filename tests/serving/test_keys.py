"""API keys: kept as hashes, found by the whole secret alone, ended by expiry and for good by revoking."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import create_engine

from data.errors import BadInput
from serving import keys
from serving.database import Database
from serving.errors import Unavailable
from serving.keys import GRACE_S, ConversationTables, KeyStore, fingerprint


class Clock:
    """A clock that tests set."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[KeyStore]:
    """Keys that are read anew at each refresh."""
    store = KeyStore(Database.open(f"sqlite:///{tmp_path}/keys.db", ConversationTables), clock, refresh_s=0.0)
    yield store
    store.close()


async def test_a_secret_is_kept_nowhere_and_found_by_its_hash(store: KeyStore, tmp_path: Path) -> None:
    key, secret = store.create("web", ("admin", "chat"))
    assert key.scopes == ("chat", "admin") and secret.startswith("kefu_") and len(secret) >= 48
    assert store.find(fingerprint(secret)) is None  # not known until read
    await store.refresh()
    found = store.find(fingerprint(secret))
    assert found is not None and (found.name, found.scopes) == ("web", ("chat", "admin"))
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("keys.db*"))
    assert fingerprint(secret).encode() in kept and secret.encode() not in kept


async def test_a_revoked_or_expired_key_opens_nothing(store: KeyStore, clock: Clock) -> None:
    _, brief = store.create("brief", lifetime_s=60)
    _, long = store.create("long")
    await store.refresh()
    clock.now += 59.9
    assert store.find(fingerprint(brief)) and store.find(fingerprint(long))
    clock.now += 0.1
    assert store.find(fingerprint(brief)) is None and store.find(fingerprint(long))
    at = store.revoke("long").revoked_at
    clock.now += 5
    assert store.revoke("long").revoked_at == at == clock.now - 5
    await store.refresh()
    assert store.find(fingerprint(long)) is None and not store.any_active()
    assert [key.state(clock()) for key in store.all()] == ["expired", "revoked"]


async def test_use_is_noted_to_a_minute(store: KeyStore, clock: Clock) -> None:
    _, secret = store.create("web")
    await store.refresh()
    assert store.all()[0].last_used_at is None
    noted = []
    for second in range(0, 130, 10):
        clock.now = 1_000_000.0 + second
        store.find(fingerprint(secret))
        await store.refresh()
        assert store._noting is not None
        await store._noting
        await store.refresh()
        noted.append(store.all()[0].last_used_at)
    assert noted[0] == 1_000_000.0 and len(set(noted)) == 2 and clock.now - (noted[-1] or 0) < 60


async def test_many_requests_read_once(tmp_path: Path) -> None:
    store = KeyStore.open(f"sqlite:///{tmp_path}/keys.db")
    reads: list[float] = []
    read = store._read

    def counted() -> None:
        reads.append(time.monotonic())
        read()

    store._read = counted  # type: ignore[method-assign]
    store._read_at -= 2
    await asyncio.gather(*(store.refresh() for _ in range(50)))
    await store.refresh()
    assert len(reads) == 1
    store.close()


async def test_nobody_waits_for_a_slow_database_twice_or_for_a_note_of_use(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = store.create("web")
    await store.refresh()
    monkeypatch.setattr(keys, "PATIENCE_S", 0.05)
    go_on = threading.Event()
    store._read = store._note = lambda *_: go_on.wait(10) and None  # type: ignore[method-assign,assignment]
    assert store.find(fingerprint(secret))
    began = time.monotonic()
    for _ in range(100):
        await store.refresh()
    assert time.monotonic() - began < 4 and store.find(fingerprint(secret))
    go_on.set()


async def test_keys_hold_for_a_while_without_the_database_and_not_for_ever(store: KeyStore, tmp_path: Path) -> None:
    _, secret = store.create("web")
    await store.refresh()
    store._database = Database(create_engine(f"sqlite:///{tmp_path}/nowhere/keys.db"))
    await store.refresh()
    assert store.find(fingerprint(secret))
    store._read_at -= GRACE_S
    with pytest.raises(Unavailable, match="cannot be checked"):
        await store.refresh()


@pytest.mark.parametrize("name", ["", "Web", "a b", "-x", "x" * 65, "a\nb", "键"])
def test_a_name_that_does_not_do_is_bad_input(store: KeyStore, name: str) -> None:
    with pytest.raises(BadInput, match="1 to 64 of a-z"):
        store.create(name)


def test_other_bad_input(store: KeyStore) -> None:
    store.create("web")
    store.revoke("web")
    with pytest.raises(BadInput, match="is or was a key 'web'"):
        store.create("web")
    with pytest.raises(BadInput, match="kefu keys list"):
        store.revoke("app")
    with pytest.raises(BadInput, match="scopes are chat and admin"):
        store.create("app", ())
    with pytest.raises(BadInput, match="live for some time"):
        store.create("app", lifetime_s=0)


class KeysMachine(RuleBasedStateMachine):
    """Whatever is made, revoked and outlived in whatever order: exactly the active secrets open something."""

    secrets = Bundle("secrets")

    @initialize()
    def open(self) -> None:
        self.clock = Clock()
        self.store = KeyStore(Database.open("sqlite://", ConversationTables), self.clock, refresh_s=0.0)
        self.ends: dict[str, tuple[str, float]] = {}  # by secret: name, when it ends

    def teardown(self) -> None:
        self.store.close()

    @rule(target=secrets, lifetime_s=st.none() | st.floats(1, 100), admin=st.booleans())
    def create(self, lifetime_s: float | None, admin: bool) -> str:
        name = f"key-{len(self.ends)}"
        key, secret = self.store.create(name, ("admin",) if admin else ("chat",), lifetime_s)
        assert key.scopes == (("admin",) if admin else ("chat",)) and secret not in self.ends
        self.ends[secret] = name, float("inf") if lifetime_s is None else self.clock.now + lifetime_s
        return secret

    @rule(secret=secrets)
    def revoke(self, secret: str) -> None:
        self.store.revoke(self.ends[secret][0])
        self.ends[secret] = self.ends[secret][0], 0.0

    @rule(seconds=st.floats(0.1, 60))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def only_active_keys_open(self) -> None:
        self.store._read()
        for secret, (name, end) in self.ends.items():
            found = self.store.find(fingerprint(secret))
            assert (found.name if found else None) == (name if self.clock.now < end else None)
            assert self.store.find(fingerprint(secret[:-1])) is None
        assert self.store.any_active() == any(end > self.clock.now for _, end in self.ends.values())


TestKeysMachine = KeysMachine.TestCase
TestKeysMachine.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
