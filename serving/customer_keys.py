"""The keys that customer tokens are signed with: several hold, the newest signs, and old ones retire.

Ours are a JSON Web Key Set below `$KEFU_HOME`, readable by its owner only, made on first use:
`customer-keys.json`. A single `customer-token.key` of earlier versions is read as long as there is no set.
A shop whose login signs with a private key of its own gives the public part, as a key set or PEM: `$KEFU_CUSTOMER_JWKS`, or
`customer-jwks.json` below `$KEFU_HOME`; its tokens must come from `$KEFU_CUSTOMER_ISSUER`.
A running endpoint sees a changed file at the next token. Not covered: fetching key sets from the net.
"""

import fcntl
import json
import logging
import os
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from jwt import PyJWK

from data.artifact import home
from data.errors import BadInput
from serving.jwks import public_keys, read_key, read_set

OWN, OLD, SHOPS = "customer-keys.json", "customer-token.key", "customer-jwks.json"
GRACE_S = 24 * 3600.0  # for which an old key still holds after a rotation
OWN_ALGORITHM = "HS256"
MIN_SECRET = 32  # bytes
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Key:
    """One key. It verifies by its own algorithm alone, whatever a token says; `issuer` None: one of ours."""

    id: str | None
    jwk: PyJWK = field(repr=False)
    created_at: float = 0.0
    retires_at: float | None = None
    issuer: str | None = None

    @classmethod
    def own(cls, secret: bytes, id: str = "first", created_at: float = 0.0, retires_at: float | None = None) -> "Key":
        """A secret of ours, at least 32 bytes."""
        if len(secret) < MIN_SECRET:
            raise BadInput(f"a key for customer tokens has at least {MIN_SECRET} bytes; this one has {len(secret)}")
        return cls(id, PyJWK({"kty": "oct", "k": _encoded(secret)}, OWN_ALGORITHM), created_at, retires_at)

    @property
    def secret(self) -> bytes:
        """The bytes of a key of ours."""
        return bytes(self.jwk.key)

    def holds(self, now: float) -> bool:
        """Whether tokens signed with it are accepted."""
        return self.retires_at is None or now < self.retires_at


@dataclass(frozen=True)
class KeySet:
    """Keys of ours, newest first, and the shop's."""

    own: tuple[Key, ...]
    shops: tuple[Key, ...] = ()

    def meant(self, id: str | None, now: float) -> list[Key]:
        """The keys that a token with this key id may have been signed with; keys without an id are always among them."""
        keys = [key for key in (*self.own, *self.shops) if key.holds(now)]
        return [key for key in keys if id is None or key.id is None or key.id == id]


class CustomerKeys:
    """The keys as they stand in the files now."""

    def __init__(self, read: Callable[[], KeySet], files: Sequence[Path] = (), audience: str = "kefu") -> None:
        self._read, self._files, self.audience = read, files, audience
        self._stamp, self._set = self._stamps(), read()

    @classmethod
    def of(cls, secret: bytes) -> "CustomerKeys":
        """One secret and no file."""
        return cls(lambda: KeySet((Key.own(secret),)))

    @classmethod
    def open(cls, folder: Path | None = None) -> "CustomerKeys":
        """The keys below `$KEFU_HOME`, or `folder`; made on first use.

        Raises:
            BadInput: a file holds no keys of the kind expected, or the shop's keys come without an issuer.
        """
        folder = folder or home()
        shops = Path(os.environ.get("KEFU_CUSTOMER_JWKS") or folder / SHOPS)
        issuer = os.environ.get("KEFU_CUSTOMER_ISSUER", "")
        _make(folder)

        def read() -> KeySet:
            given = bool(os.environ.get("KEFU_CUSTOMER_JWKS")) or shops.exists()
            return KeySet(_own(folder), _shops(shops, issuer) if given else ())

        files = (folder / OWN, folder / OLD, shops)
        return cls(read, files, os.environ.get("KEFU_CUSTOMER_AUDIENCE") or "kefu")

    def now(self) -> KeySet:
        """The keys; a file that changed is read again, and one that is broken leaves the keys as they were."""
        if (stamp := self._stamps()) != self._stamp:
            try:
                self._set = self._read()
            except BadInput as error:
                _LOG.error("customer keys stay as they were: %s", error)
            self._stamp = stamp
        return self._set

    @property
    def signing(self) -> Key:
        """The newest key of ours, which signs."""
        return self.now().own[0]

    def _stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(path) for path in self._files)


def rotate(folder: Path | None = None, grace_s: float = GRACE_S, now: float | None = None) -> KeySet:
    """Adds a key that signs from now on; older ones hold for `grace_s` seconds more, with 0 not at all.

    Raises:
        BadInput: the file holds no keys.
    """
    folder, now = folder or home(), time.time() if now is None else now
    _make(folder)
    with _alone(folder):
        ends = [(key, min(key.retires_at or now + grace_s, now + grace_s)) for key in _own(folder)]
        older = [replace(key, retires_at=end) for key, end in ends if end > now]
        keys = (_new(now), *older)
        _write(folder, keys)
        (folder / OLD).unlink(missing_ok=True)  # its key is in the set now
    return KeySet(keys)


def _make(folder: Path) -> None:
    """Makes the first key; of two processes that start at once, one wins and both read the same."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / OWN).exists() and not (folder / OLD).exists():
        with _alone(folder):
            if not (folder / OWN).exists():
                _write(folder, (_new(time.time()),))


def _new(now: float) -> Key:
    made = time.strftime("%Y%m%d", time.gmtime(now))
    return Key.own(secrets.token_bytes(48), f"{made}-{secrets.token_hex(3)}", now)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / f".{OWN}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(folder: Path, keys: Sequence[Key]) -> None:
    jwks = [
        {"kty": "oct", "alg": OWN_ALGORITHM, "kid": key.id, "k": _encoded(key.secret), "iat": int(key.created_at)}
        | ({"exp": int(key.retires_at)} if key.retires_at is not None else {})
        for key in keys
    ]
    temporary = folder / f".{OWN}.{os.getpid()}.{secrets.token_hex(4)}"
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"keys": jwks}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / OWN)


def _own(folder: Path) -> tuple[Key, ...]:
    path = folder / OWN
    if not path.exists():
        return (Key.own((folder / OLD).read_bytes()),)
    keys = []
    for jwk in read_set(path):
        if jwk.get("kty") != "oct" or jwk.get("alg", OWN_ALGORITHM) != OWN_ALGORITHM:
            raise BadInput(f"{path}: expected secrets for {OWN_ALGORITHM} (kty oct); public keys belong into {SHOPS}")
        secret = bytes(read_key(path, jwk, OWN_ALGORITHM).key)
        keys.append(Key.own(secret, str(jwk.get("kid", "first")), float(jwk.get("iat", 0)), jwk.get("exp")))
    return tuple(keys)


def _shops(path: Path, issuer: str) -> tuple[Key, ...]:
    if not issuer:
        raise BadInput(f"{path} holds the shop's keys; say in KEFU_CUSTOMER_ISSUER whose tokens they sign (claim iss)")
    return tuple(Key(id, jwk, issuer=issuer) for id, jwk in public_keys(path))


def _encoded(secret: bytes) -> str:
    return urlsafe_b64encode(secret).rstrip(b"=").decode()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
