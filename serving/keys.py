"""API keys: shown once when they are made, kept as hashes, known to a running endpoint within about a second.

A secret has 256 random bits, so that its plain SHA-256 is as good as a slow hash. Not covered: keys from the environment
(`serving/settings.py`), limits (`serving/limits.py`).
"""

import asyncio
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import Float, String, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from data.errors import BadInput
from serving.database import Database
from serving.errors import Unavailable
from serving.memory import ConversationTables

Scope = Literal["chat", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "kefu_"  # by which secret scanners know a leaked key
REFRESH_S = 1.0  # what a running endpoint knows is never older, as long as the database answers
PATIENCE_S = 0.5  # for which requests wait for a slow database; then what was read last does
GRACE_S = 60.0  # for which keys still hold when the database does not answer
USE_NOTED_EVERY_S = 60.0
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class KeyRow(ConversationTables):
    """One key; the secret itself is kept nowhere. Times are seconds since 1970."""

    __tablename__ = "api_keys"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[str] = mapped_column(String(64))  # with spaces between
    created_at: Mapped[float] = mapped_column(Float)
    expires_at: Mapped[float | None] = mapped_column(Float)
    last_used_at: Mapped[float | None] = mapped_column(Float)
    revoked_at: Mapped[float | None] = mapped_column(Float)


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key. `last_used_at` is exact to a minute."""

    name: str
    scopes: tuple[Scope, ...]
    created_at: float
    expires_at: float | None = None
    last_used_at: float | None = None
    revoked_at: float | None = None

    def state(self, now: float) -> Literal["active", "expired", "revoked"]:
        """Whether it opens anything at `now`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


def fingerprint(secret: str) -> str:
    """The hash under which a key is kept and its conversations are owned: 64 hexadecimal digits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class KeyStore:
    """The keys of one database. A running endpoint calls `refresh` before `find`, which reads memory alone."""

    def __init__(
        self, database: Database, clock: Callable[[], float] = time.time, refresh_s: float = REFRESH_S
    ) -> None:
        """Reads the keys; raises SQLAlchemy's errors."""
        self._database, self._clock, self._refresh_s = database, clock, refresh_s
        self._known: dict[str, ApiKey] = {}
        self._used: dict[str, float] = {}
        self._reading: asyncio.Task[None] | None = None
        self._noting: asyncio.Task[None] | None = None
        self._asked_at = self._read_at = 0.0
        self._read()

    @classmethod
    def open(cls, url: str) -> "KeyStore":
        """The keys in the database at `url`.

        Raises:
            BadInput, EnvironmentLacks: as `Database.open`.
        """
        return cls(Database.open(url, ConversationTables))

    def create(
        self, name: str, scopes: Collection[str] = ("chat",), lifetime_s: float | None = None
    ) -> tuple[ApiKey, str]:
        """Makes a key; gives it and its secret, which cannot be had again.

        Raises:
            BadInput: the name, a scope or the lifetime does not do, or the name is taken, be it by a revoked key.
        """
        if not _NAME.fullmatch(name):
            raise BadInput(
                f"a key's name is 1 to 64 of a-z, 0-9, '.', '_', '-', and begins with a letter or digit; found {name!r}"
            )
        if not scopes or not set(scopes) <= set(SCOPES):
            raise BadInput(f"scopes are {' and '.join(SCOPES)}, at least one; found {', '.join(scopes) or 'none'}")
        if lifetime_s is not None and not lifetime_s > 0:
            raise BadInput(f"a key must live for some time; found {lifetime_s} seconds")
        secret, now = PREFIX + secrets.token_urlsafe(32), self._clock()
        row = KeyRow(
            name=name,
            digest=fingerprint(secret),
            scopes=" ".join(scope for scope in SCOPES if scope in scopes),
            created_at=now,
            expires_at=None if lifetime_s is None else now + lifetime_s,
        )
        try:
            with self._database.write() as session:
                session.add(row)
        except IntegrityError as error:
            raise BadInput(f"there is or was a key {name!r} already; choose another name") from error
        return _key(row), secret

    def all(self) -> tuple[ApiKey, ...]:
        """Every key that there ever was, oldest first."""
        with self._database.read() as session:
            return tuple(_key(row) for row in session.scalars(select(KeyRow).order_by(KeyRow.created_at, KeyRow.name)))

    def revoke(self, name: str) -> ApiKey:
        """Ends a key for good; to do so twice changes nothing.

        Raises:
            BadInput: there is no such key.
        """
        with self._database.write() as session:
            row = session.get(KeyRow, name, with_for_update=True)
            if row is None:
                raise BadInput(f"there is no key {name!r}; kefu keys list shows those that there are")
            row.revoked_at = row.revoked_at or self._clock()
            return _key(row)

    def any_active(self) -> bool:
        """Whether a key opens anything now."""
        return any(key.state(self._clock()) == "active" for key in self.all())

    async def refresh(self) -> None:
        """Makes what is known at most a second old: one query a second, however many requests come.

        Raises:
            Unavailable: what is known is older than a minute, and the database does not answer in time.
        """
        now = time.monotonic()
        if now - self._read_at < self._refresh_s:
            return
        if self._reading is None or self._reading.done():
            self._asked_at = now
            self._reading = asyncio.create_task(asyncio.to_thread(_tried, self._read))
        await asyncio.wait({self._reading}, timeout=max(0.0, self._asked_at + PATIENCE_S - now))
        if self._used and (self._noting is None or self._noting.done()):  # a disk takes its time; nobody waits for it
            used, self._used = self._used, {}
            self._noting = asyncio.create_task(asyncio.to_thread(_tried, self._note, used))
        if time.monotonic() - self._read_at > GRACE_S:
            raise Unavailable("API keys cannot be checked right now; try again in a moment", code="keys_unavailable")

    def find(self, digest: str) -> ApiKey | None:
        """The active key with this fingerprint."""
        key, now = self._known.get(digest), self._clock()
        if key is None or key.state(now) != "active":
            return None
        if now - (key.last_used_at or 0.0) > USE_NOTED_EVERY_S:
            self._used[digest] = now
        return key

    def close(self) -> None:
        """Gives the connections back."""
        self._database.close()

    def _read(self) -> None:
        began = time.monotonic()
        with self._database.read() as session:
            rows = session.scalars(select(KeyRow).where(KeyRow.revoked_at.is_(None)))
            self._known = {row.digest: _key(row) for row in rows}
        self._read_at = began

    def _note(self, used: dict[str, float]) -> None:
        with self._database.write() as session:
            for digest, at in used.items():
                session.execute(update(KeyRow).where(KeyRow.digest == digest).values(last_used_at=at))


def _tried(work: Callable[..., None], *arguments: object) -> None:
    """Does what the next request tries again if it fails."""
    try:
        work(*arguments)
    except SQLAlchemyError as error:
        logging.getLogger(__name__).warning("the keys' database does not answer (%s)", type(error).__name__)


def _key(row: KeyRow) -> ApiKey:
    scopes = tuple(scope for scope in SCOPES if scope in row.scopes.split())
    return ApiKey(row.name, scopes, row.created_at, row.expires_at, row.last_used_at, row.revoked_at)
